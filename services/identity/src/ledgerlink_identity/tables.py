"""The tables of identity. What the domain decides, a constraint here holds as well."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from ledgerlink_contracts.permissions import Role
from ledgerlink_kit.migrations import kit_tables, metadata_for_service

METADATA = metadata_for_service()
kit_tables(METADATA)

_MOMENT = sa.DateTime(timezone=True)
_ROLES = ", ".join(f"'{role}'" for role in sorted(Role))

users = sa.Table(
    "users",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("email_key", sa.Text, nullable=False, unique=True, comment="The address, case-folded"),
    sa.Column("full_name", sa.Text),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("password_changed_at", _MOMENT, nullable=False),
    sa.Column("roles", pg.ARRAY(sa.Text), nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("email_verified_at", _MOMENT),
    sa.Column("last_login_at", _MOMENT),
    sa.CheckConstraint(f"roles <@ ARRAY[{_ROLES}]::text[] AND cardinality(roles) > 0", name="roles"),
    sa.CheckConstraint("length(email) <= 254", name="email"),
)
sa.Index("ix_users_admins", users.c.id, postgresql_where=sa.text("'admin' = ANY (roles)"))

sessions = sa.Table(
    "sessions",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=False),
    sa.Column("client_id", sa.Text, nullable=False),
    sa.Column("scope_limit", sa.Text, comment="What the sign-in was narrowed to; null for all that the roles hold"),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("user_agent", sa.Text, nullable=False),
    sa.Column(
        "seed", sa.LargeBinary, nullable=False, comment="Of the family's refresh tokens; useless without the key"
    ),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("token_hash", sa.LargeBinary, nullable=False, comment="SHA-256 of the current refresh token"),
    sa.Column("rotated_at", _MOMENT),
    sa.Column("rotated_by", sa.LargeBinary, comment="Fingerprint of the client that made the current token"),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("last_used_at", _MOMENT, nullable=False),
    sa.Column("revoked_at", _MOMENT),
    sa.Column("revoked_because", sa.Text),
    sa.CheckConstraint("generation >= 0", name="generation"),
    sa.CheckConstraint("octet_length(token_hash) = 32", name="token_hash"),
    sa.CheckConstraint("(rotated_at IS NULL) = (rotated_by IS NULL)", name="rotated"),
    sa.CheckConstraint("(revoked_at IS NULL) = (revoked_because IS NULL)", name="revoked"),
)
sa.Index(
    "ix_sessions_live",
    sessions.c.user_id,
    sessions.c.created_at,
    postgresql_where=sessions.c.revoked_at.is_(None),
)
sa.Index("ix_sessions_user_id_address", sessions.c.user_id, sessions.c.address)

login_throttles = sa.Table(
    "login_throttles",
    METADATA,
    sa.Column("email_key", sa.Text, primary_key=True, comment="Whether or not it belongs to anybody"),
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("last_failure_at", _MOMENT, nullable=False),
    sa.Column("blocked_until", _MOMENT),
    sa.CheckConstraint("failures >= 0", name="failures"),
    sa.Index(None, "last_failure_at"),
)

one_time_tokens = sa.Table(
    "one_time_tokens",
    METADATA,
    sa.Column("token_hash", sa.LargeBinary, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey("users.id"), nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("expires_at", _MOMENT, nullable=False),
    sa.Column("used_at", _MOMENT),
    sa.CheckConstraint("purpose IN ('verification', 'password-reset')", name="purpose"),
    sa.CheckConstraint("octet_length(token_hash) = 32", name="token_hash"),
    sa.Index(None, "user_id", "purpose"),
    sa.Index(None, "expires_at"),
)

mails = sa.Table(
    "mails",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("email_key", sa.Text, nullable=False, comment="As asked for, whether or not it belongs to anybody"),
    sa.Column("requested_at", _MOMENT, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("tries", sa.SmallInteger, nullable=False),
    sa.Column("next_try_at", _MOMENT, nullable=False),
    sa.Column("finished_at", _MOMENT),
    sa.CheckConstraint("purpose IN ('verification', 'password-reset')", name="purpose"),
    sa.CheckConstraint("state IN ('waiting', 'sent', 'dropped', 'failed')", name="state"),
    sa.CheckConstraint("(state = 'waiting') = (finished_at IS NULL)", name="finished"),
    sa.CheckConstraint("tries >= 0", name="tries"),
)
sa.Index("ix_mails_waiting", mails.c.next_try_at, postgresql_where=mails.c.state == sa.literal_column("'waiting'"))
sa.Index(None, mails.c.email_key, mails.c.purpose, mails.c.finished_at)
sa.Index(None, mails.c.finished_at)

signing_keys = sa.Table(
    "signing_keys",
    METADATA,
    sa.Column("kid", sa.Text, primary_key=True, comment="RFC 7638 thumbprint"),
    sa.Column("algorithm", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("public_jwk", pg.JSONB, nullable=False),
    sa.Column(
        "private_sealed", sa.LargeBinary, nullable=False, comment="The private JWK under AES-256-GCM, kid as AAD"
    ),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("activated_at", _MOMENT),
    sa.Column("retired_at", _MOMENT),
    sa.CheckConstraint("algorithm IN ('ES256')", name="algorithm"),
    sa.CheckConstraint(
        "(state = 'pre-published' AND activated_at IS NULL AND retired_at IS NULL)"
        " OR (state = 'active' AND activated_at IS NOT NULL AND retired_at IS NULL)"
        " OR (state = 'retired' AND activated_at IS NOT NULL AND retired_at IS NOT NULL)",
        name="state",
    ),
    sa.CheckConstraint("NOT jsonb_exists(public_jwk, 'd')", name="public_jwk"),
)
sa.Index(
    "uq_signing_keys_one_of_each",
    signing_keys.c.state,
    unique=True,
    postgresql_where=signing_keys.c.state != sa.literal_column("'retired'"),
)

security_events = sa.Table(
    "security_events",
    METADATA,
    sa.Column("seq", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("id", sa.Uuid, nullable=False, unique=True),
    sa.Column("happening", sa.Text, nullable=False),
    sa.Column("subject", sa.Uuid),
    sa.Column("actor", sa.Text),
    sa.Column("address", sa.Text),
    sa.Column("details", pg.JSONB, nullable=False),
    sa.Column("occurred_at", _MOMENT, nullable=False),
    sa.Index(None, "subject", "occurred_at"),
)

security_seals = sa.Table(
    "security_seals",
    METADATA,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("event_id", sa.Uuid, sa.ForeignKey("security_events.id"), nullable=False, unique=True),
    sa.Column("previous_hash", sa.LargeBinary, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.CheckConstraint("position > 0", name="position"),
    sa.CheckConstraint("octet_length(hash) = 32 AND octet_length(previous_hash) = 32", name="hash"),
)

unsealed_events = sa.Table(
    "unsealed_events",
    METADATA,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("event_id", sa.Uuid, sa.ForeignKey("security_events.id"), nullable=False, unique=True),
)
"""What the sealer has still to do; written with the event, removed with its seal."""
