"""A provider in memory, for tests: keeps the promises of `Connector`, and loses answers when told to."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from ledgerlink_kit.clock import Clock
from ledgerlink_kit.errors import Kind, Refused
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

SIGNATURE: Final = "signed by the fake provider"
SIGNATURE_HEADER: Final = "fake-signature"

_A = AuthorizationOutcome
_DECLINES: Final = {
    "pm_card_chargeDeclined": Decline("card_declined", "Your card was declined.", DeclineKind.HARD, "generic_decline"),
    "pm_card_chargeDeclinedInsufficientFunds": Decline(
        "card_declined", "Your card has insufficient funds.", DeclineKind.SOFT, "insufficient_funds"
    ),
}


@dataclass(frozen=True, slots=True)
class _Refunded:
    answer: RefundAnswer
    authorization_key: str
    amount_minor: int


class FakeConnector:
    """The provider: `charged_minor`, `refunded_minor`, `paid_out_minor` say what it really did, `calls` how often."""

    name = "fake"
    capabilities = Capabilities(manual_capture=True, partial_capture=True, partial_refund=True, payouts=True)

    def __init__(self, clock: Clock) -> None:
        """Know nobody yet."""
        self.authorizations: dict[str, AuthorizationAnswer] = {}
        self.payouts: dict[str, tuple[PayoutAnswer, int]] = {}
        self.refunds: dict[str, _Refunded] = {}
        self.calls: list[str] = []
        self.lose_before: list[str] = []
        """Calls, by name, that never arrive (each entry once); the caller hears nothing."""
        self.lose_after: list[str] = []
        """Calls, by name, that are carried out and whose answer is lost (each entry once)."""
        self.refunds_are: RefundOutcome = RefundOutcome.SUCCEEDED
        self.payouts_are: PayoutOutcome = PayoutOutcome.PAID
        self.refuse_captures = False
        self.promise_only = False
        """Whether an authorization that asks for its capture is promised and not collected."""
        self._clock = clock

    @property
    def charged_minor(self) -> int:
        """Give all that was ever collected, whatever was given back."""
        return sum(answer.captured_minor for answer in self.authorizations.values())

    @property
    def refunded_minor(self) -> int:
        """Give all that went back and stayed."""
        return sum(r.amount_minor for r in self.refunds.values() if r.answer.outcome is not RefundOutcome.FAILED)

    @property
    def paid_out_minor(self) -> int:
        """Give all that was paid out and stayed."""
        return sum(amount for answer, amount in self.payouts.values() if answer.outcome is not PayoutOutcome.FAILED)

    def _lost(self, name: str, planned: list[str]) -> bool:
        if name in planned:
            planned.remove(name)
            return True
        return False

    async def authorize(self, request: AuthorizeRequest) -> AuthorizationAnswer:
        """See `Connector.authorize`."""
        self.calls.append("authorize")
        if self._lost("authorize", self.lose_before):
            return AuthorizationAnswer(_A.UNKNOWN)
        if request.key not in self.authorizations:
            self.authorizations[request.key] = self._decide(request)
        if self._lost("authorize", self.lose_after):
            return AuthorizationAnswer(_A.UNKNOWN)
        return self.authorizations[request.key]

    def _decide(self, request: AuthorizeRequest) -> AuthorizationAnswer:
        decline = _DECLINES.get(request.payment_method)
        if decline is not None:
            return AuthorizationAnswer(_A.DECLINED, reference=f"ch_{request.key}", decline=decline)
        captured = request.amount_minor if request.capture and not self.promise_only else 0
        return AuthorizationAnswer(
            _A.CAPTURED if captured else _A.AUTHORIZED,
            reference=f"ch_{request.key}",
            authorized_minor=request.amount_minor,
            captured_minor=captured,
        )

    async def capture(self, request: CaptureRequest) -> AuthorizationAnswer:
        """See `Connector.capture`."""
        self.calls.append("capture")
        if self._lost("capture", self.lose_before):
            return AuthorizationAnswer(_A.UNKNOWN)
        found = self.authorizations[request.authorization_key]
        if self.refuse_captures and found.outcome is _A.AUTHORIZED:
            return replace(found, decline=Decline("capture_refused", "Not now.", DeclineKind.SOFT))
        if found.outcome is _A.AUTHORIZED:
            found = replace(found, outcome=_A.CAPTURED, captured_minor=request.amount_minor)
            self.authorizations[request.authorization_key] = found
        return AuthorizationAnswer(_A.UNKNOWN) if self._lost("capture", self.lose_after) else found

    async def void(self, request: VoidRequest) -> AuthorizationAnswer:
        """See `Connector.void`."""
        self.calls.append("void")
        if self._lost("void", self.lose_before):
            return AuthorizationAnswer(_A.UNKNOWN)
        self.end(request.authorization_key)
        found = self.authorizations[request.authorization_key]
        return AuthorizationAnswer(_A.UNKNOWN) if self._lost("void", self.lose_after) else found

    def end(self, key: str) -> None:
        """End the promise of an authorization that stands, as a provider does when it runs out."""
        found = self.authorizations[key]
        if found.outcome is _A.AUTHORIZED:
            self.authorizations[key] = replace(found, outcome=_A.VOIDED)

    def collect(self, key: str) -> None:
        """Collect what was promised without being asked, as a person at the provider may do."""
        found = self.authorizations[key]
        self.authorizations[key] = replace(found, outcome=_A.CAPTURED, captured_minor=found.authorized_minor)

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """See `Connector.refund`."""
        self.calls.append("refund")
        if self._lost("refund", self.lose_before):
            return RefundAnswer(RefundOutcome.UNKNOWN)
        if request.key not in self.refunds:
            self.settle_refund(request.key, self.refunds_are, request.authorization_key, request.amount_minor)
        if self._lost("refund", self.lose_after):
            return RefundAnswer(RefundOutcome.UNKNOWN)
        return self.refunds[request.key].answer

    def settle_refund(
        self, key: str, outcome: RefundOutcome, authorization_key: str | None = None, amount_minor: int | None = None
    ) -> None:
        """Make a refund, or let one that exists come to ``outcome``, as happens days later."""
        before = self.refunds.get(key)
        reason = "lost_or_stolen_card" if outcome is RefundOutcome.FAILED else None
        answer = RefundAnswer(outcome, reference=f"rf_{key}", failure_reason=reason)
        if before is None:
            assert authorization_key is not None
            assert amount_minor is not None
            self.refunds[key] = _Refunded(answer, authorization_key, amount_minor)
        else:
            self.refunds[key] = replace(before, answer=answer)

    async def payout(self, request: PayoutRequest) -> PayoutAnswer:
        """See `Connector.payout`."""
        self.calls.append("payout")
        if self._lost("payout", self.lose_before):
            return PayoutAnswer(PayoutOutcome.UNKNOWN)
        if request.key not in self.payouts:
            self.settle_payout(request.key, self.payouts_are, request.amount_minor)
        if self._lost("payout", self.lose_after):
            return PayoutAnswer(PayoutOutcome.UNKNOWN)
        return self.payouts[request.key][0]

    def settle_payout(self, key: str, outcome: PayoutOutcome, amount_minor: int | None = None) -> None:
        """Make a payout, or let one that exists come to ``outcome``."""
        amount = self.payouts[key][1] if amount_minor is None else amount_minor
        code = "account_closed" if outcome is PayoutOutcome.FAILED else None
        self.payouts[key] = (PayoutAnswer(outcome, reference=f"tr_{key}", failure_code=code), amount)

    async def lookup_authorization(self, key: str) -> AuthorizationAnswer:
        """See `Connector.lookup_authorization`."""
        self.calls.append("lookup_authorization")
        if self._lost("lookup_authorization", self.lose_before):
            return AuthorizationAnswer(_A.UNKNOWN)
        return self.authorizations.get(key, AuthorizationAnswer(_A.ABSENT))

    async def lookup_refund(self, key: str) -> RefundAnswer:
        """See `Connector.lookup_refund`."""
        self.calls.append("lookup_refund")
        if self._lost("lookup_refund", self.lose_before):
            return RefundAnswer(RefundOutcome.UNKNOWN)
        return self.refunds[key].answer if key in self.refunds else RefundAnswer(RefundOutcome.ABSENT)

    async def lookup_payout(self, key: str) -> PayoutAnswer:
        """See `Connector.lookup_payout`."""
        self.calls.append("lookup_payout")
        if self._lost("lookup_payout", self.lose_before):
            return PayoutAnswer(PayoutOutcome.UNKNOWN)
        return self.payouts[key][0] if key in self.payouts else PayoutAnswer(PayoutOutcome.ABSENT)

    def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> None:
        """See `Connector.verify_webhook`; here the signature is a word."""
        if headers.get(SIGNATURE_HEADER) != SIGNATURE:
            raise Refused(Kind.UNAUTHENTICATED, "webhook-signature-invalid", "The signature is not the provider's.")

    def parse_event(self, body: bytes) -> ProviderEvent:
        """See `Connector.parse_event`."""
        try:
            read: dict[str, Any] = orjson.loads(body)
            subject = Subject(read["subject"])
            return ProviderEvent(read["id"], read["type"], subject, read["key"], self._clock.now())
        except (ValueError, KeyError, TypeError):
            raise Refused(Kind.INVALID, "webhook-unreadable", "The event cannot be read.") from None
