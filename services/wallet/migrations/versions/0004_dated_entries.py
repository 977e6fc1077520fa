"""Sums of dated entries by effective time, and the indexes that every list's filters need.

Revision id: 0004
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DATED_SUMS = """
CREATE TABLE dated_sums (
    account_id uuid NOT NULL,
    level smallint NOT NULL CONSTRAINT ck_dated_sums_level CHECK (level BETWEEN 0 AND 14),
    bucket bigint NOT NULL CONSTRAINT ck_dated_sums_bucket CHECK (bucket >= 0),
    version bigint NOT NULL,
    debits_posted bigint NOT NULL,
    credits_posted bigint NOT NULL,
    debits_pending bigint NOT NULL,
    credits_pending bigint NOT NULL,
    CONSTRAINT pk_dated_sums PRIMARY KEY (account_id, level, bucket, version)
);
REVOKE UPDATE, DELETE, TRUNCATE ON dated_sums FROM CURRENT_USER;
"""

# Entries that were dated before there was a table for them.
BACKFILL = """
INSERT INTO dated_sums
SELECT account_id, level, bucket, version, debits_posted, credits_posted, debits_pending, credits_pending
FROM (
    SELECT e.account_id, l.level, e.moment >> (4 * l.level) AS bucket, e.version, e.recorded_at,
           sum(CASE WHEN (side, layer) = ('debit', 'posted') THEN amount_minor ELSE 0 END) OVER sums AS debits_posted,
           sum(CASE WHEN (side, layer) = ('credit', 'posted') THEN amount_minor ELSE 0 END) OVER sums AS credits_posted,
           sum(CASE WHEN (side, layer) = ('debit', 'pending') THEN amount_minor
                    WHEN (side, layer) = ('debit', 'released') THEN -amount_minor ELSE 0 END) OVER sums
               AS debits_pending,
           sum(CASE WHEN (side, layer) = ('credit', 'pending') THEN amount_minor
                    WHEN (side, layer) = ('credit', 'released') THEN -amount_minor ELSE 0 END) OVER sums
               AS credits_pending
    FROM (
        SELECT *, (extract(epoch FROM effective_at - timestamptz '1900-01-01 00:00:00Z') * 1000000)::bigint AS moment
        FROM entries WHERE effective_at <> recorded_at
    ) e CROSS JOIN (SELECT generate_series(0, 14)::smallint AS level) l
    WINDOW sums AS (PARTITION BY e.account_id, l.level, e.moment >> (4 * l.level) ORDER BY e.version)
) running;
"""

# The ordinary entry and transfer are in none of these: their predicates leave them out.
DATED_INDEXES = """
CREATE INDEX ix_entries_account_id_effective_at_version ON entries (account_id, effective_at, version)
    WHERE effective_at <> recorded_at;
CREATE INDEX ix_transfers_effective_at_id ON transfers (effective_at, id) WHERE effective_at <> recorded_at;
"""

LISTS = """
CREATE INDEX ix_transfers_reference_recorded_at_id ON transfers (reference, recorded_at, id)
    WHERE reference IS NOT NULL;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX ix_accounts_code_id;
-- Only the indexes are built anew: the rows stay as they are.
-- squawk-ignore changing-column-type
ALTER TABLE accounts ALTER COLUMN code TYPE text COLLATE "C";
CREATE INDEX ix_accounts_code_id ON accounts (code, id);
CREATE INDEX ix_accounts_currency_code_id ON accounts (currency, code, id);
CREATE INDEX ix_accounts_standing_code_id ON accounts (standing, code, id) WHERE standing <> 'open';
CREATE INDEX ix_holds_state_recorded_at_id ON holds (state, recorded_at, id);
CREATE INDEX ix_holds_account_id_state_recorded_at_id ON holds (account_id, state, recorded_at, id);
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX ix_holds_account_id;
"""

BACK = """
CREATE INDEX ix_holds_account_id ON holds (account_id) WHERE state = 'placed';
DROP INDEX ix_holds_account_id_state_recorded_at_id;
DROP INDEX ix_holds_state_recorded_at_id;
DROP INDEX ix_accounts_standing_code_id;
DROP INDEX ix_accounts_currency_code_id;
DROP INDEX ix_accounts_code_id;
ALTER TABLE accounts ALTER COLUMN code TYPE text;
CREATE INDEX ix_accounts_code_id ON accounts (code text_pattern_ops, id);
DROP INDEX ix_transfers_reference_recorded_at_id;
DROP INDEX ix_transfers_effective_at_id;
DROP INDEX ix_entries_account_id_effective_at_version;
"""


def upgrade() -> None:
    for statements in (DATED_SUMS, BACKFILL, DATED_INDEXES, LISTS):
        op.execute(statements)


def downgrade() -> None:
    op.execute(BACK)
    op.drop_table("dated_sums")
