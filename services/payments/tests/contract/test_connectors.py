"""Proves that every connector keeps the promises of `Connector`: the fake in memory, and the sandbox over HTTP.

The sandbox is the real provider with a database of its own, called in process.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
import pytest_asyncio
from asgi_lifespan import LifespanManager

from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.http_client import HttpClient
from ledgerlink_kit.testing import AsgiTransport, ManualClock
from ledgerlink_payments.connectors import (
    AuthorizationAnswer,
    AuthorizationOutcome,
    AuthorizeRequest,
    CaptureRequest,
    Connector,
    DeclineKind,
    PayoutAnswer,
    PayoutOutcome,
    PayoutRequest,
    RefundAnswer,
    RefundOutcome,
    RefundRequest,
    VoidRequest,
)
from ledgerlink_payments.connectors.fake import FakeConnector
from ledgerlink_payments.connectors.sandbox import SandboxConnector
from ledgerlink_sandbox.app import build_app
from ledgerlink_sandbox.connectors.recording import RecordingListener
from ledgerlink_sandbox.runtime import Runtime as Provider
from ledgerlink_sandbox.runtime import Settings as ProviderSettings

A = AuthorizationOutcome
API_KEY = "a-key-for-tests-only"
WEBHOOK_SECRET = "whsec_c2FuZGJveC10ZXN0LXNlY3JldC0zMi1ieXRlcyE="


@dataclass
class Bench:
    """One connector, and how to make its provider lose one request or one answer."""

    connector: Connector
    lose_request: Callable[[str], Awaitable[None]]
    lose_answer: Callable[[str], Awaitable[None]]


def fake_bench(clock: ManualClock) -> Bench:
    fake = FakeConnector(clock)

    async def lose_request(name: str) -> None:
        fake.lose_before.append(name)

    async def lose_answer(name: str) -> None:
        fake.lose_after.append(name)

    return Bench(fake, lose_request, lose_answer)


@pytest_asyncio.fixture(params=["fake", "sandbox"])
async def bench(
    request: pytest.FixtureRequest, make_database: Callable[[str], Awaitable[Database]], clock: ManualClock
) -> AsyncIterator[Bench]:
    if request.param == "fake":
        yield fake_bench(clock)
        return
    db = await make_database("ledgerlink_sandbox")
    settings = ProviderSettings.model_validate(
        {
            "environment": "test",
            "database_url": db.url,
            "api_key": API_KEY,
            "webhook_secret": WEBHOOK_SECRET,
            "webhook_url": "http://127.0.0.1:9/never",
        }
    )
    app = build_app(Provider(settings, db, clock, RecordingListener()))
    async with LifespanManager(app, startup_timeout=30, shutdown_timeout=30):
        http = HttpClient("http://sandbox", name="sandbox", transport=AsgiTransport(app))

        async def plan(name: str, kind: str) -> None:
            operation = "authorization" if name == "authorize" else name
            body = {"operation": operation, "kind": kind}
            planned = await http.request("POST", "/faults", json=body, headers={"Authorization": f"Bearer {API_KEY}"})
            assert planned.status == 201

        yield Bench(
            SandboxConnector(http, api_key=API_KEY, webhook_secret=WEBHOOK_SECRET, clock=clock),
            lambda name: plan(name, "timeout_before_commit"),
            lambda name: plan(name, "timeout_after_commit"),
        )
        await http.close()


def asking(key: str = "att_1", *, capture: bool = False, card: str = "pm_card_visa") -> AuthorizeRequest:
    return AuthorizeRequest(key, 1000, "GBP", card, capture, {"order": "1"})


async def test_an_authorization_waits_for_its_capture(bench: Bench) -> None:
    answer = await bench.connector.authorize(asking())
    assert (answer.outcome, answer.authorized_minor, answer.captured_minor) == (A.AUTHORIZED, 1000, 0)
    assert (await bench.connector.lookup_authorization("att_1")).outcome is A.AUTHORIZED


async def test_an_authorization_that_asks_for_it_is_captured_at_once(bench: Bench) -> None:
    answer = await bench.connector.authorize(asking(capture=True))
    assert (answer.outcome, answer.captured_minor) == (A.CAPTURED, 1000)


async def test_a_repeated_authorization_is_the_same_one_as_it_now_stands(bench: Bench) -> None:
    await bench.connector.authorize(asking())
    await bench.connector.capture(CaptureRequest("att_1-1", "att_1", 400))
    answer = await bench.connector.authorize(asking())
    assert (answer.outcome, answer.captured_minor) == (A.CAPTURED, 400)


@pytest.mark.parametrize(
    ("card", "kind", "decline_code"),
    [
        ("pm_card_chargeDeclined", DeclineKind.HARD, "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", DeclineKind.SOFT, "insufficient_funds"),
    ],
)
async def test_a_decline_says_why_and_whether_another_try_may_help(
    bench: Bench, card: str, kind: DeclineKind, decline_code: str
) -> None:
    answer = await bench.connector.authorize(asking(card=card))
    assert answer.outcome is A.DECLINED
    assert answer.decline is not None
    assert (answer.decline.code, answer.decline.kind, answer.decline.decline_code) == (
        "card_declined",
        kind,
        decline_code,
    )
    assert answer.decline.message.startswith("Your card")


async def test_a_capture_collects_once_and_releases_the_rest(bench: Bench) -> None:
    await bench.connector.authorize(asking())
    for _ in range(2):
        answer = await bench.connector.capture(CaptureRequest("att_1-1", "att_1", 400))
        assert (answer.outcome, answer.captured_minor) == (A.CAPTURED, 400)
    assert (await bench.connector.lookup_authorization("att_1")).captured_minor == 400


async def test_a_voided_authorization_stays_voided(bench: Bench) -> None:
    await bench.connector.authorize(asking())
    for _ in range(2):
        assert (await bench.connector.void(VoidRequest("att_1-1", "att_1"))).outcome is A.VOIDED
    answer = await bench.connector.capture(CaptureRequest("att_1-2", "att_1", 400))
    assert (answer.outcome, answer.captured_minor) == (A.VOIDED, 0)


async def test_a_refund_and_a_payout_are_made_once_however_often_they_are_asked(bench: Bench) -> None:
    await bench.connector.authorize(asking(capture=True))
    refund = RefundRequest("re_1", "att_1", 300, "GBP")
    assert [(await bench.connector.refund(refund)).outcome for _ in range(2)] == [RefundOutcome.SUCCEEDED] * 2
    payout = PayoutRequest("po_1", 500, "GBP", "ba_main")
    assert {(await bench.connector.payout(payout)).outcome for _ in range(2)} <= {
        PayoutOutcome.IN_TRANSIT,
        PayoutOutcome.PAID,
    }


async def test_what_was_never_asked_is_absent(bench: Bench) -> None:
    assert (await bench.connector.lookup_authorization("att_9")) == AuthorizationAnswer(A.ABSENT)
    assert (await bench.connector.lookup_refund("re_9")) == RefundAnswer(RefundOutcome.ABSENT)
    assert (await bench.connector.lookup_payout("po_9")) == PayoutAnswer(PayoutOutcome.ABSENT)


async def test_a_lost_request_is_unknown_then_absent_and_a_repeat_does_it(bench: Bench) -> None:
    await bench.lose_request("authorize")
    assert (await bench.connector.authorize(asking())).outcome is A.UNKNOWN
    assert (await bench.connector.lookup_authorization("att_1")).outcome is A.ABSENT
    assert (await bench.connector.authorize(asking())).outcome is A.AUTHORIZED


async def test_a_lost_answer_is_unknown_and_a_lookup_tells_the_truth(bench: Bench) -> None:
    await bench.lose_answer("authorize")
    assert (await bench.connector.authorize(asking())).outcome is A.UNKNOWN
    assert (await bench.connector.lookup_authorization("att_1")).outcome is A.AUTHORIZED
    await bench.lose_answer("capture")
    assert (await bench.connector.capture(CaptureRequest("att_1-1", "att_1", 1000))).outcome is A.UNKNOWN
    assert (await bench.connector.lookup_authorization("att_1")).captured_minor == 1000
    await bench.lose_answer("refund")
    assert (await bench.connector.refund(RefundRequest("re_1", "att_1", 5, "GBP"))).outcome is RefundOutcome.UNKNOWN
    assert (await bench.connector.lookup_refund("re_1")).outcome is RefundOutcome.SUCCEEDED
    await bench.lose_answer("payout")
    assert (await bench.connector.payout(PayoutRequest("po_1", 5, "GBP", "ba_x"))).outcome is PayoutOutcome.UNKNOWN
    assert (await bench.connector.lookup_payout("po_1")).outcome in {PayoutOutcome.IN_TRANSIT, PayoutOutcome.PAID}
    await bench.connector.authorize(asking("att_2"))
    await bench.lose_answer("void")
    assert (await bench.connector.void(VoidRequest("att_2-1", "att_2"))).outcome is A.UNKNOWN
    assert (await bench.connector.lookup_authorization("att_2")).outcome is A.VOIDED


async def test_a_webhook_that_nobody_signed_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused) as refusal:
        bench.connector.verify_webhook({}, b"{}")
    assert (refusal.value.kind, refusal.value.code) == (Kind.UNAUTHENTICATED, "webhook-signature-invalid")


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{}", b'{"type": 5, "data": null}', b"\xff"])
async def test_a_webhook_that_cannot_be_read_is_refused(bench: Bench, body: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        bench.connector.parse_event(body)
    assert (refusal.value.kind, refusal.value.code) == (Kind.INVALID, "webhook-unreadable")


async def test_a_connector_says_what_it_can_do(bench: Bench) -> None:
    able = bench.connector.capabilities
    assert bench.connector.name
    assert (able.manual_capture, able.partial_capture, able.partial_refund, able.payouts) == (True,) * 4
