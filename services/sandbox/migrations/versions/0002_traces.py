"""An event is sent in the trace of the request that it tells of.

Revision: 0002
Follows: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("traceparent", sa.Text))


def downgrade() -> None:
    op.drop_column("events", "traceparent")
