"""Proves that a scheduled transfer moves what was ordered when it is due, on its owner's behalf; who may order and
change one; what becomes of one that is refused; and every bad order.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from services.wallet.tests.conftest import Service
from sqlalchemy import text

from ledgerlink_contracts.ids import ScheduleId, WalletId
from ledgerlink_contracts.wallet.events import ScheduleExecuted, ScheduleFailed
from ledgerlink_contracts.wallet.schedules import (
    SCHEDULES_MAX,
    OccurrenceView,
    ScheduledReport,
    ScheduleView,
)
from ledgerlink_kit.ids import uuid8
from ledgerlink_kit.pagination import encode_cursor
from ledgerlink_kit.testing import ManualClock
from ledgerlink_wallet.commands.ledger import Mandate
from ledgerlink_wallet.commands.occurrences import carry_out_due
from ledgerlink_wallet.commands.schedules import resume_schedule

NOWHERE = str(WalletId(uuid8("none")))
START = datetime(2030, 1, 31, 9, tzinfo=UTC)
MONTHLY: dict[str, Any] = {
    "amount_minor": 100,
    "currency": "GBP",
    "reference": "rent",
    "metadata": {"flat": "5"},
    "starts_at": START.isoformat(),
    "recurrence": {"every": 1, "unit": "month", "time_zone": "Europe/London"},
}


async def create(service: Service, owner: str, wallet: str, key: str = "s", **changes: Any) -> Any:
    order = {name: value for name, value in {**MONTHLY, **changes}.items() if value is not None}
    return await service.call_as(owner, "POST", f"/wallets/{wallet}/scheduled-transfers", order, key)


async def created(service: Service, owner: str, wallet: str, to: str, key: str = "s", **changes: Any) -> str:
    answer = await create(service, owner, wallet, key, to=to, **changes)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def work(service: Service, now: datetime) -> int:
    """Let the worker look, at a moment of our choice."""
    return await carry_out_due(service.db, service.app.state.runtime.ledger, ManualClock(now), 100)


async def stands(service: Service, owner: str, schedule: str) -> ScheduleView:
    answer = await service.call_as(owner, "GET", f"/scheduled-transfers/{schedule}")
    return ScheduleView.model_validate(answer.json())


async def ended(service: Service, owner: str, schedule: str) -> list[OccurrenceView]:
    answer = await service.call_as(owner, "GET", f"/scheduled-transfers/{schedule}/occurrences")
    assert answer.status_code == 200, answer.text
    return [OccurrenceView.model_validate(one) for one in answer.json()["items"]]


async def told(service: Service, schedule: str) -> list[tuple[str, ScheduledReport]]:
    async with service.db.reading() as view:
        rows = await view.execute(
            text("SELECT type, data::text AS data FROM outbox WHERE aggregate = :id ORDER BY seq"), {"id": schedule}
        )
        kinds = {kind.event_type: kind for kind in (ScheduleExecuted, ScheduleFailed)}
        return [(row.type.rpartition(".")[2], kinds[row.type].model_validate_json(row.data).occurrence) for row in rows]


async def two(service: Service, alice: str, bob: str, funds: int = 1_000) -> tuple[str, str]:
    return await service.wallet(alice, funds=funds), await service.wallet(bob)


async def test_each_occurrence_is_a_transfer_on_the_owners_behalf_when_it_is_due(
    service: Service, alice: str, bob: str
) -> None:
    wallet, to = await two(service, alice, bob)
    schedule = await created(service, alice, wallet, to, count=2)
    early = await work(service, START - timedelta(seconds=1))
    first = await work(service, START)
    between = await stands(service, alice, schedule)
    second = await work(service, START + timedelta(days=28))
    after = await stands(service, alice, schedule)
    done = await ended(service, alice, schedule)
    transfers = [(await service.call("GET", f"/transfers/{one.transfer}")).json() for one in done]
    events = await told(service, schedule)
    mine = await service.call_as(alice, "GET", f"/transfers/{done[0].transfer}")

    assert (early, first, second) == (0, 1, 1)
    assert between.next is not None
    assert (between.next.number, between.next.due_at) == (1, datetime(2030, 2, 28, 9, tzinfo=UTC))
    assert (after.state.value, after.next, after.owner) == ("completed", None, alice)
    assert [(one.number, one.last_number, one.state.value, one.tries, one.code) for one in done] == [
        (1, 1, "executed", 1, None),
        (0, 0, "executed", 1, None),
    ]
    assert [one.due_at for one in done] == [datetime(2030, 2, 28, 9, tzinfo=UTC), START]
    for one, transfer in zip(done, transfers, strict=True):
        # It counts when it was done, and says when it was due beside it.
        assert datetime.fromisoformat(transfer["recorded_at"]) == one.recorded_at
        assert transfer["effective_at"] == transfer["recorded_at"]
        assert (transfer["kind"], transfer["reference"], transfer["metadata"]) == (
            "wallet.scheduled",
            "rent",
            {"flat": "5"},
        )
        assert transfer["on_behalf_of"] == alice
        assert [(p["debit"], p["credit"], p["amount_minor"]) for p in transfer["postings"]] == [(wallet, to, 100)]
    assert [(kind, one.number, one.transfer) for kind, one in events] == [
        ("executed", 0, done[1].transfer),
        ("executed", 1, done[0].transfer),
    ]
    assert mine.status_code == 200
    assert (await service.available(wallet), await service.available(to)) == (800, 200)
    assert (await service.audit())["clean"]


async def test_one_that_is_due_once_needs_no_recurrence_and_may_be_due_now(
    service: Service, alice: str, bob: str
) -> None:
    wallet, to = await two(service, alice, bob)
    now = datetime.now(UTC)
    schedule = await created(service, alice, wallet, to, starts_at=now.isoformat(), recurrence=None)
    assert await work(service, now) == 1
    after = await stands(service, alice, schedule)

    assert (after.state.value, after.recurrence, after.count) == ("completed", None, None)
    assert await service.available(to) == 100


async def test_a_lack_of_funds_is_told_and_tried_again_until_it_is_there(
    service: Service, alice: str, bob: str
) -> None:
    wallet, to = await two(service, alice, bob, funds=99)
    schedule = await created(service, alice, wallet, to)
    await work(service, START)
    waiting = await stands(service, alice, schedule)
    nothing = await ended(service, alice, schedule)
    order = {"amount_minor": 1, "currency": "GBP"}
    await service.call("POST", f"/wallets/{wallet}/credit", order, Idempotency_Key="top up")
    idle = await work(service, START + timedelta(minutes=59))
    again = await work(service, START + timedelta(hours=1))
    done = await ended(service, alice, schedule)
    events = await told(service, schedule)

    assert waiting.next is not None
    assert (waiting.state.value, waiting.next.number, waiting.next.tries) == ("active", 0, 1)
    assert (waiting.next.due_at, waiting.next.try_at) == (START, START + timedelta(hours=1))
    assert (waiting.next.code, nothing, idle, again) == ("insufficient-funds", [], 0, 1)
    assert [(one.state.value, one.tries) for one in done] == [("executed", 2)]
    assert [(kind, one.tries, one.code, one.try_at) for kind, one in events] == [
        ("failed", 1, "insufficient-funds", START + timedelta(hours=1)),
        ("executed", 2, None, None),
    ]
    assert await service.available(wallet) == 0
    assert (await service.audit())["clean"]


async def test_after_four_tries_an_occurrence_has_failed_and_the_next_one_goes_on(
    service: Service, alice: str, bob: str
) -> None:
    wallet, to = await two(service, alice, bob, funds=99)
    schedule = await created(service, alice, wallet, to)
    moments = [START + timedelta(hours=hours) for hours in (0, 1, 4, 12)]
    assert [await work(service, moment) for moment in moments] == [1, 1, 1, 1]
    (failed,) = await ended(service, alice, schedule)
    after = await stands(service, alice, schedule)
    events = await told(service, schedule)

    assert (failed.state.value, failed.tries, failed.code, failed.transfer) == ("failed", 4, "insufficient-funds", None)
    assert after.next is not None
    assert (after.next.number, after.next.tries, after.next.code) == (1, 0, None)
    assert [one.try_at for _, one in events] == [*moments[1:], None]
    assert await service.available(wallet) == 99


async def test_a_frozen_wallet_fails_an_occurrence_and_a_closed_one_stops_the_schedule(
    service: Service, alice: str, bob: str
) -> None:
    wallet, to = await two(service, alice, bob)
    schedule = await created(service, alice, wallet, to)
    await service.call("POST", f"/wallets/{wallet}/freeze")
    await work(service, START)
    frozen = await stands(service, alice, schedule)
    await service.call("POST", f"/wallets/{wallet}/unfreeze")
    await service.call("POST", f"/wallets/{to}/close")
    await work(service, START + timedelta(days=40))
    closed = await stands(service, alice, schedule)
    done = await ended(service, alice, schedule)

    assert (frozen.state.value, closed.state.value, closed.next) == ("active", "stopped", None)
    assert [(one.state.value, one.code) for one in done] == [("failed", "account-closed"), ("failed", "account-frozen")]
    assert await service.available(wallet) == 1_000


async def test_limits_hold_when_it_is_carried_out_whoever_ordered_it(service: Service, alice: str, bob: str) -> None:
    wallet, to = await two(service, alice, bob)
    order = {**MONTHLY, "to": to}
    by_desk = await service.call("POST", f"/wallets/{wallet}/scheduled-transfers", order, Idempotency_Key="desk")
    schedule = by_desk.json()["id"]
    limits = {"items": [{"currency": "GBP", "transfer_minor": 99}]}
    assert (await service.call("PUT", f"/wallets/{wallet}/limits", limits)).status_code == 200
    await work(service, START)
    (failed,) = await ended(service, alice, schedule)

    assert (by_desk.status_code, by_desk.json()["created_by"], by_desk.json()["owner"]) == (201, "svc_payments", alice)
    assert (failed.state.value, failed.code) == ("failed", "limit-exceeded")
    assert await service.available(wallet) == 1_000


async def test_the_same_key_is_the_same_schedule_and_another_order_under_it_is_refused(
    service: Service, alice: str, bob: str
) -> None:
    wallet, to = await two(service, alice, bob)
    answers = await asyncio.gather(*(create(service, alice, wallet, to=to) for _ in range(5)))
    other = await create(service, alice, wallet, to=to, amount_minor=7)
    keyless = await service.call_as(alice, "POST", f"/wallets/{wallet}/scheduled-transfers", {**MONTHLY, "to": to})
    listed = (await service.call_as(alice, "GET", f"/wallets/{wallet}/scheduled-transfers")).json()

    assert {one.status_code for one in answers} == {201}
    assert len({one.content for one in answers}) == 1
    assert (other.status_code, other.json()["differs"]) == (422, ["amount_minor"])
    assert keyless.json()["code"] == "idempotency-key-missing"
    assert listed["items"] == [answers[0].json()]


async def test_pause_resume_and_cancel_bring_a_schedule_where_it_is_wanted_and_keep_it_there(
    service: Service, alice: str, bob: str
) -> None:
    wallet, to = await two(service, alice, bob)
    schedule = await created(service, alice, wallet, to)

    async def turn(verb: str) -> tuple[int, str]:
        answer = await service.call_as(alice, "POST", f"/scheduled-transfers/{schedule}/{verb}")
        return answer.status_code, answer.json().get("code") or answer.json()["state"]

    assert [await turn("pause"), await turn("pause")] == [(200, "paused")] * 2
    assert await work(service, START) == 0
    assert [await turn("resume"), await turn("resume")] == [(200, "active")] * 2
    assert await work(service, START) == 1
    assert [await turn("cancel"), await turn("cancel")] == [(200, "canceled")] * 2
    assert [await turn("pause"), await turn("resume")] == [(409, "schedule-ended")] * 2
    assert await work(service, START + timedelta(days=40)) == 0
    assert await service.available(to) == 100


async def test_what_was_due_in_a_pause_is_skipped_and_told_as_such(service: Service, alice: str, bob: str) -> None:
    wallet, to = await two(service, alice, bob)
    schedule = await created(service, alice, wallet, to)
    await service.call_as(alice, "POST", f"/scheduled-transfers/{schedule}/pause")
    runtime = replace(service.app.state.runtime, clock=ManualClock(START + timedelta(days=60)))
    resumed = await resume_schedule(runtime, Mandate(alice, trusted=False), ScheduleId.parse(schedule))
    now = await work(service, START + timedelta(days=60))
    (skipped,) = await ended(service, alice, schedule)

    assert resumed.next is not None
    # 09:00 in London is 08:00 UTC from the end of March on.
    assert (resumed.next.number, resumed.next.due_at) == (3, datetime(2030, 4, 30, 8, tzinfo=UTC))
    assert (skipped.number, skipped.last_number, skipped.state.value) == (0, 2, "skipped")
    assert (skipped.code, skipped.tries, now, await told(service, schedule)) == ("schedule-paused", 0, 0, [])


async def test_giving_up_what_waits_for_funds_is_told_as_a_failure(service: Service, alice: str, bob: str) -> None:
    wallet, to = await two(service, alice, bob, funds=1)
    schedule = await created(service, alice, wallet, to)
    await work(service, START)
    await service.call_as(alice, "POST", f"/scheduled-transfers/{schedule}/cancel")
    (failed,) = await ended(service, alice, schedule)

    assert (failed.state.value, failed.tries, failed.code) == ("failed", 1, "insufficient-funds")
    assert [one.try_at is None for _, one in await told(service, schedule)] == [False, True]


async def test_schedules_are_their_owners_and_the_desks(service: Service, alice: str, bob: str) -> None:
    wallet, to = await two(service, alice, bob)
    schedule = await created(service, alice, wallet, to)
    none = str(ScheduleId(uuid8("none")))
    for path in (schedule, none):
        for method, rest in (
            ("GET", ""),
            ("GET", "/occurrences"),
            *(("POST", f"/{v}") for v in ("pause", "resume", "cancel")),
        ):
            answer = await service.call_as(bob, method, f"/scheduled-transfers/{path}{rest}")
            assert (answer.status_code, answer.json()["code"]) == (404, "schedule-not-found"), (method, rest)
    others = [
        await create(service, bob, wallet, to=to),
        await create(service, alice, NOWHERE, to=to),
        await create(service, alice, wallet, "2", to=NOWHERE),
        await service.call_as(bob, "GET", f"/wallets/{wallet}/scheduled-transfers"),
    ]
    reader = service.headers(alice, ("wallet:read",))
    forbidden = [
        await service.client.post(f"/wallets/{wallet}/scheduled-transfers", json={**MONTHLY, "to": to}, headers=reader),
        await service.client.post(f"/scheduled-transfers/{schedule}/cancel", headers=reader),
    ]
    by_desk = await service.call("POST", f"/scheduled-transfers/{schedule}/cancel")

    assert {(one.status_code, one.json()["code"]) for one in others} == {(404, "wallet-not-found")}
    assert others[2].json()["party"] == NOWHERE
    assert [one.status_code for one in forbidden] == [403, 403]
    assert (by_desk.status_code, by_desk.json()["state"]) == (200, "canceled")


async def test_pages_hold_every_schedule_and_occurrence_once_newest_first(
    service: Service, alice: str, bob: str
) -> None:
    wallet, to = await two(service, alice, bob)
    made = [await created(service, alice, wallet, to, f"s{number}") for number in range(5)]
    for schedule in made[:2]:
        await service.call_as(alice, "POST", f"/scheduled-transfers/{schedule}/cancel")
    for days in (0, 28, 59):
        await work(service, START + timedelta(days=days))

    async def walk(path: str) -> list[Any]:
        seen: list[Any] = []
        cursor = ""
        while True:
            page = (await service.call_as(alice, "GET", f"{path}limit=2{cursor}")).json()
            seen += page["items"]
            if page["next_cursor"] is None:
                return seen
            cursor = f"&cursor={page['next_cursor']}"

    base = f"/wallets/{wallet}/scheduled-transfers?"
    assert [one["id"] for one in await walk(base)] == made[::-1]
    assert [one["id"] for one in await walk(f"{base}state=canceled&")] == made[1::-1]
    assert [one["id"] for one in await walk(f"{base}state=active&")] == made[:1:-1]
    assert [one["number"] for one in await walk(f"/scheduled-transfers/{made[2]}/occurrences?")] == [2, 1, 0]


async def test_a_wallet_has_a_bounded_number_of_schedules_that_go_on_also_when_all_are_asked_for_at_once(
    service: Service, alice: str, bob: str
) -> None:
    wallet, to = await two(service, alice, bob)
    answers = [await create(service, alice, wallet, f"k{number}", to=to) for number in range(SCHEDULES_MAX - 3)]
    rest = await asyncio.gather(*(create(service, alice, wallet, f"more{number}", to=to) for number in range(6)))
    refused = [one.json()["code"] for one in rest if one.status_code == 409]
    await service.call_as(alice, "POST", f"/scheduled-transfers/{answers[0].json()['id']}/cancel")
    room = await create(service, alice, wallet, "room", to=to)

    assert {one.status_code for one in answers} == {201}
    assert refused == ["schedules-max"] * 3
    assert room.status_code == 201


LATER = (START + timedelta(days=1)).isoformat()
WEEKLY = {"every": 1, "unit": "week"}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"to": None}, "to"),
    ({"to": "wal_1"}, "to"),
    ({"amount_minor": None}, "amount_minor"),
    ({"amount_minor": 0}, "amount_minor"),
    ({"amount_minor": -1}, "amount_minor"),
    ({"amount_minor": 1.0}, "amount_minor"),
    ({"amount_minor": "1"}, "amount_minor"),
    ({"amount_minor": 2**53}, "amount_minor"),
    ({"currency": "XXQ"}, "currency"),
    ({"reference": ""}, "reference"),
    ({"reference": "a\x00"}, "reference"),
    ({"reference": "x" * 501}, "reference"),
    ({"metadata": {"a": 1}}, "metadata"),
    ({"metadata": {str(number): "" for number in range(51)}}, "metadata"),
    ({"starts_at": None}, "starts_at"),
    ({"starts_at": "2030-01-31T09:00:00"}, "starts_at"),
    ({"starts_at": 1893456000}, "starts_at"),
    ({"starts_at": "3000-01-01T00:00:00Z"}, "starts_at"),
    ({"recurrence": "daily"}, "recurrence"),
    ({"recurrence": {"every": 1}}, "unit"),
    ({"recurrence": {**WEEKLY, "every": 0}}, "every"),
    ({"recurrence": {**WEEKLY, "every": 367}}, "every"),
    ({"recurrence": {**WEEKLY, "every": "2"}}, "every"),
    ({"recurrence": {**WEEKLY, "unit": "year"}}, "unit"),
    ({"recurrence": {**WEEKLY, "time_zone": "Europe/Atlantis"}}, "time_zone"),
    ({"recurrence": {**WEEKLY, "time_zone": "../../etc/passwd"}}, "time_zone"),
    ({"recurrence": {**WEEKLY, "time_zone": ""}}, "time_zone"),
    ({"recurrence": {**WEEKLY, "on": "Monday"}}, "on"),
    ({"ends_at": "soon"}, "ends_at"),
    ({"ends_at": (START - timedelta(seconds=1)).isoformat()}, ""),
    ({"ends_at": LATER, "count": 2}, ""),
    ({"ends_at": LATER, "recurrence": None}, ""),
    ({"count": 2, "recurrence": None}, ""),
    ({"count": 0}, "count"),
    ({"count": 10_001}, "count"),
    ({"count": 1.5}, "count"),
    ({"effective_at": LATER}, "effective_at"),
]


async def test_a_bad_schedule_is_refused_by_the_name_of_its_field(service: Service, alice: str, bob: str) -> None:
    wallet, to = await two(service, alice, bob)
    for number, (changes, field) in enumerate(BAD):
        answer = await create(service, alice, wallet, f"bad{number}", **{"to": to, **changes})

        assert answer.status_code == 422, (changes, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        assert not field or any(field in error["path"] for error in answer.json()["errors"]), changes


async def test_a_schedule_to_the_same_wallet_or_from_the_past_is_refused(
    service: Service, alice: str, bob: str
) -> None:
    wallet, to = await two(service, alice, bob)
    past = (datetime.now(UTC) - timedelta(seconds=301)).isoformat()
    same = await create(service, alice, wallet, "1", to=wallet)
    late = await create(service, alice, wallet, "2", to=to, starts_at=past)

    assert (same.status_code, same.json()["code"]) == (422, "same-account")
    assert (late.status_code, late.json()["code"]) == (422, "schedule-starts-in-the-past")


@pytest.mark.parametrize(
    "query",
    [
        "scheduled-transfers?state=done",
        "scheduled-transfers?limit=0",
        "scheduled-transfers?limit=101",
        "scheduled-transfers?cursor=x",
        f"scheduled-transfers?cursor={encode_cursor({'at': 'x', 'id': str(uuid8('x'))})}",
        f"scheduled-transfers?cursor={encode_cursor({'at': '2026-01-01T00:00:00Z', 'id': 5})}",
        "/occurrences?limit=101",
        "/occurrences?cursor=x",
        f"/occurrences?cursor={encode_cursor({'number': -1})}",
        f"/occurrences?cursor={encode_cursor({'number': 'x'})}",
    ],
)
async def test_a_bad_query_is_refused(service: Service, alice: str, bob: str, query: str) -> None:
    wallet, to = await two(service, alice, bob)
    schedule = await created(service, alice, wallet, to)
    base = f"/scheduled-transfers/{schedule}" if query.startswith("/") else f"/wallets/{wallet}/"
    answer = await service.call_as(alice, "GET", base + query)

    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    far = await service.call_as(
        alice, "GET", f"/scheduled-transfers/{schedule}/occurrences?cursor={encode_cursor({'number': 2**62})}"
    )
    assert far.status_code == 200
