"""What accounts, wallets and limits are held to becomes facts of its own, sealed like transfers.

Revision id: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

PROMISES = """
CREATE TABLE promises (
    id uuid CONSTRAINT pk_promises PRIMARY KEY,
    kind text NOT NULL CONSTRAINT ck_promises_kind CHECK (kind IN ('account', 'wallet', 'limits')),
    subject text COLLATE "C" NOT NULL,
    step integer NOT NULL CONSTRAINT ck_promises_step CHECK (step >= 1),
    says jsonb NOT NULL,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT uq_promises_kind_subject_step UNIQUE (kind, subject, step)
);
"""

# An index that nothing is in yet, and a constraint that every leaf keeps to: each is read once, under this lock.
TREE = """
ALTER TABLE unsealed ADD COLUMN promises integer NOT NULL DEFAULT 0;
ALTER TABLE leaves
    ADD COLUMN promise_id uuid,
    -- squawk-ignore ban-drop-constraint
    DROP CONSTRAINT ck_leaves_one_fact,
    -- squawk-ignore constraint-missing-not-valid
    ADD CONSTRAINT ck_leaves_one_fact CHECK (num_nonnulls(transfer_id, wallet_id, promise_id) = 1);
-- squawk-ignore require-concurrent-index-creation
CREATE UNIQUE INDEX uq_leaves_promise_id ON leaves (promise_id) WHERE promise_id IS NOT NULL;
"""

# What stands is taken over as it stands: from here on nobody changes it unseen. 5,000 a moment, so that no checkpoint
# has to seal them all at once.
TAKE_OVER = """
INSERT INTO promises (id, kind, subject, step, says, recorded_at)
SELECT gen_random_uuid(), kind, subject, 1, says,
       now() + row_number() OVER () / 5000 * interval '1 microsecond'
FROM (
    SELECT 'account' AS kind, a.id::text AS subject, jsonb_build_object(
               'code', a.code, 'currency', a.currency, 'normal_side', a.normal_side, 'may_overdraw', a.may_overdraw,
               'wallet_id', a.wallet_id, 'floor_minor', a.floor_minor, 'ceiling_minor', a.ceiling_minor,
               'standing', a.standing,
               'opened_at', to_char(a.opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) AS says
    FROM accounts a
    UNION ALL
    SELECT 'wallet', wallet_id::text, jsonb_build_object('role', role, 'standing', standing) FROM wallet_profiles
    UNION ALL
    SELECT 'limits', scope, jsonb_object_agg(currency, jsonb_build_object(
               'transfer_minor', transfer_minor, 'day_minor', day_minor, 'month_minor', month_minor))
    FROM spending_limits GROUP BY scope
) AS standing;
INSERT INTO unsealed (recorded_at, transfers, promises) SELECT recorded_at, 0, count(*) FROM promises GROUP BY 1;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX ix_promises_recorded_at_id ON promises (recorded_at, id);
"""

APPEND_ONLY = "REVOKE UPDATE, DELETE, TRUNCATE ON promises FROM CURRENT_USER"

# Leaves of promises are under checkpoints: a tree without them is another tree. Only one that never had any goes back.
DOWNGRADE = """
DROP INDEX uq_leaves_promise_id;
ALTER TABLE leaves DROP CONSTRAINT ck_leaves_one_fact;
ALTER TABLE leaves ADD CONSTRAINT ck_leaves_one_fact CHECK (num_nonnulls(transfer_id, wallet_id) = 1);
ALTER TABLE leaves DROP COLUMN promise_id;
DELETE FROM unsealed WHERE transfers = 0 AND wallet_id IS NULL;
ALTER TABLE unsealed DROP COLUMN promises;
"""


def upgrade() -> None:
    for statements in (PROMISES, TREE, TAKE_OVER, APPEND_ONLY):
        op.execute(statements)


def downgrade() -> None:
    op.execute(DOWNGRADE)
    op.drop_table("promises")
