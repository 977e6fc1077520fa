"""The ledger: wallets, accounts, transfers, entries, holds, reversals, outcomes.

Revision id: 0001
"""

from alembic import op

from ledgerlink_kit.migrations import create_kit_tables, drop_kit_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MAX_MINOR = 9_007_199_254_740_991

WALLETS = """
CREATE TABLE wallets (
    id uuid CONSTRAINT pk_wallets PRIMARY KEY,
    owner text NOT NULL,
    currency text NOT NULL,
    label text,
    opened_at timestamptz NOT NULL
);
CREATE INDEX ix_wallets_owner_opened_at_id ON wallets (owner, opened_at, id);
"""

ACCOUNTS = f"""
CREATE TABLE accounts (
    id uuid CONSTRAINT pk_accounts PRIMARY KEY,
    code text NOT NULL,
    currency text NOT NULL,
    normal_side text NOT NULL CONSTRAINT ck_accounts_normal_side CHECK (normal_side IN ('debit', 'credit')),
    may_overdraw boolean NOT NULL,
    wallet_id uuid,
    standing text NOT NULL CONSTRAINT ck_accounts_standing CHECK (standing IN ('open', 'frozen', 'closed')),
    debits_posted bigint NOT NULL,
    credits_posted bigint NOT NULL,
    debits_pending bigint NOT NULL,
    credits_pending bigint NOT NULL,
    version bigint NOT NULL CONSTRAINT ck_accounts_version CHECK (version >= 0),
    opened_at timestamptz NOT NULL,
    CONSTRAINT ck_accounts_debits_posted CHECK (debits_posted BETWEEN 0 AND {MAX_MINOR}),
    CONSTRAINT ck_accounts_credits_posted CHECK (credits_posted BETWEEN 0 AND {MAX_MINOR}),
    CONSTRAINT ck_accounts_debits_pending CHECK (debits_pending BETWEEN 0 AND {MAX_MINOR}),
    CONSTRAINT ck_accounts_credits_pending CHECK (credits_pending BETWEEN 0 AND {MAX_MINOR}),
    CONSTRAINT ck_accounts_no_overdraft CHECK (
        may_overdraw OR CASE normal_side
            WHEN 'credit' THEN debits_posted + debits_pending <= credits_posted
            ELSE credits_posted + credits_pending <= debits_posted
        END
    ),
    CONSTRAINT ck_accounts_wallets_never_overdraw CHECK (wallet_id IS NULL OR NOT may_overdraw)
) WITH (fillfactor = 70);
CREATE INDEX ix_accounts_code_id ON accounts (code text_pattern_ops, id);
CREATE INDEX ix_accounts_wallet_id ON accounts (wallet_id) WHERE wallet_id IS NOT NULL;
"""

TRANSFERS = """
CREATE TABLE transfers (
    id uuid CONSTRAINT pk_transfers PRIMARY KEY,
    kind text NOT NULL,
    postings jsonb NOT NULL CONSTRAINT ck_transfers_postings CHECK (jsonb_array_length(postings) BETWEEN 1 AND 100),
    on_behalf_of text,
    reference text,
    metadata jsonb NOT NULL,
    reverses uuid,
    hold_id uuid,
    effective_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT ck_transfers_reverses_another CHECK (reverses <> id)
);
CREATE INDEX ix_transfers_recorded_at_id ON transfers (recorded_at, id);
CREATE INDEX ix_transfers_kind_recorded_at_id ON transfers (kind, recorded_at, id);
CREATE INDEX ix_transfers_reverses ON transfers (reverses) WHERE reverses IS NOT NULL;
CREATE INDEX ix_transfers_metadata ON transfers USING gin (metadata jsonb_path_ops) WHERE metadata != '{}'::jsonb;
"""

