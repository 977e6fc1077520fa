"""Decisions on a real PostgreSQL: stored once with their inputs, repeated byte for byte, refused for another event."""

import asyncio
from datetime import timedelta
from typing import Any

import orjson
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_contracts.risk.models import DecisionView, EventFacts
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Refused, Unavailable
from ledgerlink_kit.invariants import run_invariants
from ledgerlink_kit.testing import ManualClock
from ledgerlink_risk.commands import decide_event, put_entry, remove_entry
from ledgerlink_risk.domain.lists import EntryOrder
from ledgerlink_risk.queries.invariants import invariants_of
from ledgerlink_risk.queries.policies import decide_again
from ledgerlink_risk.runtime import Runtime

CALLER = "svc_payments"


def decision(*parts: str) -> DecisionId:
    return DecisionId.derive(*parts)


def read(answer: bytes) -> DecisionView:
    return DecisionView.model_validate_json(answer)


async def decided(runtime: Runtime, name: str, event: EventFacts) -> DecisionView:
    return read((await decide_event(runtime, decision(name), event, CALLER)).answer)


async def rows(runtime: Runtime, query: str) -> list[Any]:
    async with runtime.db.reading() as view:
        return list((await view.execute(sa.text(query))).all())


async def test_an_everyday_purchase_is_approved_and_stored_with_its_inputs(runtime: Runtime, make_event: Any) -> None:
    answer = (await decide_event(runtime, decision("a"), make_event(), CALLER)).answer
    view = read(answer)
    assert (view.verdict, view.score, view.reasons, view.case) == ("approve", 0, [], None)
    (row,) = await rows(runtime, "SELECT * FROM decisions")
    inputs = orjson.loads(row.inputs)
    assert (row.answer, row.caller, row.policy_version) == (answer, CALLER, 1)
    assert inputs["signals"]["velocity(count,customer,1h)"] == 1
    assert inputs["signals"]["velocity(sum,customer,24h)"] == {"minor": 1200, "currency": "GBP"}
    assert inputs["signals"]["new_payee"] is True


async def test_the_same_order_again_gives_the_same_bytes_and_stores_nothing(
    runtime: Runtime, make_event: Any, clock: ManualClock
) -> None:
    first = await decide_event(runtime, decision("a"), make_event(), CALLER)
    clock.advance(3600)
    again = await decide_event(runtime, decision("a"), make_event(), CALLER)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.answer == first.answer
    assert len(await rows(runtime, "SELECT id FROM events")) == 1


@pytest.mark.parametrize(
    ("changes", "caller", "differs"),
    [
        ({"amount_minor": 13_00}, CALLER, ["event.amount_minor"]),
        ({"customer": "usr_bob", "metadata": {"a": "b"}}, CALLER, ["event.customer", "event.metadata"]),
        ({}, "svc_wallet", ["caller"]),
    ],
)
async def test_an_id_belongs_to_one_event_and_one_caller(
    runtime: Runtime, make_event: Any, changes: dict[str, Any], caller: str, differs: list[str]
) -> None:
    await decide_event(runtime, decision("a"), make_event(), CALLER)
    with pytest.raises(Refused) as refused:
        await decide_event(runtime, decision("a"), make_event(**changes), caller)
    assert (refused.value.code, refused.value.members["differs"]) == ("id-reused", differs)


async def test_fifty_at_once_with_one_id_have_one_effect_and_one_answer(runtime: Runtime, make_event: Any) -> None:
    event = make_event(amount_minor=66_666_00)
    answers = await asyncio.gather(*(decide_event(runtime, decision("a"), event, CALLER) for _ in range(50)))
    assert len({one.answer for one in answers}) == 1
    assert sum(not one.replayed for one in answers) == 1
    assert len(await rows(runtime, "SELECT id FROM cases")) == 1
    assert len(await rows(runtime, "SELECT id FROM outbox")) == 1


async def test_two_customers_racing_for_one_id_leave_one_decision_and_one_refusal(
    runtime: Runtime, make_event: Any
) -> None:
    for turn in range(10):
        outcomes = await asyncio.gather(
            *(
                decide_event(runtime, decision("race", str(turn)), make_event(customer=f"usr_{who}"), CALLER)
                for who in range(4)
            ),
            return_exceptions=True,
        )
        refused = [one for one in outcomes if isinstance(one, Refused)]
        assert len([one for one in outcomes if not isinstance(one, BaseException)]) == 1, outcomes
        assert [one.code for one in refused] == ["id-reused"] * 3
        assert all(one.members["differs"] == ["event.customer"] for one in refused)


