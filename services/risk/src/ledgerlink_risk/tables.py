"""Risk's tables. What is decided, ruled or in force is never changed: triggers of the first migration refuse it."""

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from ledgerlink_kit.migrations import kit_tables, metadata_for_service
from ledgerlink_kit.money import MAX_MINOR

metadata: Final = metadata_for_service()
kit_tables(metadata)

_MOMENT: Final = sa.DateTime(timezone=True)


def _one_of(column: str, *values: str) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=column)


rules: Final = sa.Table(
    "rules",
    metadata,
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("kinds", pg.ARRAY(sa.Text), nullable=False),
    sa.Column("condition", sa.Text, nullable=False),
    sa.Column("effect", sa.Text, nullable=False),
    sa.Column("points", sa.SmallInteger, nullable=False),
    sa.Column("on_missing", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.CheckConstraint("version >= 1", name="version"),
    sa.CheckConstraint("points BETWEEN 0 AND 100", name="points"),
    _one_of("effect", "decline", "allow", "review", "score"),
    _one_of("on_missing", "skip", "review", "decline"),
)

policies: Final = sa.Table(
    "policies",
    metadata,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("review_at", sa.SmallInteger, nullable=False),
    sa.Column("on_degraded", sa.Text, nullable=False),
    sa.Column("limits", pg.JSONB, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.CheckConstraint("version >= 1", name="version"),
    sa.CheckConstraint("review_at BETWEEN 1 AND 101", name="review_at"),
    _one_of("on_degraded", "open", "closed"),
    _one_of("origin", "stock", "operator"),
)

policy_rules: Final = sa.Table(
    "policy_rules",
    metadata,
    sa.Column("policy_version", sa.Integer, sa.ForeignKey(policies.c.version), primary_key=True),
    sa.Column("position", sa.SmallInteger, primary_key=True),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("rule_version", sa.Integer, nullable=False),
    sa.ForeignKeyConstraint(["rule", "rule_version"], [rules.c.rule, rules.c.version]),
    sa.UniqueConstraint("policy_version", "rule"),
)

# The truth of all velocities: one row per event that was ever decided about, whatever the verdict.
events: Final = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("payment_method", sa.Text),
    sa.Column("destination", sa.Text),
    sa.Column("amount_minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("occurred_at", _MOMENT, nullable=False),
    sa.Column("recorded_at", _MOMENT, nullable=False),
    sa.Column("declined", sa.Boolean, nullable=False),
    sa.CheckConstraint(f"amount_minor BETWEEN 1 AND {MAX_MINOR}", name="amount_minor"),
    _one_of("kind", "payment", "top_up", "transfer", "payout"),
)

# One index per entity and time carries all columns that its velocities read, so that the table is not visited.
_COUNTED: Final = ("amount_minor", "currency", "declined")
sa.Index(
    "ix_events_customer_occurred_at",
    events.c.customer,
    events.c.occurred_at,
    postgresql_include=[*_COUNTED, "destination"],
)
sa.Index(
    "ix_events_payment_method_occurred_at",
    events.c.payment_method,
    events.c.occurred_at,
    postgresql_include=[*_COUNTED, "customer"],
)
sa.Index(
    "ix_events_destination_occurred_at",
    events.c.destination,
    events.c.occurred_at,
    postgresql_include=[*_COUNTED, "customer"],
)
sa.Index("ix_events_customer_destination_occurred_at", events.c.customer, events.c.destination, events.c.occurred_at)

# Rows come in the order of their time, so that a few pages find the latest.
sa.Index("ix_events_recorded_at", events.c.recorded_at, postgresql_using="brin")

decisions: Final = sa.Table(
    "decisions",
    metadata,
    sa.Column("id", sa.Uuid, sa.ForeignKey(events.c.id), primary_key=True),
    sa.Column("caller", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("customer", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("score", sa.SmallInteger, nullable=False),
    sa.Column("policy_version", sa.Integer, sa.ForeignKey(policies.c.version), nullable=False),
    sa.Column("degraded", pg.ARRAY(sa.Text), nullable=False),
    sa.Column("inputs", sa.LargeBinary, nullable=False),
    sa.Column("answer", sa.LargeBinary, nullable=False),
    sa.Column("decided_at", _MOMENT, nullable=False),
    sa.CheckConstraint("score BETWEEN 0 AND 100", name="score"),
    _one_of("verdict", "approve", "review", "decline"),
    sa.Index("ix_decisions_decided_at_id", "decided_at", "id"),
    sa.Index("ix_decisions_customer_decided_at_id", "customer", "decided_at", "id"),
    sa.Index("ix_decisions_subject", "subject"),
)
sa.Index(
    "ix_decisions_noticed",
    decisions.c.verdict,
    decisions.c.decided_at,
    decisions.c.id,
    postgresql_where=decisions.c.verdict != "approve",
)

cases: Final = sa.Table(
    "cases",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("decision_id", sa.Uuid, sa.ForeignKey(decisions.c.id), nullable=False, unique=True),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("opened_at", _MOMENT, nullable=False),
    sa.Column("resolution", sa.Text),
    sa.Column("note", sa.Text),
    sa.Column("resolved_by", sa.Text),
    sa.Column("resolved_at", _MOMENT),
    _one_of("state", "open", "resolved"),
    _one_of("resolution", "approve", "decline"),
    sa.CheckConstraint(
        "(state = 'resolved') = (resolution IS NOT NULL AND note IS NOT NULL "
        "AND resolved_by IS NOT NULL AND resolved_at IS NOT NULL) "
        "AND (state = 'resolved') = (coalesce(resolution, note, resolved_by) IS NOT NULL OR resolved_at IS NOT NULL)",
        name="resolved_whole",
    ),
    sa.Index("ix_cases_state_opened_at_id", "state", "opened_at", "id"),
)

# An entry is never deleted: it is removed by somebody, and who put whom on a list stays known.
list_entries: Final = sa.Table(
    "list_entries",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("list", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("added_by", sa.Text, nullable=False),
    sa.Column("added_at", _MOMENT, nullable=False),
    sa.Column("expires_at", _MOMENT),
    sa.Column("removed_by", sa.Text),
    sa.Column("removed_at", _MOMENT),
    sa.CheckConstraint("(removed_by IS NULL) = (removed_at IS NULL)", name="removed_whole"),
)
sa.Index(
    "uq_list_entries_present",
    list_entries.c.list,
    list_entries.c.value,
    unique=True,
    postgresql_where=list_entries.c.removed_at.is_(None),
)
