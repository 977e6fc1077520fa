"""The connector of the sandbox provider, over HTTP.

The provider answers a repeated request as it did the first time, so whenever it says that an answer is a repeat, the
thing is looked up: answers of a connector are snapshots of how things stand now.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, TypeVar

import orjson

from ledgerlink_kit.clock import Clock
from ledgerlink_kit.errors import Defect, Kind, Refused, Unavailable
from ledgerlink_kit.http_client import HttpClient, HttpReply
from ledgerlink_payments.connectors import (
    AuthorizationAnswer,
    AuthorizationOutcome,
    AuthorizeRequest,
    Capabilities,
    CaptureRequest,
    Decline,
    DeclineKind,
    PayoutAnswer,
    PayoutOutcome,
    PayoutRequest,
    ProviderEvent,
    RefundAnswer,
    RefundOutcome,
    RefundRequest,
    Subject,
    VoidRequest,
)
from ledgerlink_payments.domain import webhooks

Answer = TypeVar("Answer", AuthorizationAnswer, RefundAnswer, PayoutAnswer)

_UNDECIDED: Final = frozenset({401, 403, 408, 425, 429})
"""Refusals of us, not of the request: nothing is known of its outcome until they are lifted."""
_NOT_FOUND: Final = 404
_FIRST_REFUSAL: Final = 400

_OUTCOMES: Final[Mapping[str, AuthorizationOutcome]] = {
    "authorized": AuthorizationOutcome.AUTHORIZED,
    # Our captures are final, so what was captured in part is done.
    "partially_captured": AuthorizationOutcome.CAPTURED,
    "captured": AuthorizationOutcome.CAPTURED,
    "voided": AuthorizationOutcome.VOIDED,
    "declined": AuthorizationOutcome.DECLINED,
}
_REFUND_OUTCOMES: Final[Mapping[str, RefundOutcome]] = {
    "pending": RefundOutcome.PENDING,
    "succeeded": RefundOutcome.SUCCEEDED,
    "failed": RefundOutcome.FAILED,
}
_PAYOUT_OUTCOMES: Final[Mapping[str, PayoutOutcome]] = {
    "pending": PayoutOutcome.IN_TRANSIT,
    "paid": PayoutOutcome.PAID,
    "failed": PayoutOutcome.FAILED,
}
_OWN_CODES: Final = frozenset({"expired_card", "incorrect_cvc", "processing_error", "authentication_required"})
"""Declines that are error codes of their own at Stripe; all others are `card_declined` with a finer decline code."""
_MESSAGES: Final[Mapping[str, str]] = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "expired_card": "Your card has expired.",
    "lost_card": "Your card was declined.",
    "incorrect_cvc": "Your card's security code is incorrect.",
    "processing_error": "An error occurred while processing your card. Try again in a little bit.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
}
_SUBJECTS: Final[Mapping[str, tuple[Subject, str]]] = {
    "authorization": (Subject.AUTHORIZATION, "key"),
    "capture": (Subject.AUTHORIZATION, "authorization"),
    "refund": (Subject.REFUND, "key"),
    "payout": (Subject.PAYOUT, "key"),
}


class SandboxConnector:
    """Talks to the sandbox provider; keeps the promises of `Connector`."""

    def __init__(self, http: HttpClient, *, api_key: str, webhook_secret: str, clock: Clock) -> None:
        """Call with ``api_key`` through ``http``; accept webhooks signed with ``webhook_secret``."""
        self._http = http
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._webhook_secret = webhook_secret
        self._clock = clock

    @property
    def name(self) -> str:
        """Give the connector's name."""
        return "sandbox"

    @property
    def capabilities(self) -> Capabilities:
        """Tell what the provider can do: everything, in every currency."""
        return Capabilities(manual_capture=True, partial_capture=True, partial_refund=True, payouts=True)

    async def authorize(self, request: AuthorizeRequest) -> AuthorizationAnswer:
        """Ask for an authorization, captured in the same step when the request says so."""
        body = {
            "key": request.key,
            "amount": request.amount_minor,
            "currency": request.currency,
            "payment_method": request.payment_method,
            "capture": request.capture,
            "metadata": dict(request.metadata),
        }
        reply = await self._ask("POST", "/authorizations", body)
        if reply is None:
            return AuthorizationAnswer(AuthorizationOutcome.UNKNOWN)
        if reply.status >= _FIRST_REFUSAL:
            return AuthorizationAnswer(AuthorizationOutcome.FAILED, decline=_refusal(reply))
        if _repeated(reply):
            return await self.lookup_authorization(request.key)
        return _read(_authorization, reply, AuthorizationAnswer(AuthorizationOutcome.UNKNOWN))

    async def capture(self, request: CaptureRequest) -> AuthorizationAnswer:
        """Collect all or part of an authorization, once; the rest is released."""
        body = {"key": request.key, "amount": request.amount_minor, "final": True}
        reply = await self._ask("POST", f"/authorizations/{request.authorization_key}/captures", body)
        return await self._after(reply, request.authorization_key)

    async def void(self, request: VoidRequest) -> AuthorizationAnswer:
        """Give an authorization back."""
        reply = await self._ask("POST", f"/authorizations/{request.authorization_key}/void", None)
        return await self._after(reply, request.authorization_key)

    async def _after(self, reply: HttpReply | None, key: str) -> AuthorizationAnswer:
        """Look at the authorization after a capture or void; say why it was refused when it stands as before."""
        if reply is None:
            return AuthorizationAnswer(AuthorizationOutcome.UNKNOWN)
        answer = await self.lookup_authorization(key)
        if reply.status >= _FIRST_REFUSAL and answer.outcome is AuthorizationOutcome.AUTHORIZED:
            return replace(answer, decline=_refusal(reply))
        return answer

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """Return collected money to the payer."""
        body = {"key": request.key, "authorization": request.authorization_key, "amount": request.amount_minor}
        reply = await self._ask("POST", "/refunds", body)
        if reply is None:
            return RefundAnswer(RefundOutcome.UNKNOWN)
        if reply.status >= _FIRST_REFUSAL:
            _refusal(reply)
            return RefundAnswer(RefundOutcome.FAILED, failure_reason="declined")
        if _repeated(reply):
            return await self.lookup_refund(request.key)
        return _read(_refund, reply, RefundAnswer(RefundOutcome.UNKNOWN))

    async def payout(self, request: PayoutRequest) -> PayoutAnswer:
        """Send money to an outside account."""
        body = {
            "key": request.key,
            "amount": request.amount_minor,
            "currency": request.currency,
            "destination": request.destination,
        }
        reply = await self._ask("POST", "/payouts", body)
        if reply is None:
            return PayoutAnswer(PayoutOutcome.UNKNOWN)
        if reply.status >= _FIRST_REFUSAL:
            _refusal(reply)
            return PayoutAnswer(PayoutOutcome.FAILED, failure_code="declined")
        if _repeated(reply):
            return await self.lookup_payout(request.key)
        return _read(_payout, reply, PayoutAnswer(PayoutOutcome.UNKNOWN))

    async def lookup_authorization(self, key: str) -> AuthorizationAnswer:
        """Ask how the authorization with this key stands."""
        unknown = AuthorizationAnswer(AuthorizationOutcome.UNKNOWN)
        absent = AuthorizationAnswer(AuthorizationOutcome.ABSENT)
        return await self._look(f"/authorizations/{key}", _authorization, absent, unknown)

    async def lookup_refund(self, key: str) -> RefundAnswer:
        """Ask how the refund with this key stands."""
        unknown, absent = RefundAnswer(RefundOutcome.UNKNOWN), RefundAnswer(RefundOutcome.ABSENT)
        return await self._look(f"/refunds/{key}", _refund, absent, unknown)

    async def lookup_payout(self, key: str) -> PayoutAnswer:
        """Ask how the payout with this key stands."""
        unknown, absent = PayoutAnswer(PayoutOutcome.UNKNOWN), PayoutAnswer(PayoutOutcome.ABSENT)
        return await self._look(f"/payouts/{key}", _payout, absent, unknown)

    async def _look(
        self, path: str, read: Callable[[Mapping[str, Any]], Answer], absent: Answer, unknown: Answer
    ) -> Answer:
        """Look a thing up; only the provider's own 404 says that there is none."""
        reply = await self._ask("GET", path, None)
        if reply is not None and reply.status == _NOT_FOUND and _code(reply).endswith("-unknown"):
            return absent
        if reply is None or reply.status >= _FIRST_REFUSAL:
            return unknown
        return _read(read, reply, unknown)

    def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> None:
        """Check the signature over the raw bytes. Raises `Refused` (UNAUTHENTICATED, `webhook-signature-invalid`)."""
        webhooks.verify([self._webhook_secret], headers, body, self._clock.now())

    def parse_event(self, body: bytes) -> ProviderEvent:
        """Read a verified body. Raises `Refused` (INVALID, `webhook-unreadable`)."""
        try:
            event = orjson.loads(body)
            kind, data = str(event["type"]), event["data"]
            subject, name = _SUBJECTS.get(kind.partition(".")[0], (Subject.OTHER, ""))
            key = str(data[name]) if name else None
            occurred_at = datetime.fromisoformat(event["timestamp"])
            if occurred_at.tzinfo is None:
                raise ValueError("a moment without its zone")
            return ProviderEvent(str(event["id"]), kind, subject, key, occurred_at)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise Refused(Kind.INVALID, "webhook-unreadable", "The event is not in the provider's form.") from None

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> HttpReply | None:
        """Send one request; None when nobody can tell what came of it."""
        try:
            reply = await self._http.request(method, path, json=body, headers=self._headers)
        except Unavailable:
            return None
        return None if reply.status in _UNDECIDED else reply


