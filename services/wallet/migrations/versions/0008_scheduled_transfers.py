"""Scheduled transfers: what is to be moved and when, and what became of each occurrence.

Revision id: 0008
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MAX_MINOR = 9_007_199_254_740_991

SCHEDULES = f"""
CREATE TABLE scheduled_transfers (
    id uuid NOT NULL CONSTRAINT pk_scheduled_transfers PRIMARY KEY,
    wallet_id uuid NOT NULL,
    to_wallet_id uuid NOT NULL,
    owner text NOT NULL,
    amount_minor bigint NOT NULL
        CONSTRAINT ck_scheduled_transfers_amount_minor CHECK (amount_minor BETWEEN 1 AND {MAX_MINOR}),
    currency text NOT NULL,
    reference text,
    metadata jsonb NOT NULL,
    starts_at timestamptz NOT NULL,
    every smallint,
    unit text,
    time_zone text,
    ends_at timestamptz,
    total integer,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    state text NOT NULL CONSTRAINT ck_scheduled_transfers_state
        CHECK (state IN ('active', 'paused', 'completed', 'canceled', 'stopped')),
    next_number integer NOT NULL CONSTRAINT ck_scheduled_transfers_next_number CHECK (next_number >= 0),
    next_due_at timestamptz,
    try_at timestamptz,
    tries smallint NOT NULL,
    code text,
    detail text,
    changed_at timestamptz NOT NULL,
    CONSTRAINT ck_scheduled_transfers_two_wallets CHECK (wallet_id <> to_wallet_id),
    CONSTRAINT ck_scheduled_transfers_a_recurrence CHECK (
        num_nonnulls(every, unit, time_zone) IN (0, 3) AND every BETWEEN 1 AND 366 AND unit IN ('day', 'week', 'month')
    ),
    CONSTRAINT ck_scheduled_transfers_an_end CHECK (
        num_nonnulls(ends_at, total) = 0 OR num_nonnulls(ends_at, total) = 1 AND every IS NOT NULL
        AND coalesce(ends_at, starts_at) >= starts_at AND coalesce(total, 1) BETWEEN 1 AND 10000
    ),
    CONSTRAINT ck_scheduled_transfers_goes_on_while_something_is_due CHECK (
        (state IN ('active', 'paused')) = (next_due_at IS NOT NULL) AND num_nonnulls(next_due_at, try_at) IN (0, 2)
    ),
    CONSTRAINT ck_scheduled_transfers_tries_have_a_refusal CHECK (
        (tries > 0) = (code IS NOT NULL) AND num_nonnulls(code, detail) IN (0, 2) AND tries BETWEEN 0 AND 3
    )
) WITH (fillfactor = 70);
CREATE INDEX ix_scheduled_transfers_try_at ON scheduled_transfers (try_at) WHERE state = 'active';
CREATE INDEX ix_scheduled_transfers_wallet_id_created_at_id ON scheduled_transfers (wallet_id, created_at, id);
CREATE INDEX ix_scheduled_transfers_wallet_id_state_created_at_id
    ON scheduled_transfers (wallet_id, state, created_at, id);
"""

OCCURRENCES = """
CREATE TABLE occurrences (
    schedule_id uuid NOT NULL,
    number integer NOT NULL CONSTRAINT ck_occurrences_number CHECK (number >= 0),
    last_number integer NOT NULL,
    due_at timestamptz NOT NULL,
    state text NOT NULL CONSTRAINT ck_occurrences_state CHECK (state IN ('executed', 'failed', 'skipped')),
    tries smallint NOT NULL,
    transfer_id uuid,
    code text,
    detail text,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT pk_occurrences PRIMARY KEY (schedule_id, number),
    CONSTRAINT ck_occurrences_only_skipped_ones_are_many CHECK (
        last_number = number OR last_number > number AND state = 'skipped'
    ),
    CONSTRAINT ck_occurrences_executed_has_a_transfer CHECK ((state = 'executed') = (transfer_id IS NOT NULL)),
    CONSTRAINT ck_occurrences_others_have_a_reason CHECK (
        (state = 'executed') = (code IS NULL) AND num_nonnulls(code, detail) IN (0, 2)
    ),
    CONSTRAINT ck_occurrences_skipped_is_not_tried CHECK ((state = 'skipped') = (tries = 0) AND tries BETWEEN 0 AND 4)
);
REVOKE UPDATE, DELETE, TRUNCATE ON occurrences FROM CURRENT_USER;
"""


def upgrade() -> None:
    op.execute(SCHEDULES)
    op.execute(OCCURRENCES)


def downgrade() -> None:
    op.drop_table("occurrences")
    op.drop_table("scheduled_transfers")