ENTRIES = f"""
CREATE TABLE entries (
    account_id uuid NOT NULL,
    version bigint NOT NULL CONSTRAINT ck_entries_version CHECK (version >= 1),
    side text NOT NULL CONSTRAINT ck_entries_side CHECK (side IN ('debit', 'credit')),
    layer text NOT NULL CONSTRAINT ck_entries_layer CHECK (layer IN ('posted', 'pending', 'released')),
    amount_minor bigint NOT NULL,
    debits_posted bigint NOT NULL,
    credits_posted bigint NOT NULL,
    debits_pending bigint NOT NULL,
    credits_pending bigint NOT NULL,
    transfer_id uuid,
    hold_id uuid,
    effective_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT pk_entries PRIMARY KEY (account_id, version),
    CONSTRAINT ck_entries_amount_minor CHECK (amount_minor BETWEEN 1 AND {MAX_MINOR}),
    CONSTRAINT ck_entries_debits_posted CHECK (debits_posted BETWEEN 0 AND {MAX_MINOR}),
    CONSTRAINT ck_entries_credits_posted CHECK (credits_posted BETWEEN 0 AND {MAX_MINOR}),
    CONSTRAINT ck_entries_debits_pending CHECK (debits_pending BETWEEN 0 AND {MAX_MINOR}),
    CONSTRAINT ck_entries_credits_pending CHECK (credits_pending BETWEEN 0 AND {MAX_MINOR}),
    CONSTRAINT ck_entries_has_a_cause CHECK (transfer_id IS NOT NULL OR hold_id IS NOT NULL),
    CONSTRAINT ck_entries_postings_have_a_transfer CHECK (layer <> 'posted' OR transfer_id IS NOT NULL)
);
"""

HOLDS = f"""
CREATE TABLE holds (
    id uuid CONSTRAINT pk_holds PRIMARY KEY,
    account_id uuid NOT NULL,
    state text NOT NULL CONSTRAINT ck_holds_state CHECK (state IN ('placed', 'captured', 'released', 'expired')),
    amount_minor bigint NOT NULL,
    captured_minor bigint NOT NULL CONSTRAINT ck_holds_captured CHECK (captured_minor >= 0),
    remaining_minor bigint NOT NULL,
    expires_at timestamptz,
    on_behalf_of text,
    reference text,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT ck_holds_amount_minor CHECK (amount_minor BETWEEN 1 AND {MAX_MINOR}),
    CONSTRAINT ck_holds_never_above_the_amount CHECK (captured_minor + remaining_minor <= amount_minor),
    CONSTRAINT ck_holds_placed_has_a_rest CHECK (
        (state = 'placed') = (remaining_minor > 0) AND remaining_minor >= 0
    )
);
CREATE INDEX ix_holds_expires_at ON holds (expires_at) WHERE state = 'placed';
CREATE INDEX ix_holds_account_id ON holds (account_id) WHERE state = 'placed';

CREATE TABLE reversals (
    transfer_id uuid NOT NULL,
    posting smallint NOT NULL,
    posted_minor bigint NOT NULL,
    reversed_minor bigint NOT NULL,
    CONSTRAINT pk_reversals PRIMARY KEY (transfer_id, posting),
    CONSTRAINT ck_reversals_never_above_what_was_posted CHECK (reversed_minor BETWEEN 1 AND posted_minor)
);
"""

OUTCOMES = """
CREATE TABLE outcomes (
    id uuid CONSTRAINT pk_outcomes PRIMARY KEY,
    fingerprint bytea NOT NULL,
    fields bytea NOT NULL,
    status smallint NOT NULL,
    body bytea NOT NULL,
    recorded_at timestamptz NOT NULL
);
CREATE INDEX ix_outcomes_recorded_at ON outcomes USING brin (recorded_at);
"""

# Facts are written once. The service's own role cannot change or delete them, not even by mistake; only a superuser
# could, and the audit finds that.
APPEND_ONLY = "REVOKE UPDATE, DELETE, TRUNCATE ON wallets, transfers, entries FROM CURRENT_USER"


def upgrade() -> None:
    create_kit_tables(op)
    for statements in (WALLETS, ACCOUNTS, TRANSFERS, ENTRIES, HOLDS, OUTCOMES):
        op.execute(statements)
    op.execute(APPEND_ONLY)


def downgrade() -> None:
    for table in ("outcomes", "reversals", "holds", "entries", "transfers", "accounts", "wallets"):
        op.drop_table(table)
    drop_kit_tables(op)
