"""The tables of payments and what the database itself holds true.

Amounts are minor units, bounded at 2^53−1. The columns ``next_action_at``, ``lease_until``, ``lease_token`` and
``tries`` make a row its own job: what is due and not leased is claimed with SKIP LOCKED; a finished row has no
``next_action_at``.
"""

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from ledgerlink_kit.migrations import kit_tables, metadata_for_service
from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_payments.domain.attempts import Operation
from ledgerlink_payments.domain.intents import CancellationReason, CaptureMethod
from ledgerlink_payments.domain.machines import ATTEMPT, INTENT, PAYOUT, REFUND, AttemptState, PayoutState
from ledgerlink_payments.domain.webhooks import DeliveryState, EndpointStatus, Lane

metadata: Final = metadata_for_service()
kit_tables(metadata)

_BIG = sa.BigInteger
_MOMENT = sa.DateTime(timezone=True)


def _amount(column: str, *, least: int) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} BETWEEN {least} AND {MAX_MINOR}", name=column)


def _one_of(column: str, values: Any) -> sa.CheckConstraint:
    names = ", ".join(f"'{value.value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({names})", name=column)


def _work() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("next_action_at", _MOMENT),
        sa.Column("lease_until", _MOMENT),
        sa.Column("lease_token", sa.Uuid),
        sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
        # The trace of the request that made the row, if it is recorded: who takes the work up goes on in it.
        sa.Column("traceparent", sa.Text),
    )


def _due(table: sa.Table) -> None:
    sa.Index(f"ix_{table.name}_due", table.c.next_action_at, postgresql_where=table.c.next_action_at.is_not(None))


