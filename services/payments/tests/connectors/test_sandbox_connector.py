"""Proves what the sandbox's connector makes of answers that a provider should not give, and of its signed events."""

from collections.abc import Mapping
from datetime import UTC, datetime

import orjson
import pytest
from standardwebhooks import Webhook

from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.errors import Defect, Refused
from ledgerlink_kit.http_client import HttpClient, HttpReply
from ledgerlink_payments.connectors import (
    AuthorizationOutcome,
    AuthorizeRequest,
    CaptureRequest,
    PayoutOutcome,
    PayoutRequest,
    RefundOutcome,
    RefundRequest,
    Subject,
)
from ledgerlink_payments.connectors.sandbox import SandboxConnector

SECRET = "whsec_c2FuZGJveC10ZXN0LXNlY3JldC0zMi1ieXRlcyE="
AUTHORIZED = {
    "key": "att_1",
    "status": "authorized",
    "amount": 1000,
    "amount_captured": 0,
    "decline": None,
    "expires_at": "2026-01-08T00:00:00Z",
}


class Scripted:
    """A transport that gives the next of its answers, or raises it."""

    def __init__(self, *answers: HttpReply | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpReply:
        self.asked.append((method, url, headers))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        """Nothing is open."""


def reply(status: int, body: object, **headers: str) -> HttpReply:
    return HttpReply(status, {name.replace("_", "-"): value for name, value in headers.items()}, orjson.dumps(body))


def problem(status: int, code: str) -> HttpReply:
    return reply(status, {"code": code, "detail": "…", "status": status})


def connector(*answers: HttpReply | Exception) -> SandboxConnector:
    http = HttpClient("http://sandbox", name="sandbox", transport=Scripted(*answers))
    return SandboxConnector(http, api_key="k" * 16, webhook_secret=SECRET, clock=SystemClock())


ASKED = AuthorizeRequest("att_1", 1000, "GBP", "pm_card_visa", capture=False)


@pytest.mark.parametrize(
    "answer",
    [
        TimeoutError(),
        ConnectionRefusedError(),
        ConnectionResetError(),
        problem(500, "internal-error"),
        problem(503, "away"),
        problem(504, "late"),
        problem(401, "api-key-invalid"),
        problem(429, "slow-down"),
        HttpReply(200, {}, b"<html>"),
        reply(201, []),
        reply(201, {"key": "att_1"}),
        reply(201, {**AUTHORIZED, "status": "levitating"}),
    ],
    ids=str,
)
async def test_whatever_tells_nothing_leaves_the_outcome_unknown(answer: HttpReply | Exception) -> None:
    assert (await connector(answer).authorize(ASKED)).outcome is AuthorizationOutcome.UNKNOWN
    assert (await connector(answer).lookup_authorization("att_1")).outcome is AuthorizationOutcome.UNKNOWN
    assert (await connector(answer).refund(RefundRequest("re", "att_1", 1, "GBP"))).outcome is RefundOutcome.UNKNOWN
    assert (await connector(answer).lookup_refund("re")).outcome is RefundOutcome.UNKNOWN
    assert (await connector(answer).payout(PayoutRequest("po", 1, "GBP", "ba"))).outcome is PayoutOutcome.UNKNOWN
    assert (await connector(answer).lookup_payout("po")).outcome is PayoutOutcome.UNKNOWN


async def test_a_404_that_is_not_the_providers_own_does_not_mean_absent() -> None:
    lost = await connector(problem(404, "unknown-path")).lookup_authorization("att_1")
    assert lost.outcome is AuthorizationOutcome.UNKNOWN
    absent = await connector(problem(404, "authorization-unknown")).lookup_authorization("att_1")
    assert absent.outcome is AuthorizationOutcome.ABSENT


async def test_a_request_that_the_provider_refuses_has_failed() -> None:
    failed = await connector(problem(422, "payment-method-unknown")).authorize(ASKED)
    assert failed.outcome is AuthorizationOutcome.FAILED
    assert failed.decline is not None
    assert failed.decline.code == "resource_missing"
    refund = await connector(problem(409, "amount-too-large")).refund(RefundRequest("re", "att_1", 1, "GBP"))
    assert (refund.outcome, refund.failure_reason) == (RefundOutcome.FAILED, "declined")
    payout = await connector(problem(422, "invalid-request")).payout(PayoutRequest("po", 1, "GBP", "ba"))
    assert (payout.outcome, payout.failure_code) == (PayoutOutcome.FAILED, "declined")


async def test_a_refused_capture_leaves_the_authorization_and_says_why() -> None:
    answer = await connector(problem(409, "authorization-expired"), reply(200, AUTHORIZED)).capture(
        CaptureRequest("att_1-1", "att_1", 5)
    )
    assert answer.outcome is AuthorizationOutcome.AUTHORIZED
    assert answer.decline is not None
    assert answer.decline.code == "charge_expired_for_capture"


async def test_one_key_for_two_requests_is_our_own_defect() -> None:
    with pytest.raises(Defect):
        await connector(problem(409, "key-reused")).authorize(ASKED)


async def test_a_repeated_answer_is_replaced_by_how_things_stand_now() -> None:
    captured = {**AUTHORIZED, "status": "captured", "amount_captured": 1000}
    answers = reply(201, AUTHORIZED, idempotency_replayed="true"), reply(200, captured)
    answer = await connector(*answers).authorize(ASKED)
    assert (answer.outcome, answer.captured_minor) == (AuthorizationOutcome.CAPTURED, 1000)


@pytest.mark.parametrize(
    ("kind", "data", "subject", "key"),
    [
        ("authorization.succeeded", {"key": "att_1"}, Subject.AUTHORIZATION, "att_1"),
        ("capture.succeeded", {"key": "c", "authorization": "att_1"}, Subject.AUTHORIZATION, "att_1"),
        ("refund.failed", {"key": "re_1", "authorization": "att_1"}, Subject.REFUND, "re_1"),
        ("payout.paid", {"key": "po_1"}, Subject.PAYOUT, "po_1"),
        ("weather.changed", {}, Subject.OTHER, None),
    ],
)
def test_an_event_names_what_it_is_about(kind: str, data: object, subject: Subject, key: str | None) -> None:
    body = orjson.dumps({"id": "sbevt_1", "type": kind, "timestamp": "2026-01-01T00:00:00Z", "data": data})
    event = connector().parse_event(body)
    assert (event.id, event.type, event.subject, event.key) == ("sbevt_1", kind, subject, key)
    assert event.occurred_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_what_the_official_library_signs_is_accepted_and_a_changed_byte_is_not() -> None:
    body, now = b'{"a":1}', datetime.now(UTC)
    signed = {
        "Webhook-Id": "m",
        "Webhook-Timestamp": str(int(now.timestamp())),
        "Webhook-Signature": Webhook(SECRET).sign("m", now, body.decode()),
    }
    connector().verify_webhook(signed, body)
    with pytest.raises(Refused):
        connector().verify_webhook(signed, body + b" ")
