"""A key of its own for each webhook endpoint, so that receivers can check messages without being able to forge them.

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("webhook_endpoints", sa.Column("seed", sa.LargeBinary))
    op.create_check_constraint("seed_whole", "webhook_endpoints", "octet_length(seed) = 32")


def downgrade() -> None:
    op.drop_column("webhook_endpoints", "seed")
