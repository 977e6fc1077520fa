"""asyncpg against psycopg 3 by the batches of the committer."""
