"""Proves that a process may die between any two phases: the worker finds the row, and the end is the same."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ledgerlink_kit.errors import Refused
from ledgerlink_kit.testing import Fault
from ledgerlink_payments import tables
from ledgerlink_payments.domain.intents import CaptureMethod

Story = Callable[[Any], Awaitable[Any]]
CARD = "pm_card_visa"


async def _by_wallet(house: Any) -> None:
    await house.pay(1000, key="k")


async def _by_card(house: Any) -> None:
    await house.pay(1000, key="k", payment_method=CARD)


async def _top_up(house: Any) -> None:
    await house.pay(1000, key="k", payment_method=CARD, destination=str(house.purse))


async def _reserve_by_wallet(house: Any) -> None:
    await house.pay(1000, key="k", capture_method=CaptureMethod.MANUAL)


async def _reserve_by_card(house: Any) -> None:
    await house.pay(1000, key="k", payment_method=CARD, capture_method=CaptureMethod.MANUAL)


PAYMENTS = {
    "wallet": (_by_wallet, ["decide", "post_transfer"], "captured"),
    "card": (_by_card, ["decide", "authorize", "post_transfer"], "captured"),
    "top-up": (_top_up, ["decide", "authorize", "post_transfer"], "captured"),
    "wallet, reserved": (_reserve_by_wallet, ["decide", "place_hold"], "authorized"),
    "card, reserved": (_reserve_by_card, ["decide", "authorize"], "authorized"),
}
POINTS = [
    (name, f"{when} {step}")
    for name, (_, steps, _) in PAYMENTS.items()
    for step in steps
    for when in ("before", "after")
]


@pytest.mark.parametrize(("name", "point"), POINTS)
async def test_a_payment_interrupted_anywhere_ends_as_if_it_had_not_been(house: Any, name: str, point: str) -> None:
    story, _, end = PAYMENTS[name]
    house.faults.plan(point)
    with pytest.raises(Fault):
        await story(house)
    row = await house.attempt()
    assert row.state in {"created", "sent"}
    assert row.next_action_at is not None
    await house.sweep_all()
    row = await house.attempt()
    assert (row.state, row.next_action_at) == (end, None)
    assert row.posted == (end == "captured")
    await _replay_gives_the_end(house, story)
    await house.books_are_square()
    assert len(house.provider.authorizations) == (0 if "wallet" in name else 1)


async def _replay_gives_the_end(house: Any, story: Story) -> None:
    """The client asks again with its key: it gets the end, and nothing more happens."""
    before = list(house.faults.passed)
    await story(house)
    after = [point for point in house.faults.passed[len(before) :] if point not in {"before wallet", "after wallet"}]
    assert after == []
    (intent,) = await house.rows(tables.intents)
    assert intent.state in {"succeeded", "requires_capture"}


STEPS = {
    "capture by wallet": ("wallet", "capture", ["capture_hold"]),
    "capture by card": ("card", "capture", ["capture", "post_transfer"]),
    "cancel by wallet": ("wallet", "cancel", ["release_hold"]),
    "cancel by card": ("card", "cancel", ["void"]),
}


@pytest.mark.parametrize(
    ("name", "point"),
    [
        (name, f"{when} {call}")
        for name, (_, _, calls) in STEPS.items()
        for call in calls
        for when in ("before", "after")
    ],
)
async def test_a_step_interrupted_anywhere_ends_as_if_it_had_not_been(house: Any, name: str, point: str) -> None:
    method, step, _ = STEPS[name]
    paying = str(house.purse) if method == "wallet" else CARD
    intent = await house.pay(1000, payment_method=paying, capture_method=CaptureMethod.MANUAL)
    house.faults.plan(point)
    with pytest.raises(Fault):
        await (house.capture(intent["id"], 600, key="k") if step == "capture" else house.cancel(intent["id"], key="k"))
    await house.sweep_all()
    again = await (
        house.capture(intent["id"], 600, key="k") if step == "capture" else house.cancel(intent["id"], key="k")
    )
    assert again["status"] == {"capture": "succeeded", "cancel": "canceled"}[step]
    assert await house.owed() == (600 if step == "capture" else 0)
    await house.books_are_square()


@pytest.mark.parametrize("method", ["wallet", "card"])
@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_refund_interrupted_anywhere_ends_as_if_it_had_not_been(
    house: Any, method: str, number: int, when: str
) -> None:
    calls = ["post_transfer"] if method == "wallet" else ["post_transfer", "refund", "post_transfer"]
    if number >= len(calls):
        return
    intent = await house.pay(1000, payment_method=str(house.purse) if method == "wallet" else CARD)
    _plan_nth(house, calls, number, when)
    with pytest.raises(Fault):
        await house.refund(intent["id"], 300, key="k")
    await house.sweep_all()
    assert (await house.refund(intent["id"], 300, key="k"))["status"] == "succeeded"
    assert await house.owed() == 700
    await house.books_are_square()


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_payout_interrupted_anywhere_ends_as_if_it_had_not_been(house: Any, number: int, when: str) -> None:
    await house.pay(1000)
    _plan_nth(house, ["accounts", "post_transfer", "payout", "post_transfer"], number, when)
    with pytest.raises(Fault):
        await house.payout(1000, key="k")
    await house.sweep_all()
    assert (await house.payout(1000, key="k"))["status"] == "paid"
    assert await house.owed() == 0
    assert house.provider.paid_out_minor == 1000
    await house.books_are_square()


def _plan_nth(house: Any, calls: list[str], number: int, when: str) -> None:
    """Break the call at ``number``; earlier calls of the same name pass."""
    point = f"{when} {calls[number]}"
    for _ in range(calls[:number].count(calls[number])):
        house.let_pass.append(point)
    house.faults.plan(point)


async def test_a_request_that_comes_while_another_process_is_at_it_waits_and_then_says_so(house: Any) -> None:
    house.faults.plan("after post_transfer")
    with pytest.raises(Fault):
        await _by_wallet(house)
    # The lease has not ended: somebody may still be at it.
    with pytest.raises(Refused, match="still being worked on"):
        await _by_wallet(house)
    house.clock.advance(31)
    intent = await house.pay(1000, key="k")
    assert (intent["status"], intent["_replayed"]) == ("succeeded", False)
    assert await house.owed() == 1000
