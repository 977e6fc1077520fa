"""Work that is done later, and webhooks, go on in the trace of the request that they come from.

Revision: 0006
Follows: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_TABLES = ("attempts", "refunds", "payouts", "events")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("traceparent", sa.Text))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "traceparent")
