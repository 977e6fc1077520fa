"""Imports of any size: how far each has come, and the lines that were not posted.

Revision id: 0007
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

IMPORTS = """
CREATE TABLE imports (
    id uuid NOT NULL,
    opened_by text NOT NULL,
    label text,
    total_lines bigint,
    state text NOT NULL,
    next_line bigint NOT NULL,
    posted bigint NOT NULL,
    replayed bigint NOT NULL,
    refused bigint NOT NULL,
    malformed bigint NOT NULL,
    blank bigint NOT NULL,
    busy_ms bigint NOT NULL,
    opened_at timestamptz NOT NULL,
    progressed_at timestamptz,
    closed_at timestamptz,
    upload uuid,
    upload_until timestamptz,
    CONSTRAINT pk_imports PRIMARY KEY (id),
    CONSTRAINT ck_imports_state CHECK (state IN ('open', 'closed')),
    CONSTRAINT ck_imports_closed_has_a_moment CHECK ((state = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT ck_imports_never_below_zero CHECK (least(posted, replayed, refused, malformed, blank, busy_ms) >= 0),
    CONSTRAINT ck_imports_replayed_were_posted CHECK (replayed <= posted),
    CONSTRAINT ck_imports_every_line_has_one_end CHECK (next_line = posted + refused + malformed + blank),
    CONSTRAINT ck_imports_an_upload_has_an_end CHECK ((upload IS NULL) = (upload_until IS NULL))
) WITH (fillfactor = 70);
CREATE INDEX ix_imports_opened_at_id ON imports (opened_at, id);
CREATE INDEX ix_imports_state_opened_at_id ON imports (state, opened_at, id);
"""

PROBLEMS = """
CREATE TABLE import_problems (
    import_id uuid NOT NULL,
    line bigint NOT NULL CONSTRAINT ck_import_problems_line CHECK (line >= 0),
    outcome text NOT NULL CONSTRAINT ck_import_problems_outcome CHECK (outcome IN ('refused', 'malformed')),
    code text NOT NULL,
    problem jsonb NOT NULL,
    CONSTRAINT pk_import_problems PRIMARY KEY (import_id, line)
);
REVOKE UPDATE, DELETE, TRUNCATE ON import_problems FROM CURRENT_USER;
"""


def upgrade() -> None:
    op.execute(IMPORTS)
    op.execute(PROBLEMS)


def downgrade() -> None:
    op.drop_table("import_problems")
    op.drop_table("imports")