def _repeated(reply: HttpReply) -> bool:
    return reply.headers.get("idempotency-replayed") == "true"


def _code(reply: HttpReply) -> str:
    """Give the code of a problem, or an empty text when it is none."""
    try:
        return str(orjson.loads(reply.body).get("code", ""))
    except (ValueError, AttributeError):
        return ""


def _refusal(reply: HttpReply) -> Decline:
    """Put a refused request in words for the payer. Raises `Defect` when a key of ours was used for two requests."""
    code = _code(reply)
    if code == "key-reused":
        raise Defect("The sandbox provider was sent two different requests under one key.")
    if code == "payment-method-unknown":
        return Decline("resource_missing", "No such payment method.", DeclineKind.HARD)
    if code == "authorization-expired":
        return Decline("charge_expired_for_capture", "The authorization has expired.", DeclineKind.HARD)
    return Decline("processing_error", "The provider refused the request.", DeclineKind.HARD)


def _read(read: Callable[[Mapping[str, Any]], Answer], reply: HttpReply, unknown: Answer) -> Answer:
    """Read an answer; one that is not in the provider's form tells nothing, so its outcome is ``unknown``."""
    try:
        return read(orjson.loads(reply.body))
    except (ValueError, KeyError, TypeError):
        return unknown


def _authorization(found: Mapping[str, Any]) -> AuthorizationAnswer:
    decline = None if found["decline"] is None else _decline(found["decline"])
    return AuthorizationAnswer(
        _OUTCOMES[found["status"]],
        reference=found["key"],
        authorized_minor=found["amount"] if decline is None else 0,
        captured_minor=found["amount_captured"],
        decline=decline,
        expires_at=datetime.fromisoformat(found["expires_at"]),
    )


def _decline(found: Mapping[str, Any]) -> Decline:
    code = str(found["code"])
    message = _MESSAGES.get(code, "Your card was declined.")
    kind = DeclineKind.SOFT if found["soft"] else DeclineKind.HARD
    return Decline(code, message, kind, code) if code in _OWN_CODES else Decline("card_declined", message, kind, code)


def _refund(found: Mapping[str, Any]) -> RefundAnswer:
    return RefundAnswer(_REFUND_OUTCOMES[found["status"]], reference=found["key"], failure_reason=found["failure"])


def _payout(found: Mapping[str, Any]) -> PayoutAnswer:
    return PayoutAnswer(_PAYOUT_OUTCOMES[found["status"]], reference=found["key"], failure_code=found["failure"])