async def test_payments_of_one_customer_at_once_see_each_other(runtime: Runtime, make_event: Any) -> None:
    await asyncio.gather(*(decided(runtime, f"n{number}", make_event()) for number in range(20)))
    stored = await rows(runtime, "SELECT inputs FROM decisions")
    counts = sorted(orjson.loads(row.inputs)["signals"]["velocity(count,customer,1h)"] for row in stored)
    assert counts == list(range(1, 21))


async def test_a_customer_who_waits_holds_one_connection_only(
    runtime: Runtime, make_event: Any, clock: ManualClock
) -> None:
    small = Database(runtime.db.url, application_name="test", pool_size=2, pool_timeout_s=2)
    crowded = Runtime(small, clock, velocity_timeout_ms=5_000)
    try:
        async with runtime.db.engine.begin() as other:
            # Somebody else, in another process, is deciding about the customer and takes their time.
            await other.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended('risk-customer:usr_ann', 0))"))
            waiting = [asyncio.create_task(decided(crowded, f"n{number}", make_event())) for number in range(5)]
            await asyncio.sleep(0.3)
            assert (await decided(crowded, "free", make_event(customer="usr_bob"))).verdict == "approve"
            assert not any(task.done() for task in waiting)
        assert [view.verdict for view in await asyncio.gather(*waiting)] == ["approve"] * 5
    finally:
        await small.close()


async def test_a_large_payment_opens_a_case_and_says_so(runtime: Runtime, make_event: Any) -> None:
    view = await decided(runtime, "a", make_event(amount_minor=66_666_00, subject="pi_77"))
    assert view.verdict == "review"
    assert view.reasons[0].model_dump() == {
        "code": "amount-above-review-limit",
        "rule": "payment-review",
        "version": 1,
        "clause": 'amount >= limit("payment_review")',
        "value": "66666.00 GBP",
        "threshold": "50000.00 GBP",
        "missing": [],
    }
    (case,) = await rows(runtime, "SELECT * FROM cases")
    (event,) = await rows(runtime, "SELECT type, aggregate, data FROM outbox")
    assert (case.state, case.subject, view.case) == ("open", "pi_77", CaseId(case.id))
    assert (event.type, event.aggregate) == ("risk.case.opened", str(view.case))
    assert event.data == {"case": str(view.case), "decision": str(view.id), "subject": "pi_77"}


async def test_declined_tries_are_remembered_and_tip_the_next_large_payment(
    runtime: Runtime, make_event: Any, clock: ManualClock
) -> None:
    for number in range(3):
        assert (await decided(runtime, f"n{number}", make_event(amount_minor=99_999_00))).verdict == "decline"
    large = make_event(amount_minor=10_000_00, destination="acct_new")
    view = await decided(runtime, "after", large)
    assert (view.verdict, {reason.code for reason in view.reasons}) == (
        "review",
        {"repeated-declines", "new-payee-large", "score-above-limit", "heavy-spend"},
    )
    clock.advance(timedelta(hours=25).total_seconds())
    assert (await decided(runtime, "a day later", make_event(amount_minor=10_000_00))).verdict == "approve"


async def test_a_deny_list_bites_at_once_and_lets_go_when_removed_or_expired(
    runtime: Runtime, make_event: Any, clock: ManualClock
) -> None:
    until = clock.now() + timedelta(hours=1)
    await put_entry(runtime, "denied_destinations", "acct_shop", EntryOrder(note="Fraud."), "usr_eve")
    await put_entry(runtime, "denied_customers", "usr_bob", EntryOrder(note="Rests.", expires_at=until), "usr_eve")
    assert (await decided(runtime, "a", make_event())).verdict == "decline"
    assert (await decided(runtime, "b", make_event(customer="usr_bob", destination=None))).verdict == "decline"
    assert (await decided(runtime, "c", make_event(destination="acct_other", payment_method=None))).verdict == "approve"
    await remove_entry(runtime, "denied_destinations", "acct_shop", "usr_eve")
    clock.advance(3600)
    assert (await decided(runtime, "d", make_event())).verdict == "approve"
    assert (await decided(runtime, "e", make_event(customer="usr_bob", destination=None))).verdict == "approve"


async def test_every_stored_decision_comes_out_the_same_when_made_again(
    runtime: Runtime, make_event: Any, clock: ManualClock
) -> None:
    amounts = [1, 12_00, 10_000_00, 66_666_00, 99_999_00]
    for number, amount in enumerate(amounts * 2):
        clock.advance(1)
        await decided(runtime, f"n{number}", make_event(amount_minor=amount, destination=f"acct_{number % 3}"))
    await decided(runtime, "bare", make_event(destination=None, payment_method=None, currency="CHE"))
    fresh = Runtime(runtime.db, clock)
    stored = await rows(runtime, "SELECT inputs, answer FROM decisions")
    async with runtime.db.reading() as view:
        assert [await decide_again(fresh, view, row.inputs) for row in stored] == [row.answer for row in stored]


