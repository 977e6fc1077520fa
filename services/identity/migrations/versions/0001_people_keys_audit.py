"""Lay out identity: people, sessions, mailed tokens, signing keys and the audit chain."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from ledgerlink_kit.migrations import create_kit_tables, drop_kit_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the rows of % are append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$
"""
TABLES = (
    "unsealed_events",
    "security_seals",
    "security_events",
    "signing_keys",
    "mails",
    "one_time_tokens",
    "login_throttles",
    "sessions",
    "users",
)


def upgrade() -> None:
    create_kit_tables(op)
    _create_people()
    _create_mail()
    _create_keys()
    _create_audit()


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_change()")
    drop_kit_tables(op)


def _create_people() -> None:
    """Create users and their sessions."""
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False, comment="The address, case-folded"),
        sa.Column("full_name", sa.Text(), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("password_changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("roles", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("email_verified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_login_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "roles <@ ARRAY['admin', 'auditor', 'customer', 'merchant', 'operator', 'risk_analyst', 'support']::text[]"
            " AND cardinality(roles) > 0",
            name=op.f("ck_users_roles"),
        ),
        sa.CheckConstraint("length(email) <= 254", name=op.f("ck_users_email")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email_key", name=op.f("uq_users_email_key")),
    )
    op.create_index("ix_users_admins", "users", ["id"], unique=False, postgresql_where=sa.text("'admin' = ANY (roles)"))
    op.create_table(
        "sessions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column(
            "scope_limit",
            sa.Text(),
            nullable=True,
            comment="What the sign-in was narrowed to; null for all that the roles hold",
        ),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("user_agent", sa.Text(), nullable=False),
        sa.Column(
            "seed", sa.LargeBinary(), nullable=False, comment="Of the family's refresh tokens; useless without the key"
        ),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False, comment="SHA-256 of the current refresh token"),
        sa.Column("rotated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "rotated_by",
            sa.LargeBinary(),
            nullable=True,
            comment="Fingerprint of the client that made the current token",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_because", sa.Text(), nullable=True),
        sa.CheckConstraint("(revoked_at IS NULL) = (revoked_because IS NULL)", name=op.f("ck_sessions_revoked")),
        sa.CheckConstraint("(rotated_at IS NULL) = (rotated_by IS NULL)", name=op.f("ck_sessions_rotated")),
        sa.CheckConstraint("generation >= 0", name=op.f("ck_sessions_generation")),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("ck_sessions_token_hash")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
    )
    op.create_index(
        "ix_sessions_live",
        "sessions",
        ["user_id", "created_at"],
        unique=False,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_index("ix_sessions_user_id_address", "sessions", ["user_id", "address"], unique=False)
    op.create_table(
        "login_throttles",
        sa.Column("email_key", sa.Text(), nullable=False, comment="Whether or not it belongs to anybody"),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_failure_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("failures >= 0", name=op.f("ck_login_throttles_failures")),
        sa.PrimaryKeyConstraint("email_key", "address", name=op.f("pk_login_throttles")),
    )
    op.create_index(op.f("ix_login_throttles_last_failure_at"), "login_throttles", ["last_failure_at"], unique=False)


def _create_mail() -> None:
    """Create one-time tokens and the mails that carry them."""
    op.create_table(
        "one_time_tokens",
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("purpose IN ('verification', 'password-reset')", name=op.f("ck_one_time_tokens_purpose")),
        sa.CheckConstraint("octet_length(token_hash) = 32", name=op.f("ck_one_time_tokens_token_hash")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_one_time_tokens_user_id")),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_one_time_tokens")),
    )
    op.create_index(op.f("ix_one_time_tokens_expires_at"), "one_time_tokens", ["expires_at"], unique=False)
    op.create_index(op.f("ix_one_time_tokens_user_id_purpose"), "one_time_tokens", ["user_id", "purpose"], unique=False)
    op.create_table(
        "mails",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False, comment="As asked for, whether or not it belongs to anybody"),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.SmallInteger(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'waiting') = (finished_at IS NULL)", name=op.f("ck_mails_finished")),
        sa.CheckConstraint("purpose IN ('verification', 'password-reset')", name=op.f("ck_mails_purpose")),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'dropped', 'failed')", name=op.f("ck_mails_state")),
        sa.CheckConstraint("tries >= 0", name=op.f("ck_mails_tries")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mails")),
    )
    op.create_index(
        op.f("ix_mails_email_key_purpose_finished_at"), "mails", ["email_key", "purpose", "finished_at"], unique=False
    )
    op.create_index(op.f("ix_mails_finished_at"), "mails", ["finished_at"], unique=False)
    op.create_index(
        "ix_mails_waiting", "mails", ["next_try_at"], unique=False, postgresql_where=sa.text("state = 'waiting'")
    )


def _create_keys() -> None:
    """Create signing keys."""
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text(), nullable=False, comment="RFC 7638 thumbprint"),
        sa.Column("algorithm", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("public_jwk", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "private_sealed", sa.LargeBinary(), nullable=False, comment="The private JWK under AES-256-GCM, kid as AAD"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("activated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("retired_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'pre-published' AND activated_at IS NULL AND retired_at IS NULL)"
            " OR (state = 'active' AND activated_at IS NOT NULL AND retired_at IS NULL)"
            " OR (state = 'retired' AND activated_at IS NOT NULL AND retired_at IS NOT NULL)",
            name=op.f("ck_signing_keys_state"),
        ),
        sa.CheckConstraint("NOT jsonb_exists(public_jwk, 'd')", name=op.f("ck_signing_keys_public_jwk")),
        sa.CheckConstraint("algorithm IN ('ES256')", name=op.f("ck_signing_keys_algorithm")),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_keys")),
    )
    op.create_index(
        "uq_signing_keys_one_of_each",
        "signing_keys",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state != 'retired'"),
    )


def _create_audit() -> None:
    """Create the security events and their chain, both append-only."""
    op.create_table(
        "security_events",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("happening", sa.Text(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_security_events")),
        sa.UniqueConstraint("id", name=op.f("uq_security_events_id")),
    )
    op.create_index(
        op.f("ix_security_events_subject_occurred_at"), "security_events", ["subject", "occurred_at"], unique=False
    )
    op.create_table(
        "security_seals",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "octet_length(hash) = 32 AND octet_length(previous_hash) = 32", name=op.f("ck_security_seals_hash")
        ),
        sa.CheckConstraint("position > 0", name=op.f("ck_security_seals_position")),
        sa.ForeignKeyConstraint(["event_id"], ["security_events.id"], name=op.f("fk_security_seals_event_id")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_security_seals")),
        sa.UniqueConstraint("event_id", name=op.f("uq_security_seals_event_id")),
    )
    op.create_table(
        "unsealed_events",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["security_events.id"], name=op.f("fk_unsealed_events_event_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_unsealed_events")),
        sa.UniqueConstraint("event_id", name=op.f("uq_unsealed_events_event_id")),
    )
    op.execute(APPEND_ONLY)
    for table in ("security_events", "security_seals"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
