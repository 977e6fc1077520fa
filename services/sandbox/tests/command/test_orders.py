"""Proves that the provider does each thing once per key, whatever is repeated, reused or asked at the same time."""

import asyncio

import pytest

from ledgerlink_kit.errors import Refused
from ledgerlink_sandbox import queries
from ledgerlink_sandbox.commands import orders
from ledgerlink_sandbox.domain.authorizations import AuthorizationRequest, AuthorizationStatus
from ledgerlink_sandbox.domain.movements import CaptureRequest, PayoutRequest, RefundRequest
from ledgerlink_sandbox.runtime import Runtime


def asking(key: str = "a1", amount: int = 1000, *, capture: bool = False, **metadata: str) -> AuthorizationRequest:
    return AuthorizationRequest(key, amount, "GBP", "pm_card_visa", capture, metadata)


async def test_the_same_request_under_the_same_key_gets_the_first_answer_again(provider: Runtime) -> None:
    first = await orders.authorize(provider, asking())
    await orders.capture(provider, CaptureRequest("c1", "a1", 300))
    second = await orders.authorize(provider, asking())
    assert (first.replayed, second.replayed) == (False, True)
    assert second.thing == first.thing
    assert (await queries.authorization(provider, "a1")).captured_minor == 300


async def test_another_request_under_the_same_key_is_refused_and_told_what_differs(provider: Runtime) -> None:
    await orders.authorize(provider, asking())
    with pytest.raises(Refused) as refusal:
        await orders.authorize(provider, asking(amount=1001, note="x"))
    assert (refusal.value.code, refusal.value.members["differs"]) == ("key-reused", ["amount", "metadata"])
    assert (await queries.authorization(provider, "a1")).request.amount_minor == 1000


async def test_fifty_requests_at_once_under_one_key_are_one_authorization(provider: Runtime) -> None:
    done = await asyncio.gather(*(orders.authorize(provider, asking()) for _ in range(50)))
    assert sum(not one.replayed for one in done) == 1
    assert len({str(one.thing) for one in done}) == 1


async def test_captures_at_once_never_collect_more_than_was_promised(provider: Runtime) -> None:
    await orders.authorize(provider, asking(amount=1000))
    tries = [orders.capture(provider, CaptureRequest(f"c{number}", "a1", 300)) for number in range(20)]
    ended = await asyncio.gather(*tries, return_exceptions=True)
    refused = [one for one in ended if isinstance(one, Refused)]
    assert len(ended) - len(refused) == 3
    assert {one.code for one in refused} == {"amount-too-large"}
    stored = await queries.authorization(provider, "a1")
    assert (stored.captured_minor, stored.status) == (900, AuthorizationStatus.PARTIALLY_CAPTURED)


async def test_one_capture_key_at_once_under_two_authorizations_is_one_capture(provider: Runtime) -> None:
    for key in ("a1", "a2"):
        await orders.authorize(provider, asking(key))
    ended = await asyncio.gather(
        *(orders.capture(provider, CaptureRequest("c", key, 5)) for key in ("a1", "a2")), return_exceptions=True
    )
    assert sorted(getattr(one, "code", "captured") for one in ended) == ["captured", "key-reused"]
    collected = [(await queries.authorization(provider, key)).captured_minor for key in ("a1", "a2")]
    assert sorted(collected) == [0, 5]


async def test_a_repeated_capture_collects_once(provider: Runtime) -> None:
    await orders.authorize(provider, asking())
    done = [await orders.capture(provider, CaptureRequest("c1", "a1", 1000)) for _ in range(3)]
    assert [one.replayed for one in done] == [False, True, True]
    assert (await queries.authorization(provider, "a1")).captured_minor == 1000
    assert await queries.capture(provider, "c1") == done[0].thing


async def test_a_capture_key_used_for_another_amount_is_refused(provider: Runtime) -> None:
    await orders.authorize(provider, asking())
    await orders.capture(provider, CaptureRequest("c1", "a1", 10))
    with pytest.raises(Refused, match="key-reused"):
        await orders.capture(provider, CaptureRequest("c1", "a1", 11))


async def test_refunds_at_once_never_give_back_more_than_was_captured(provider: Runtime) -> None:
    await orders.authorize(provider, asking(amount=1000, capture=True))
    tries = [orders.refund(provider, RefundRequest(f"r{number}", "a1", 400)) for number in range(10)]
    ended = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(not isinstance(one, Refused) for one in ended) == 2
    assert (await queries.authorization(provider, "a1")).refunded_minor == 800


async def test_a_repeated_refund_gives_back_once(provider: Runtime) -> None:
    await orders.authorize(provider, asking(capture=True))
    done = await asyncio.gather(*(orders.refund(provider, RefundRequest("r1", "a1", 600)) for _ in range(10)))
    assert sum(not one.replayed for one in done) == 1
    assert (await queries.authorization(provider, "a1")).refunded_minor == 600


async def test_a_repeated_payout_is_paid_once(provider: Runtime) -> None:
    request = PayoutRequest("p1", 500, "EUR", "ba_x")
    done = await asyncio.gather(*(orders.pay_out(provider, request) for _ in range(10)))
    assert sum(not one.replayed for one in done) == 1
    with pytest.raises(Refused, match="key-reused"):
        await orders.pay_out(provider, PayoutRequest("p1", 501, "EUR", "ba_x"))


async def test_a_refused_request_leaves_its_key_free(provider: Runtime) -> None:
    await orders.authorize(provider, asking())
    with pytest.raises(Refused, match="amount-too-large"):
        await orders.capture(provider, CaptureRequest("c1", "a1", 1001))
    assert not (await orders.capture(provider, CaptureRequest("c1", "a1", 1000))).replayed


async def test_voiding_releases_what_is_left_once(provider: Runtime) -> None:
    await orders.authorize(provider, asking())
    done = await asyncio.gather(*(orders.void(provider, "a1") for _ in range(5)))
    assert sum(not one.replayed for one in done) == 1
    assert (await queries.authorization(provider, "a1")).status is AuthorizationStatus.VOIDED


@pytest.mark.parametrize("thing", ["authorization", "capture", "refund", "payout"])
async def test_looking_up_a_key_that_nobody_made_is_refused(provider: Runtime, thing: str) -> None:
    with pytest.raises(Refused, match=f"{thing}-unknown"):
        await getattr(queries, thing)(provider, "nobody")


async def test_acting_on_an_authorization_that_nobody_made_is_refused(provider: Runtime) -> None:
    for act in (
        orders.capture(provider, CaptureRequest("c", "nobody", 1)),
        orders.void(provider, "nobody"),
        orders.refund(provider, RefundRequest("r", "nobody", 1)),
    ):
        with pytest.raises(Refused, match="authorization-unknown"):
            await act