async def test_an_event_out_of_its_time_is_refused_and_leaves_nothing(
    runtime: Runtime, make_event: Any, clock: ManualClock
) -> None:
    with pytest.raises(Refused) as refused:
        await decided(runtime, "a", make_event(occurred_at=clock.now() + timedelta(hours=1)))
    assert refused.value.code == "occurred-at-out-of-range"
    assert await rows(runtime, "SELECT id FROM events") == []


async def test_without_a_policy_no_decision_is_made(runtime: Runtime, make_database: Any, clock: ManualClock) -> None:
    bare = Runtime(await make_database("ledgerlink_risk"), clock)
    with pytest.raises(Unavailable) as away:
        await decide_event(
            bare,
            decision("a"),
            EventFacts.model_validate(
                {
                    "kind": "payment",
                    "amount_minor": 1,
                    "currency": "GBP",
                    "customer": "usr_a",
                    "source_kind": "card",
                    "subject": "pi_1",
                }
            ),
            CALLER,
        )
    assert away.value.code == "policy-missing"


async def test_velocities_that_are_late_are_left_out_by_name_and_lists_still_bite(
    runtime: Runtime, make_event: Any, clock: ManualClock
) -> None:
    # The customer's window holds so many events that counting them cannot take less than a millisecond.
    async with runtime.db.transaction() as tx:
        await tx.execute(
            sa.text(
                "INSERT INTO events (id, kind, customer, destination, amount_minor, currency, occurred_at, "
                "recorded_at, declined) SELECT gen_random_uuid(), 'payment', 'usr_ann', 'acct_' || n, 1, 'GBP', "
                ":now, :now, false FROM generate_series(1, 60000) AS n"
            ),
            {"now": clock.now()},
        )
    hurried = Runtime(runtime.db, clock, velocity_timeout_ms=1)
    view = read((await decide_event(hurried, decision("a"), make_event(), CALLER)).answer)
    assert view.verdict == "approve"
    (reason,) = view.reasons
    assert (reason.code, reason.rule, reason.clause) == (
        "degraded",
        "velocity",
        "velocity was late; the policy is open",
    )
    assert "velocity(count,customer,1h)" in reason.missing
    assert (await rows(runtime, "SELECT degraded FROM decisions"))[0].degraded == ["velocity"]
    await put_entry(runtime, "denied_customers", "usr_ann", EntryOrder(note="Fraud."), "usr_eve")
    denied = read((await decide_event(hurried, decision("b"), make_event(), CALLER)).answer)
    assert (denied.verdict, {reason.code for reason in denied.reasons}) == ("decline", {"denied-party", "degraded"})


async def test_the_invariants_hold_after_all_kinds_of_decisions_and_break_when_a_case_is_lost(
    runtime: Runtime, make_event: Any
) -> None:
    for number, amount in enumerate([12_00, 66_666_00, 99_999_00]):
        await decided(runtime, f"n{number}", make_event(amount_minor=amount))
    assert all(not found.differences for found in await run_invariants(runtime.db, invariants_of(runtime)))
    async with runtime.db.transaction() as tx:
        await tx.execute(sa.text("DELETE FROM cases"))
        await tx.execute(sa.text("UPDATE events SET declined = NOT declined"))
        await tx.execute(
            sa.text(
                "INSERT INTO events (id, kind, customer, amount_minor, currency, occurred_at, recorded_at, declined) "
                "VALUES (gen_random_uuid(), 'payment', 'usr_x', 1, 'GBP', now(), now(), false)"
            )
        )
    broken = {found.name for found in await run_invariants(runtime.db, invariants_of(runtime)) if found.differences}
    assert broken == {"risk-review-has-case", "risk-declines-agree", "risk-event-has-decision"}


async def test_the_database_refuses_to_change_what_is_decided_or_ruled(runtime: Runtime, make_event: Any) -> None:
    await decided(runtime, "a", make_event())
    for statement in (
        "UPDATE decisions SET verdict = 'decline'",
        "DELETE FROM decisions",
        "UPDATE rules SET points = 1",
        "DELETE FROM policy_rules",
        "UPDATE policies SET review_at = 1",
    ):
        with pytest.raises(DBAPIError, match="never changed"):
            async with runtime.db.transaction() as tx:
                await tx.execute(sa.text(statement))