merchants = sa.Table(
    "merchants",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("email", sa.Text),
    sa.Column("country", sa.Text, nullable=False),
    sa.Column("default_currency", sa.Text, nullable=False),
    sa.Column("external_account", sa.Text, nullable=False),
    sa.Column("metadata", JSONB, nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Index(None, "owner", "created_at", "id"),
    sa.Index(None, "created_at", "id"),
)

intents = sa.Table(
    "intents",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("amount_minor", _BIG, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("merchant_id", sa.Uuid, sa.ForeignKey("merchants.id")),
    sa.Column("capture_method", sa.Text, nullable=False),
    sa.Column("payment_method", sa.Text),
    sa.Column("exchange_currency", sa.Text),
    sa.Column("exchange_minor", _BIG),
    sa.Column("exchange_refunded_minor", _BIG, nullable=False),
    sa.Column("unlimited", sa.Boolean, nullable=False),
    sa.Column("captured_minor", _BIG, nullable=False),
    sa.Column("capturable_minor", _BIG, nullable=False),
    sa.Column("refunded_minor", _BIG, nullable=False),
    sa.Column("latest_attempt", sa.Uuid),
    sa.Column("review_case", sa.Text),
    sa.Column("last_error", JSONB(none_as_null=True)),
    sa.Column("description", sa.Text),
    sa.Column("metadata", JSONB, nullable=False),
    sa.Column("canceled_at", _MOMENT),
    sa.Column("cancellation_reason", sa.Text),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.CheckConstraint(INTENT.check_sql("state"), name="state"),
    _one_of("capture_method", CaptureMethod),
    _one_of("cancellation_reason", CancellationReason),
    _amount("amount_minor", least=1),
    _amount("exchange_minor", least=1),
    _amount("exchange_refunded_minor", least=0),
    _amount("captured_minor", least=0),
    _amount("capturable_minor", least=0),
    _amount("refunded_minor", least=0),
    # The law of this service: never more given back than collected, never more collected than agreed.
    sa.CheckConstraint("refunded_minor <= captured_minor", name="refunded_at_most_captured"),
    sa.CheckConstraint("captured_minor + capturable_minor <= amount_minor", name="captured_at_most_agreed"),
    sa.CheckConstraint("(exchange_currency IS NULL) = (exchange_minor IS NULL)", name="exchange_whole"),
    sa.CheckConstraint("(merchant_id IS NOT NULL) = (left(destination, 5) = 'acct_')", name="merchant_named"),
    sa.CheckConstraint("state <> 'succeeded' OR captured_minor > 0", name="succeeded_means_captured"),
    sa.Index(None, "owner", "created_at", "id"),
    sa.Index(None, "merchant_id", "created_at", "id"),
    sa.Index(None, "created_at", "id"),
    postgresql_with={"fillfactor": "80"},
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("intent_id", sa.Uuid, sa.ForeignKey("intents.id"), nullable=False),
    sa.Column("connector", sa.Text, nullable=False),
    sa.Column("payment_method", sa.Text, nullable=False),
    sa.Column("amount_minor", _BIG, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("capture", sa.Boolean, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("operation", sa.Text, nullable=False),
    sa.Column("operations", sa.Integer, nullable=False),
    sa.Column("operation_minor", _BIG, nullable=False),
    sa.Column("captured_minor", _BIG, nullable=False),
    sa.Column("posted", sa.Boolean, nullable=False),
    sa.Column("reference", sa.Text),
    sa.Column("case_id", sa.Text),
    # Written by releases before 0.2 only; it goes when none of them can be running.
    sa.Column("resolution", sa.Text),
    sa.Column("degraded", sa.Boolean, nullable=False),
    sa.Column("error", JSONB(none_as_null=True)),
    sa.Column("begun_by", sa.Uuid),
    sa.Column("created_at", _MOMENT, nullable=False),
    *_work(),
    sa.CheckConstraint(ATTEMPT.check_sql("state"), name="state"),
    _one_of("operation", Operation),
    sa.CheckConstraint("resolution IN ('approve', 'decline')", name="resolution"),
    _amount("amount_minor", least=1),
    _amount("operation_minor", least=0),
    sa.CheckConstraint("captured_minor BETWEEN 0 AND amount_minor", name="captured_minor"),
    sa.CheckConstraint("NOT posted OR state = 'captured'", name="posted_means_captured"),
    sa.Index(None, "intent_id", "created_at"),
    postgresql_with={"fillfactor": "80"},
)
_due(attempts)
sa.Index(
    "uq_attempts_open",
    attempts.c.intent_id,
    unique=True,
    postgresql_where=attempts.c.state.notin_([state.value for state in AttemptState if state in ATTEMPT.final()]),
)

refunds = sa.Table(
    "refunds",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("intent_id", sa.Uuid, sa.ForeignKey("intents.id"), nullable=False),
    sa.Column("attempt_id", sa.Uuid, sa.ForeignKey("attempts.id"), nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("connector", sa.Text, nullable=False),
    sa.Column("payment_method", sa.Text, nullable=False),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("amount_minor", _BIG, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("exchange_currency", sa.Text),
    sa.Column("exchange_minor", _BIG),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("posted", sa.Boolean, nullable=False),
    sa.Column("late", sa.Boolean, nullable=False),
    sa.Column("reference", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("failure_reason", sa.Text),
    sa.Column("metadata", JSONB, nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False),
    *_work(),
    sa.CheckConstraint(REFUND.check_sql("state"), name="state"),
    _amount("amount_minor", least=1),
    _amount("exchange_minor", least=0),
    sa.CheckConstraint("(exchange_currency IS NULL) = (exchange_minor IS NULL)", name="exchange_whole"),
    sa.CheckConstraint("NOT late OR state = 'failed'", name="late_means_failed"),
    sa.Index(None, "intent_id", "created_at", "id"),
    sa.Index(None, "created_at", "id"),
)
_due(refunds)

payouts = sa.Table(
    "payouts",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("merchant_id", sa.Uuid, sa.ForeignKey("merchants.id"), nullable=False),
    sa.Column("connector", sa.Text, nullable=False),
    sa.Column("destination", sa.Text, nullable=False),
    sa.Column("amount_minor", _BIG, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reserved", sa.Boolean, nullable=False),
    sa.Column("posted", sa.Boolean, nullable=False),
    sa.Column("late", sa.Boolean, nullable=False),
    sa.Column("reference", sa.Text),
    sa.Column("description", sa.Text),
    sa.Column("failure_code", sa.Text),
    sa.Column("metadata", JSONB, nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False),
    *_work(),
    sa.CheckConstraint(PAYOUT.check_sql("state"), name="state"),
    _amount("amount_minor", least=1),
    sa.CheckConstraint("NOT late OR state = 'failed'", name="late_means_failed"),
    sa.Index(None, "merchant_id", "created_at", "id"),
    sa.Index(None, "created_at", "id"),
)
_due(payouts)
sa.Index(
    # A merchant's balance stands in another service: one payout at a time may read it and set money aside.
    "uq_payouts_reserving",
    payouts.c.merchant_id,
    payouts.c.currency,
    unique=True,
    postgresql_where=sa.and_(payouts.c.state == PayoutState.CREATED.value, payouts.c.reserved.is_(False)),
)

events = sa.Table(
    # What merchants and payers are told, in Stripe's types, as it was when it happened. `fanned_out_at` is set when the
    # deliveries to webhook endpoints have been written.
    "events",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("object_id", sa.Text, nullable=False),
    sa.Column("object", JSONB, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("merchant_id", sa.Uuid),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("fanned_out_at", _MOMENT),
    sa.Column("traceparent", sa.Text),
    sa.Index(None, "owner", "created_at", "id"),
    sa.Index(None, "merchant_id", "created_at", "id"),
    sa.Index(None, "created_at", "id"),
)
sa.Index("ix_events_waiting", events.c.created_at, events.c.id, postgresql_where=events.c.fanned_out_at.is_(None))

provider_events = sa.Table(
    # The inbox of incoming webhooks: each of a provider's events once, as it came.
    "provider_events",
    metadata,
    sa.Column("connector", sa.Text, primary_key=True),
    sa.Column("event_id", sa.Text, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("occurred_at", _MOMENT, nullable=False),
    sa.Column("recorded_at", _MOMENT, nullable=False),
    sa.CheckConstraint("outcome IN ('woke', 'final', 'unmatched')", name="outcome"),
)

webhook_endpoints = sa.Table(
    # Where merchants and payers want to be told. `old_secret` signs beside `secret` until `old_secret_until`.
    "webhook_endpoints",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("enabled_events", JSONB, nullable=False),
    sa.Column("metadata", JSONB, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("disabled_reason", sa.Text),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("old_secret", sa.Text),
    sa.Column("old_secret_until", _MOMENT),
    # Null in rows from before `v1a`; their messages carry `v1` alone.
    sa.Column("seed", sa.LargeBinary),
    sa.Column("lane", sa.Text, nullable=False),
    sa.Column("failing_since", _MOMENT),
    sa.Column("created_at", _MOMENT, nullable=False),
    _one_of("status", EndpointStatus),
    _one_of("lane", Lane),
    sa.CheckConstraint("(lane = 'failing') = (failing_since IS NOT NULL)", name="failing_since_then"),
    sa.CheckConstraint("octet_length(seed) = 32", name="seed_whole"),
    sa.CheckConstraint("(old_secret IS NULL) = (old_secret_until IS NULL)", name="old_secret_ends"),
    sa.CheckConstraint("(status = 'disabled') = (disabled_reason IS NOT NULL)", name="disabled_has_reason"),
    sa.Index(None, "owner", "created_at", "id"),
)

webhook_deliveries = sa.Table(
    # One event on its way to one endpoint. `next_at` is the next try's moment, or the end of the lease of the one that
    # is under way; `ordinal` counts the times that somebody asked for the event to be sent once more.
    "webhook_deliveries",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("event_id", sa.Uuid, sa.ForeignKey("events.id"), nullable=False),
    sa.Column("endpoint_id", sa.Uuid, sa.ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False),
    sa.Column("ordinal", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("next_at", _MOMENT),
    sa.Column("lease_token", sa.Uuid),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("ended_at", _MOMENT),
    _one_of("state", DeliveryState),
    sa.CheckConstraint("(state = 'pending') = (next_at IS NOT NULL)", name="pending_is_due"),
    sa.CheckConstraint("(state = 'pending') = (ended_at IS NULL)", name="ended_has_moment"),
    sa.UniqueConstraint("event_id", "endpoint_id", "ordinal"),
    sa.Index(None, "endpoint_id", "created_at", "id"),
)
sa.Index(
    "ix_webhook_deliveries_due",
    webhook_deliveries.c.endpoint_id,
    webhook_deliveries.c.next_at,
    postgresql_where=webhook_deliveries.c.next_at.is_not(None),
)
sa.Index(
    "ix_webhook_deliveries_ended",
    webhook_deliveries.c.ended_at,
    postgresql_where=webhook_deliveries.c.ended_at.is_not(None),
)

webhook_tries = sa.Table(
    # The log of deliveries: every try, with what came back. Of an answer's body only the beginning is kept.
    "webhook_tries",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("delivery_id", sa.Uuid, sa.ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), nullable=False),
    sa.Column("tried_at", _MOMENT, nullable=False),
    sa.Column("duration_ms", sa.Integer, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.Text),
    sa.Column("snippet", sa.Text, nullable=False),
    sa.CheckConstraint("char_length(snippet) <= 256", name="snippet_bounded"),
    sa.CheckConstraint("status IS NOT NULL OR error IS NOT NULL", name="outcome_known"),
    sa.Index(None, "delivery_id", "id"),
)
