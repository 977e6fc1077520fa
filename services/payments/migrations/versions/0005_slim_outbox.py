"""Make an outbox row cheap to write.

Revision id: 0005
"""

from alembic import op

from ledgerlink_kit.migrations import slim_outbox, widen_outbox

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    slim_outbox(op)


def downgrade() -> None:
    widen_outbox(op)
