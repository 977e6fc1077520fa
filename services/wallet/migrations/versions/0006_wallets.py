"""Wallets stand as a whole, and have limits.

Revision id: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None

PROFILES = """
CREATE TABLE wallet_profiles (
    wallet_id uuid NOT NULL CONSTRAINT pk_wallet_profiles PRIMARY KEY,
    standing text NOT NULL CONSTRAINT ck_wallet_profiles_standing CHECK (standing IN ('open', 'frozen', 'closed')),
    role text NOT NULL DEFAULT 'customer'
);
"""


def upgrade() -> None:
    op.execute(PROFILES)


def downgrade() -> None:
    op.drop_table("wallet_profiles")
