"""Signals in one round trip: what the policy needs to know beside the event, read by one statement.

PostgreSQL's `events` are the truth. A velocity looks at the window that ends with the event, itself included:
`(occurred_at - window, occurred_at]`. Every event that was ever decided about counts, whatever its verdict; `declined`
counts those that risk declined, and cannot know about the event at hand. A sum is in the event's own currency and
stops growing at the largest amount.

`distinct` counts the other side: destinations of a customer, customers of a payment method or a destination.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from ledgerlink_contracts.risk.models import EventFacts
from ledgerlink_kit.db import Tx
from ledgerlink_kit.limits import STATEMENT_TIMEOUT_MS
from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_risk.domain.language.ir import WINDOW_SECONDS, Entity, Measure, NewPayee, Velocity
from ledgerlink_risk.domain.language.values import Money
from ledgerlink_risk.domain.policy import Policy

VELOCITY: Final = "velocity"
"""The part of a decision that may be late."""

_OTHER_SIDE: Final = {
    Entity.CUSTOMER: "destination",
    Entity.PAYMENT_METHOD: "customer",
    Entity.DESTINATION: "customer",
}
_NEW_PAYEE: Final = NewPayee()


@dataclass(frozen=True, slots=True)
class Known:
    """A decision that stands under the order's id already."""

    caller: str
    inputs: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class Gathered:
    """What one round trip brought: the policy in force, a known decision, the signals by their texts."""

    policy_version: int | None
    known: Known | None
    signals: dict[str, Any]


async def gather(
    tx: Tx, policy: Policy, decision: UUID, event: EventFacts, moment: datetime, *, velocities: bool, now: datetime
) -> Gathered:
    """Read everything; `velocities` false leaves out the part that can be late."""
    wanted = policy.velocities if velocities else ()
    new_payee = velocities and policy.wants_new_payee
    facts = {"customer": event.customer, "payment_method": event.payment_method, "destination": event.destination}
    # A fact that is absent stands on no list.
    looked_up = [listed for listed in policy.listed if facts[listed.fact] is not None]
    row = (
        await tx.execute(
            _statement(wanted, new_payee=new_payee),
            {
                "id": decision,
                "lists": [listed.name for listed in looked_up],
                "values": [facts[listed.fact] for listed in looked_up],
                "now": now,
                "moment": moment,
                "amount_minor": event.amount_minor,
                "currency": event.currency,
                **facts,
            },
        )
    ).one()
    signals: dict[str, Any] = {str(listed): False for listed in policy.listed}
    hits: list[int] = row.hits
    signals |= {str(looked_up[position - 1]): True for position in hits}
    for position, velocity in enumerate(wanted):
        if facts[velocity.entity.value] is not None:
            value: int = row._mapping[f"v{position}"]  # noqa: SLF001 - SQLAlchemy's public accessor
            signals[str(velocity)] = Money(value, event.currency) if velocity.measure is Measure.SUM else value
    if new_payee and event.destination is not None:
        signals[str(_NEW_PAYEE)] = row.new_payee
    known = None if row.answer is None else Known(row.caller, row.inputs, row.answer)
    return Gathered(row.policy_version, known, signals)


@lru_cache(maxsize=32)
def _statement(velocities: tuple[Velocity, ...], *, new_payee: bool) -> sa.TextClause:
    """Write the statement for a policy's velocities: constants of ours only, all values are parameters."""
    numbered = list(enumerate(velocities))
    counted = [
        _counted(entity, [(position, one) for position, one in numbered if one.entity is entity]) for entity in Entity
    ]
    sources = ", ".join(source for source in counted if source)
    columns = "".join(f", v{position}" for position, _ in numbered)
    payee = (
        ", NOT EXISTS (SELECT FROM events WHERE customer = CAST(:customer AS text) "
        "AND destination = CAST(:destination AS text) AND occurred_at <= CAST(:moment AS timestamptz)) AS new_payee"
        if new_payee
        else ""
    )
    # Only enum values and numbers of ours are written into the text. The first column lifts the bound on time again.
    return sa.text(
        f"SELECT set_config('statement_timeout', '{STATEMENT_TIMEOUT_MS}', true), "  # noqa: S608
        "(SELECT max(version) FROM policies) AS policy_version, d.caller, d.inputs, d.answer, "
        "(SELECT coalesce(array_agg(asked.position), '{}') FROM "
        "unnest(CAST(:lists AS text[]), CAST(:values AS text[])) WITH ORDINALITY AS asked (list, value, position) "
        "JOIN list_entries e ON e.list = asked.list AND e.value = asked.value AND e.removed_at IS NULL "
        "AND (e.expires_at IS NULL OR e.expires_at > CAST(:now AS timestamptz))) AS hits"
        f"{columns}{payee} FROM (SELECT CAST(:id AS uuid) AS id) AS asked_id "
        f"LEFT JOIN decisions d ON d.id = asked_id.id{', ' if sources else ''}{sources}"
    )


def _counted(entity: Entity, velocities: list[tuple[int, Velocity]]) -> str:
    """Write one entity's scan: a single row with all its velocities, the event at hand included."""
    if not velocities:
        return ""
    longest = max(WINDOW_SECONDS[velocity.window] for _, velocity in velocities)
    columns = ", ".join(f"{_measured(velocity)} AS v{position}" for position, velocity in velocities)
    moment = "CAST(:moment AS timestamptz)"
    other = _OTHER_SIDE[entity]
    return (
        f"LATERAL (SELECT {columns} FROM (SELECT occurred_at, amount_minor, currency, declined, {other} AS other "  # noqa: S608
        f"FROM events WHERE {entity.value} = CAST(:{entity.value} AS text) "
        f"AND occurred_at > {moment} - interval '{longest} seconds' AND occurred_at <= {moment} "
        f"UNION ALL SELECT {moment}, CAST(:amount_minor AS bigint), CAST(:currency AS text), false, "
        f"CAST(:{other} AS text)) AS seen) AS by_{entity.value}"
    )


def _measured(velocity: Velocity) -> str:
    within = f"occurred_at > CAST(:moment AS timestamptz) - interval '{WINDOW_SECONDS[velocity.window]} seconds'"
    match velocity.measure:
        case Measure.COUNT:
            return f"count(*) FILTER (WHERE {within})"
        case Measure.DECLINED:
            return f"count(*) FILTER (WHERE declined AND {within})"
        case Measure.DISTINCT:
            return f"count(DISTINCT other) FILTER (WHERE {within})"
        case Measure.SUM:
            total = f"sum(amount_minor) FILTER (WHERE currency = CAST(:currency AS text) AND {within})"
            return f"CAST(least({total}, {MAX_MINOR}) AS bigint)"
