"""Make a transfer cheap to write: a slim outbox row, and no outcome where the transfer tells all.

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
    op.execute("-- squawk-ignore ban-drop-not-null\nALTER TABLE outcomes ALTER COLUMN fingerprint DROP NOT NULL")


def downgrade() -> None:
    widen_outbox(op)
    # Outcomes of this release have none; an older one refuses their ids, which is safe, and cannot be told more.
    op.execute("UPDATE outcomes SET fingerprint = sha256(fields) WHERE fingerprint IS NULL")
    op.execute("ALTER TABLE outcomes ALTER COLUMN fingerprint SET NOT NULL")
