"""Accounts get a floor and a ceiling of their own.

Revision id: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MAX_MINOR = 9_007_199_254_740_991

# The release before this one opens accounts without bounds and so stays right; it meets those of others as a CHECK.
# One statement, so that the table is read once: an account is one short row, ten million are read in a few seconds, and
# the lock for the columns is held in this transaction whether the constraints are validated in it or later.
UPGRADE = f"""
ALTER TABLE accounts
    ADD COLUMN floor_minor bigint,
    ADD COLUMN ceiling_minor bigint,
    -- squawk-ignore ban-drop-constraint
    DROP CONSTRAINT ck_accounts_no_overdraft,
    -- squawk-ignore ban-drop-constraint
    DROP CONSTRAINT ck_accounts_wallets_never_overdraw,
    ADD CONSTRAINT ck_accounts_floor_minor CHECK (floor_minor BETWEEN -{MAX_MINOR} AND 0),
    ADD CONSTRAINT ck_accounts_ceiling_minor CHECK (ceiling_minor BETWEEN 0 AND {MAX_MINOR}),
    ADD CONSTRAINT ck_accounts_above_its_floor CHECK (
        may_overdraw AND floor_minor IS NULL OR coalesce(floor_minor, 0) <= CASE normal_side
            WHEN 'credit' THEN credits_posted - debits_posted - debits_pending
            ELSE debits_posted - credits_posted - credits_pending
        END
    ),
    ADD CONSTRAINT ck_accounts_below_its_ceiling CHECK (
        ceiling_minor IS NULL OR ceiling_minor >= CASE normal_side
            WHEN 'credit' THEN credits_posted - debits_posted
            ELSE debits_posted - credits_posted
        END
    ),
    ADD CONSTRAINT ck_accounts_wallets_never_overdraw CHECK (
        wallet_id IS NULL OR NOT may_overdraw AND coalesce(floor_minor, 0) = 0
    );
"""

# Fails where an account without overdraft stands below zero by its own floor: that is no state of the release before.
DOWNGRADE = """
ALTER TABLE accounts DROP CONSTRAINT ck_accounts_wallets_never_overdraw;
ALTER TABLE accounts ADD CONSTRAINT ck_accounts_wallets_never_overdraw CHECK (wallet_id IS NULL OR NOT may_overdraw);
ALTER TABLE accounts ADD CONSTRAINT ck_accounts_no_overdraft CHECK (
    may_overdraw OR CASE normal_side
        WHEN 'credit' THEN debits_posted + debits_pending <= credits_posted
        ELSE credits_posted + credits_pending <= debits_posted
    END
);
ALTER TABLE accounts DROP COLUMN floor_minor, DROP COLUMN ceiling_minor;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
