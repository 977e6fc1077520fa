"""Wallets stand as a whole, have limits, and exchange their currencies.

Revision id: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
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

EXCHANGE = f"""
CREATE TABLE exchange_rates (
    base text NOT NULL,
    quote text NOT NULL,
    mid numeric NOT NULL,
    spread_bp integer NOT NULL,
    source text NOT NULL,
    valid_until timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT pk_exchange_rates PRIMARY KEY (base, quote),
    CONSTRAINT ck_exchange_rates_a_rate CHECK (mid > 0 AND spread_bp BETWEEN 0 AND 5000 AND base <> quote)
);
CREATE TABLE exchange_quotes (
    id uuid NOT NULL CONSTRAINT pk_exchange_quotes PRIMARY KEY,
    wallet_id uuid NOT NULL,
    sell_currency text NOT NULL,
    sell_minor bigint NOT NULL CONSTRAINT ck_exchange_quotes_sell_minor CHECK (sell_minor BETWEEN 1 AND {MAX_MINOR}),
    buy_currency text NOT NULL,
    buy_minor bigint NOT NULL CONSTRAINT ck_exchange_quotes_buy_minor CHECK (buy_minor BETWEEN 1 AND {MAX_MINOR}),
    rate numeric NOT NULL,
    mid numeric NOT NULL,
    spread_bp integer NOT NULL,
    source text NOT NULL,
    expires_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    transfer_id uuid NOT NULL
);
REVOKE UPDATE, DELETE, TRUNCATE ON exchange_quotes FROM CURRENT_USER;
"""

ALERTS = """
CREATE TABLE balance_alerts (
    wallet_id uuid NOT NULL,
    currency text NOT NULL,
    account_id uuid NOT NULL,
    below_minor bigint,
    above_minor bigint,
    is_below boolean NOT NULL,
    is_above boolean NOT NULL,
    seen_version bigint NOT NULL,
    CONSTRAINT pk_balance_alerts PRIMARY KEY (wallet_id, currency)
);
"""


def upgrade() -> None:
    op.execute(PROFILES)
    op.execute(LIMITS)
    op.execute(EXCHANGE)
    op.execute(ALERTS)


def downgrade() -> None:
    op.drop_table("balance_alerts")
    op.drop_table("exchange_quotes")
    op.drop_table("exchange_rates")
    op.drop_table("spending")
    op.drop_table("spending_limits")
    op.drop_table("wallet_profiles")
