"""Make an outbox row cheap to write.

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


def downgrade() -> None:
    widen_outbox(op)
