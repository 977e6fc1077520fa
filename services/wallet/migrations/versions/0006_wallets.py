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

MAX_MINOR = 9_007_199_254_740_991

LIMITS = f"""
CREATE TABLE spending_limits (
    scope text NOT NULL,
    currency text NOT NULL,
    transfer_minor bigint
        CONSTRAINT ck_spending_limits_transfer_minor CHECK (transfer_minor BETWEEN 0 AND {MAX_MINOR}),
    day_minor bigint CONSTRAINT ck_spending_limits_day_minor CHECK (day_minor BETWEEN 0 AND {MAX_MINOR}),
    month_minor bigint CONSTRAINT ck_spending_limits_month_minor CHECK (month_minor BETWEEN 0 AND {MAX_MINOR}),
    CONSTRAINT pk_spending_limits PRIMARY KEY (scope, currency)
);
CREATE TABLE spending (
    account_id uuid NOT NULL CONSTRAINT pk_spending PRIMARY KEY,
    day date NOT NULL,
    day_minor bigint NOT NULL,
    month date NOT NULL,
    month_minor bigint NOT NULL,
    CONSTRAINT ck_spending_a_day_lies_in_its_month CHECK (
        month = day - (extract(day FROM day)::int - 1) AND day_minor BETWEEN 0 AND month_minor
    )
);
"""


def upgrade() -> None:
    op.execute(PROFILES)
    op.execute(LIMITS)


def downgrade() -> None:
    op.drop_table("spending")
    op.drop_table("spending_limits")
    op.drop_table("wallet_profiles")
