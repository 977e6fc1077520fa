"""`ledgerlink up`: the whole of LedgerLink on one machine, on an embedded PostgreSQL and Redis."""
