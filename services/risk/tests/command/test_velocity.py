"""Velocities equal brute force over the unique events, whatever their order, their lateness and their repetition."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random
from typing import Any

import pytest

from ledgerlink_contracts.ids import DecisionId
from ledgerlink_contracts.risk.models import EventFacts, EventKind
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_risk.commands import decide_event, install_policy
from ledgerlink_risk.domain.language.ir import WINDOW_SECONDS, Entity, Measure, Velocity, Window
from ledgerlink_risk.domain.language.values import Money
from ledgerlink_risk.domain.policy import Effect, OnDegraded, PolicyDraft, Rule
from ledgerlink_risk.queries.policies import policy_of
from ledgerlink_risk.runtime import Runtime
from ledgerlink_risk.store.signals import gather

ALL = [Velocity(*parts) for parts in product(Measure, Entity, Window)]
NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
OTHER_SIDE = {"customer": "destination", "payment_method": "customer", "destination": "customer"}


def asks(velocity: Velocity, number: int) -> Rule:
    call = f"velocity('{velocity.measure.value}', '{velocity.entity.value}', '{velocity.window.value}')"
    condition = f"{call} < amount && false" if velocity.measure is Measure.SUM else f"{call} < 0"
    return Rule(
        rule=f"asks-{number}", version=1, reason="asks", kinds=frozenset(EventKind), condition=condition,
        effect=Effect.SCORE, points=0, description="Asks for one velocity.",
    )  # fmt: skip


DECLINES = Rule(
    rule="declines", version=1, reason="declines", kinds=frozenset(EventKind), condition="amount.minor % 5 == 0",
    effect=Effect.DECLINE, points=100, description="Declines some, so that declines can be counted.",
)  # fmt: skip
POLICY = PolicyDraft(
    rules=(DECLINES, *(asks(velocity, number) for number, velocity in enumerate(ALL))),
    limits={},
    review_at=101,
    on_degraded=OnDegraded.OPEN,
)


def brute_force(velocity: Velocity, events: Sequence[EventFacts], at_hand: EventFacts) -> Any:
    """Count by the definition: the window ends with the event at hand, which is in it but not yet decided."""
    entity = velocity.entity.value
    whose = getattr(at_hand, entity)
    moment = at_hand.occurred_at
    assert moment is not None
    start = moment - timedelta(seconds=WINDOW_SECONDS[velocity.window])
    stored = [
        one for one in events if getattr(one, entity) == whose and one.occurred_at and start < one.occurred_at <= moment
    ]
    seen = [*stored, at_hand]
    match velocity.measure:
        case Measure.COUNT:
            return len(seen)
        case Measure.DECLINED:
            return sum(one.amount_minor % 5 == 0 for one in stored)
        case Measure.DISTINCT:
            return len({getattr(one, OTHER_SIDE[entity]) for one in seen} - {None})
        case Measure.SUM:
            total = sum(one.amount_minor for one in seen if one.currency == at_hand.currency)
            return Money(min(total, MAX_MINOR), at_hand.currency)


def some_event(random: Random, number: int) -> EventFacts:
    # Whole minutes and the windows' very edges, so that ties and borders happen.
    back = random.choice(
        [0, 60, 3599, 3600, 3601, 86_399, 86_400, 604_800, 2_591_999, 2_592_000, random.randrange(3_000_000)]
    )
    return EventFacts.model_validate(
        {
            "kind": "payment",
            "amount_minor": random.choice([1, 2, 5, 10, 12_34, MAX_MINOR // 2]),
            "currency": random.choice(["GBP", "GBP", "EUR"]),
            "customer": random.choice(["usr_a", "usr_b"]),
            "destination": random.choice([None, "acct_x", "acct_y", "acct_z"]),
            "payment_method": random.choice([None, "pm_1", "pm_2"]),
            "source_kind": "card",
            "subject": f"pi_{number}",
            "occurred_at": NOW - timedelta(seconds=back),
        }
    )


@pytest.mark.parametrize("seed", range(6))
async def test_velocities_equal_brute_force_whatever_order_lateness_and_repetition(runtime: Runtime, seed: int) -> None:
    version = await install_policy(runtime, POLICY, origin="operator")
    random = Random(seed)
    events = [some_event(random, number) for number in range(60)]
    delivered = events + random.choices(events, k=25)
    random.shuffle(delivered)

    async def deliver(event: EventFacts) -> None:
        await decide_event(runtime, DecisionId.derive(event.subject), event, "svc_payments")

    for start in range(0, len(delivered), 8):
        await asyncio.gather(*(deliver(event) for event in delivered[start : start + 8]))

    for number in range(20):
        at_hand = some_event(random, 1000 + number)
        assert at_hand.occurred_at is not None
        async with runtime.db.transaction() as tx:
            policy = await policy_of(runtime, tx, version)
            gathered = await gather(
                tx, policy, DecisionId.derive("none").uuid, at_hand, at_hand.occurred_at, velocities=True, now=NOW
            )
        expected = {
            str(velocity): brute_force(velocity, events, at_hand)
            for velocity in ALL
            if getattr(at_hand, velocity.entity.value) is not None
        }
        assert gathered.signals == expected, f"seed {seed}"


async def test_a_payee_is_new_until_the_customer_has_an_earlier_event_with_it(
    runtime: Runtime, make_event: Any
) -> None:
    async def new_payee(**changes: Any) -> Any:
        event = make_event(**{"occurred_at": NOW, **changes})
        assert event.occurred_at is not None
        async with runtime.db.transaction() as tx:
            policy = await policy_of(runtime, tx, 1)
            gathered = await gather(
                tx, policy, DecisionId.derive("none").uuid, event, event.occurred_at, velocities=True, now=NOW
            )
        return gathered.signals.get("new_payee")

    assert await new_payee() is True
    await decide_event(
        runtime, DecisionId.derive("a"), make_event(occurred_at=NOW - timedelta(days=400)), "svc_payments"
    )
    assert await new_payee() is False
    assert await new_payee(occurred_at=NOW - timedelta(days=401)) is True
    assert await new_payee(customer="usr_bob") is True
    assert await new_payee(destination="acct_other") is True
    assert await new_payee(destination=None) is None


async def test_a_policy_is_stored_once_and_a_changed_rule_needs_a_new_version(runtime: Runtime) -> None:
    assert await install_policy(runtime, POLICY, origin="operator") == 2
    assert await install_policy(runtime, POLICY, origin="operator") == 2
    changed = Rule(
        rule="declines", version=1, reason="declines", kinds=frozenset(EventKind), condition="true",
        effect=Effect.DECLINE, points=100, description="Declines all.",
    )  # fmt: skip
    draft = PolicyDraft((changed,), {}, 60, OnDegraded.OPEN)
    with pytest.raises(Exception, match="another content"):
        await install_policy(runtime, draft, origin="operator")


async def test_the_stock_policy_never_replaces_an_operator_s(runtime: Runtime) -> None:
    from ledgerlink_risk.domain.stock import STOCK  # noqa: PLC0415 - named where it matters

    assert await install_policy(runtime, POLICY, origin="operator") == 2
    assert await install_policy(runtime, STOCK) == 2


async def test_a_new_policy_is_in_force_for_the_next_decision(runtime: Runtime, make_event: Any) -> None:
    other = Runtime(runtime.db, runtime.clock)
    first = await decide_event(runtime, DecisionId.derive("a"), make_event(), "svc_payments")
    await install_policy(other, POLICY, origin="operator")
    second = await decide_event(runtime, DecisionId.derive("b"), make_event(amount_minor=5), "svc_payments")
    assert b'"policy_version":1' in first.answer
    assert b'"policy_version":2' in second.answer
    assert b'"verdict":"decline"' in second.answer


async def test_a_policy_that_does_not_compile_never_comes_into_force(runtime: Runtime) -> None:
    broken = Rule(
        rule="broken", version=1, reason="broken", kinds=frozenset(EventKind), condition="amuont > 1",
        effect=Effect.SCORE, points=1, description="Has a slip of the pen.",
    )  # fmt: skip
    with pytest.raises(Refused, match="policy-refused"):
        await install_policy(runtime, PolicyDraft((broken,), {}, 60, OnDegraded.OPEN), origin="operator")
