"""Alembic beside each service: how migrations are found, run behind a lock, and compared with the tables.

`upgrade` runs at start, on a synchronous psycopg connection, behind an advisory lock, so that several processes of one
service may start at once. Lock and statement timeouts keep a migration from freezing the release that still runs.
"""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from alembic import command, context
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql as pg

from ledgerlink_kit.db import sync_url
from ledgerlink_kit.errors import Defect

if TYPE_CHECKING:
    from alembic.operations import Operations

NAMING: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
_LOCK_KEY: Final = 0x4C4C_4D49  # "LLMI"
_LOCK_TIMEOUT: Final = "5s"
_STATEMENT_TIMEOUT: Final = "5min"


def metadata_for_service() -> sa.MetaData:
    """Give metadata with the house's naming convention for constraints and indexes."""
    return sa.MetaData(naming_convention=NAMING)


def kit_tables(metadata: sa.MetaData) -> None:
    """Add the kit's own tables (idempotency keys, outbox, relay state, inbox) to a service's metadata."""
    sa.Table(
        "idempotency_keys",
        metadata,
        sa.Column("caller", sa.Text, primary_key=True),
        sa.Column("operation", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("fields", pg.JSONB, nullable=False),
        sa.Column("status", sa.SmallInteger),
        sa.Column("body", sa.LargeBinary),
        sa.Column("headers", pg.JSONB),
        sa.Column("lease_token", sa.Uuid),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Index(None, "created_at"),
    )
    outbox = sa.Table(
        "outbox",
        metadata,
        sa.Column("seq", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("aggregate", sa.Text, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("version", sa.SmallInteger, nullable=False),
        # Sent as it was written: nothing looks inside, so there is nothing that JSONB would be parsed for. NULL when
        # the event tells of an immutable fact that is stored beside it: the relay then writes it from that fact.
        sa.Column("data", pg.JSON),
        sa.Column("traceparent", sa.Text, nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("published_at", sa.DateTime(timezone=True)),
    )
    sa.Index("ix_outbox_unpublished", outbox.c.seq, postgresql_where=outbox.c.published_at.is_(None))
    sa.Index("ix_outbox_published_at", outbox.c.published_at, postgresql_where=outbox.c.published_at.is_not(None))
    sa.Table(
        "relay_state",
        metadata,
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("epoch", sa.Text, nullable=False),
    )
    sa.Table(
        "inbox",
        metadata,
        sa.Column("event_id", sa.Uuid, primary_key=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("state", sa.Text, sa.CheckConstraint("state IN ('done', 'dead')", name="state"), nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("envelope", pg.JSONB),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Index(None, "recorded_at"),
    )


_KIT_TABLES: Final = ("idempotency_keys", "outbox", "relay_state", "inbox")


# As they were at first; what changed since stands below, each change in a function that a service's migration calls.
_FIRST_TABLES: Final = (
    """
CREATE TABLE idempotency_keys (
    caller text NOT NULL,
    operation text NOT NULL,
    key text NOT NULL,
    fingerprint bytea NOT NULL,
    fields jsonb NOT NULL,
    status smallint,
    body bytea,
    headers jsonb,
    lease_token uuid,
    lease_until timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (caller, operation, key)
);
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at);
""",
    """
CREATE TABLE inbox (
    event_id uuid NOT NULL CONSTRAINT pk_inbox PRIMARY KEY,
    type text NOT NULL,
    state text NOT NULL CONSTRAINT ck_inbox_state CHECK (state IN ('done', 'dead')),
    error text,
    envelope jsonb,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_inbox_recorded_at ON inbox (recorded_at);
""",
    """
CREATE TABLE outbox (
    seq bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_outbox PRIMARY KEY,
    id uuid NOT NULL CONSTRAINT uq_outbox_id UNIQUE,
    aggregate text NOT NULL,
    type text NOT NULL,
    version smallint NOT NULL,
    data jsonb NOT NULL,
    traceparent text NOT NULL,
    occurred_at timestamptz NOT NULL,
    lease_until timestamptz,
    published_at timestamptz
);
CREATE INDEX ix_outbox_published_at ON outbox (published_at);
CREATE INDEX ix_outbox_unpublished ON outbox (seq) WHERE published_at IS NULL;
""",
    "CREATE TABLE relay_state (name text NOT NULL CONSTRAINT pk_relay_state PRIMARY KEY, epoch text NOT NULL)",
)
_SLIM_OUTBOX: Final = """
-- The outbox holds a week of events at the most, so rewriting it takes moments.
-- squawk-ignore changing-column-type
ALTER TABLE outbox ALTER COLUMN data TYPE json USING data::text::json;
-- squawk-ignore ban-drop-not-null
ALTER TABLE outbox ALTER COLUMN data DROP NOT NULL;
-- squawk-ignore ban-drop-constraint
ALTER TABLE outbox DROP CONSTRAINT uq_outbox_id;
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX ix_outbox_published_at;
CREATE INDEX ix_outbox_published_at ON outbox (published_at) WHERE published_at IS NOT NULL;
"""
_WIDEN_OUTBOX: Final = """
DELETE FROM outbox WHERE data IS NULL;
ALTER TABLE outbox ALTER COLUMN data TYPE jsonb USING data::text::jsonb;
ALTER TABLE outbox ALTER COLUMN data SET NOT NULL;
ALTER TABLE outbox ADD CONSTRAINT uq_outbox_id UNIQUE (id);
DROP INDEX ix_outbox_published_at;
CREATE INDEX ix_outbox_published_at ON outbox (published_at);
"""


def create_kit_tables(op: "Operations | Any") -> None:
    """Create the kit's tables as they were at first; for use in a service's first migration."""
    for statements in _FIRST_TABLES:
        op.execute(statements)


def slim_outbox(op: "Operations | Any") -> None:
    """Make an outbox row cheap to write: JSON as text, two indexes; the second version of the kit's tables."""
    op.execute(_SLIM_OUTBOX)


def widen_outbox(op: "Operations | Any") -> None:
    """Undo `slim_outbox`."""
    op.execute(_WIDEN_OUTBOX)


def drop_kit_tables(op: "Operations | Any") -> None:
    """Drop the kit's tables; for use in the downgrade of a service's first migration."""
    for table in reversed(_KIT_TABLES):
        op.drop_table(table)


def locate(package: str) -> Path:
    """Find the migrations of ``package``: inside an installed wheel, or beside ``src`` in a checkout."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Defect(f"The package {package} is not installed.")
    inside = Path(spec.origin).parent / "migrations"
    beside = Path(spec.origin).parents[2] / "migrations"
    for folder in (inside, beside):
        if (folder / "env.py").is_file():
            return folder
    raise Defect(f"{package} has no migrations beside it.")


def config_for(package: str, database_url: str) -> Config:
    """Give Alembic's configuration for ``package`` on ``database_url``."""
    config = Config()
    config.set_main_option("script_location", str(locate(package)))
    config.set_main_option("path_separator", "os")
    config.attributes["database_url"] = database_url
    return config


def upgrade(package: str, database_url: str, revision: str = "head") -> None:
    """Bring the database of ``package`` to ``revision``; waits for its turn behind the advisory lock."""
    command.upgrade(config_for(package, database_url), revision)


def downgrade(package: str, database_url: str, revision: str) -> None:
    """Take the database of ``package`` back to ``revision`` (tests and emergencies)."""
    command.downgrade(config_for(package, database_url), revision)


def differences(package: str, database_url: str, metadata: sa.MetaData) -> list[Any]:
    """List how the migrated database differs from ``metadata``; an empty list is what a test wants."""
    upgrade(package, database_url)
    engine = sa.create_engine(sync_url(database_url), poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            return list(compare_metadata(MigrationContext.configure(connection), metadata))
    finally:
        engine.dispose()


def run_env(target_metadata: sa.MetaData) -> None:
    """Be the body of a service's `env.py`."""
    config = context.config
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", target_metadata=target_metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    url: str | None = config.attributes.get("database_url")
    if url is None:
        raise Defect("Give the database's address in the configuration's `database_url` attribute.")
    engine = sa.create_engine(sync_url(url), poolclass=sa.NullPool)
    try:
        with engine.connect() as connection:
            # One process migrates, the others wait; the lock ends with the transaction.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
            connection.execute(sa.text(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT}'"))
            context.configure(connection=connection, target_metadata=target_metadata, transactional_ddl=True)
            context.run_migrations()
            connection.commit()
    finally:
        engine.dispose()
