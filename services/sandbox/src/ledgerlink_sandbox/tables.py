"""The provider's own books: every line that the domain holds stands here once more as a constraint."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from ledgerlink_kit.migrations import metadata_for_service
from ledgerlink_kit.money import MAX_MINOR

KEY_CHARS_MAX = 255
"""Longest key that a caller may make."""

metadata = metadata_for_service()

_BOUNDED = f"amount BETWEEN 1 AND {MAX_MINOR}"
_KEYED = f"char_length(key) BETWEEN 1 AND {KEY_CHARS_MAX}"
_INSTANT = DateTime(timezone=True)

authorizations = Table(
    "authorizations",
    metadata,
    Column("key", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("payment_method", Text, nullable=False),
    Column("capture", Boolean, nullable=False),
    Column("metadata", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("decline", Text),
    Column("captured", BigInteger, nullable=False),
    Column("released", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    CheckConstraint(_KEYED, name="key_bounded"),
    CheckConstraint(_BOUNDED, name="amount_bounded"),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_code"),
    CheckConstraint(
        "status IN ('authorized', 'partially_captured', 'captured', 'voided', 'declined')", name="status_known"
    ),
    CheckConstraint("(status = 'declined') = (decline IS NOT NULL)", name="decline_has_reason"),
    CheckConstraint("captured >= 0 AND released >= 0 AND captured + released <= amount", name="never_more_than_asked"),
    CheckConstraint("refunded >= 0 AND refunded <= captured", name="never_more_back_than_came"),
)

captures = Table(
    "captures",
    metadata,
    Column("key", Text, primary_key=True),
    Column("authorization_key", Text, ForeignKey("authorizations.key"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("final", Boolean, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    CheckConstraint(_KEYED, name="key_bounded"),
    CheckConstraint(_BOUNDED, name="amount_bounded"),
    Index("ix_captures_authorization_key", "authorization_key"),
)

refunds = Table(
    "refunds",
    metadata,
    Column("key", Text, primary_key=True),
    Column("authorization_key", Text, ForeignKey("authorizations.key"), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("metadata", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("failure", Text),
    Column("due_at", _INSTANT),
    Column("version", Integer, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    CheckConstraint(_KEYED, name="key_bounded"),
    CheckConstraint(_BOUNDED, name="amount_bounded"),
    CheckConstraint("status IN ('pending', 'succeeded', 'failed')", name="status_known"),
    CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", name="failure_has_reason"),
    CheckConstraint("status <> 'pending' OR due_at IS NOT NULL", name="pending_ends"),
    Index("ix_refunds_authorization_key", "authorization_key"),
    Index("ix_refunds_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)

payouts = Table(
    "payouts",
    metadata,
    Column("key", Text, primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("metadata", JSONB, nullable=False),
    Column("status", Text, nullable=False),
    Column("failure", Text),
    Column("due_at", _INSTANT),
    Column("version", Integer, nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    CheckConstraint(_KEYED, name="key_bounded"),
    CheckConstraint(_BOUNDED, name="amount_bounded"),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_code"),
    CheckConstraint("status IN ('pending', 'paid', 'failed')", name="status_known"),
    CheckConstraint("(status = 'failed') = (failure IS NOT NULL)", name="failure_has_reason"),
    CheckConstraint("(status = 'pending') = (due_at IS NOT NULL)", name="pending_ends"),
    Index("ix_payouts_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)

# What the provider has to tell. `message_id` is the wire's id and is not unique: a duplicate asked for is a second row.
events = Table(
    "events",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("message_id", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("next_at", _INSTANT, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("lease_token", Uuid),
    Column("ended_at", _INSTANT),
    Column("ended_how", Text),
    Column("created_at", _INSTANT, nullable=False),
    Column("traceparent", Text),
    CheckConstraint("ended_how IN ('delivered', 'given_up')", name="end_known"),
    CheckConstraint("(ended_at IS NULL) = (ended_how IS NULL)", name="end_has_moment"),
    # Partial, so that what is delivered costs the sender nothing however long it is kept.
    Index("ix_events_next_at", "next_at", postgresql_where=text("ended_at IS NULL")),
    Index("ix_events_ended_at", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
)
