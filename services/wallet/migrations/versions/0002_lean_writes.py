"""Make a transfer cheap to write: a slim outbox row, and an outcome of its id alone where the transfer tells all.

Revision id: 0002
"""

from alembic import op

from ledgerlink_kit.migrations import slim_outbox, widen_outbox

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    slim_outbox(op)
    for column in ("fingerprint", "fields", "body"):
        op.execute(f"-- squawk-ignore ban-drop-not-null\nALTER TABLE outcomes ALTER COLUMN {column} DROP NOT NULL")
    # Validated at once: the table is young, and its lock is held for the columns above anyway.
    op.execute(
        "-- squawk-ignore constraint-missing-not-valid\n"
        "ALTER TABLE outcomes ADD CONSTRAINT ck_outcomes_told_whole_or_by_the_transfer "
        "CHECK ((fields IS NULL) = (body IS NULL))"
    )


def downgrade() -> None:
    widen_outbox(op)
    op.execute("ALTER TABLE outcomes DROP CONSTRAINT ck_outcomes_told_whole_or_by_the_transfer")
    # An older release refuses the ids of plain transfers, which is safe, and cannot be told more.
    op.execute("UPDATE outcomes SET fields = '{}', body = '{}' WHERE fields IS NULL")
    op.execute("UPDATE outcomes SET fingerprint = sha256(fields) WHERE fingerprint IS NULL")
    for column in ("fingerprint", "fields", "body"):
        op.execute(f"ALTER TABLE outcomes ALTER COLUMN {column} SET NOT NULL")
