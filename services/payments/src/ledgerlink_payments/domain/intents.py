"""The intent: what a payer is meant to pay, and what may be done with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from ledgerlink_contracts.ids import AttemptId, IntentId
from ledgerlink_payments.domain import refusals
from ledgerlink_payments.domain.machines import INTENT, IllegalMove, IntentState, IntentVerb
from ledgerlink_payments.domain.postings import MERCHANT_PREFIX, Exchange, share


class CaptureMethod(StrEnum):
    """Whether the money is collected at once or when the merchant says so."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"


class CancellationReason(StrEnum):
    """Why an intent was given up, in Stripe's words."""

    DUPLICATE = "duplicate"
    FRAUDULENT = "fraudulent"
    REQUESTED_BY_CUSTOMER = "requested_by_customer"
    ABANDONED = "abandoned"


DOING: Final[Mapping[IntentVerb, str]] = {
    IntentVerb.ATTACH: "updated",
    IntentVerb.CONFIRM: "confirmed",
    IntentVerb.BEGIN_CAPTURE: "captured",
    IntentVerb.BEGIN_VOID: "canceled",
    IntentVerb.CANCEL: "canceled",
}


@dataclass(frozen=True, slots=True)
class Intent:
    """What a payer is meant to pay.

    ``owner`` created it and pays, ``destination`` receives (`acct_…` or `wal_…`). ``captured_minor`` was collected,
    ``capturable_minor`` waits to be, ``refunded_minor`` has been given back or is on its way back. ``exchange`` is the
    payer's side in another currency, of which ``exchange_refunded_minor`` has been given back. ``unlimited`` says that
    its creator may pay from any wallet, being allowed to post any transfer.
    """

    id: IntentId
    owner: str
    amount_minor: int
    currency: str
    destination: str
    capture_method: CaptureMethod
    created_at: datetime
    state: IntentState = INTENT.initial
    payment_method: str | None = None
    exchange: Exchange | None = None
    exchange_refunded_minor: int = 0
    unlimited: bool = False
    captured_minor: int = 0
    capturable_minor: int = 0
    refunded_minor: int = 0
    latest_attempt: AttemptId | None = None
    review_case: str | None = None
    last_error: Mapping[str, Any] | None = None
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    canceled_at: datetime | None = None
    cancellation_reason: CancellationReason | None = None

    def __post_init__(self) -> None:
        """Hold the sums that the table's CHECK constraints hold as well."""
        assert self.amount_minor > 0
        assert 0 <= self.refunded_minor <= self.captured_minor
        assert self.capturable_minor >= 0
        assert self.captured_minor + self.capturable_minor <= self.amount_minor

    @property
    def to_merchant(self) -> bool:
        """Tell whether a merchant receives, and not a wallet."""
        return self.destination.startswith(MERCHANT_PREFIX)

    @property
    def refundable_minor(self) -> int:
        """Give what may still be given back."""
        return self.captured_minor - self.refunded_minor


def _move(intent: Intent, verb: IntentVerb) -> IntentState:
    try:
        return INTENT.move(intent.state, verb)
    except IllegalMove:
        raise refusals.unexpected_state("payment_intent", intent.state, DOING[verb]) from None


def attach(intent: Intent, payment_method: str) -> Intent:
    """Choose how it will be paid. Refuses `payment-intent-unexpected-state`, or the payee's own wallet."""
    state = _move(intent, IntentVerb.ATTACH)
    if payment_method == intent.destination:
        raise refusals.invalid("payment_method", "A wallet cannot pay itself.")
    return replace(intent, state=state, payment_method=payment_method, last_error=None)


def confirm(intent: Intent, attempt: AttemptId) -> Intent:
    """Start paying through ``attempt``. Refuses `payment-intent-unexpected-state` and a missing payment method."""
    if intent.state is IntentState.REQUIRES_PAYMENT_METHOD:
        raise refusals.absent("payment_method")
    return replace(
        intent,
        state=_move(intent, IntentVerb.CONFIRM),
        latest_attempt=attempt,
        last_error=None,
        review_case=None,
    )


def hold_for_review(intent: Intent, case: str) -> Intent:
    """Risk wants a person to look; the intent stays in processing until they have."""
    INTENT.move(intent.state, IntentVerb.AUTHORIZE)  # only what is being processed can wait
    return replace(intent, review_case=case)


def authorized(intent: Intent, amount_minor: int) -> Intent:
    """The payer's money is reserved, or is still reserved after a capture or a void that was refused."""
    state = INTENT.move(intent.state, IntentVerb.AUTHORIZE)
    return replace(intent, state=state, capturable_minor=amount_minor, review_case=None)


def succeeded(intent: Intent, captured_minor: int) -> Intent:
    """The money has been collected; what was reserved beyond it is released."""
    state = INTENT.move(intent.state, IntentVerb.SUCCEED)
    return replace(intent, state=state, captured_minor=captured_minor, capturable_minor=0, review_case=None)


def declined(intent: Intent, error: Mapping[str, Any]) -> Intent:
    """The attempt came to nothing; another payment method may do better."""
    state = INTENT.move(intent.state, IntentVerb.DECLINE)
    return replace(intent, state=state, payment_method=None, capturable_minor=0, last_error=error, review_case=None)


def begin_capture(intent: Intent, amount_minor: int | None) -> tuple[Intent, int]:
    """Start collecting ``amount_minor``, or all. Gives the intent and the amount. Refuses `amount-too-large`."""
    state = _move(intent, IntentVerb.BEGIN_CAPTURE)
    amount = intent.capturable_minor if amount_minor is None else amount_minor
    if amount > intent.capturable_minor:
        raise refusals.amount_too_large(amount, intent.capturable_minor, "captured")
    return replace(intent, state=state), amount


def begin_void(intent: Intent, reason: CancellationReason | None) -> Intent:
    """Start giving back what is reserved."""
    return replace(intent, state=_move(intent, IntentVerb.BEGIN_VOID), cancellation_reason=reason)


def cancel(intent: Intent, reason: CancellationReason | None, now: datetime) -> Intent:
    """Give up an intent on which nothing is reserved. Refuses `payment-intent-unexpected-state`."""
    state = _move(intent, IntentVerb.CANCEL)
    return replace(intent, state=state, canceled_at=now, cancellation_reason=reason)


def voided(intent: Intent, now: datetime) -> Intent:
    """What was reserved has been given back, or the provider's promise has run out."""
    state = INTENT.move(intent.state, IntentVerb.FINISH_VOID)
    return replace(intent, state=state, capturable_minor=0, canceled_at=now)


def payer_side(intent: Intent, captured_minor: int) -> Exchange | None:
    """Give what the payer gives for ``captured_minor``, when that is in another currency; at least one minor unit."""
    if intent.exchange is None:
        return None
    given = share(captured_minor, intent.amount_minor, intent.exchange.amount_minor)
    return Exchange(intent.exchange.currency, max(1, given))


def begin_refund(
    intent: Intent, amount_minor: int | None, override: Exchange | None
) -> tuple[Intent, int, Exchange | None]:
    """Set ``amount_minor``, or all that is left, aside for a refund.

    Gives the intent, the amount, and what the payer gets back when they paid in another currency: ``override`` when it
    is given, else their share, so that refunds of the whole give back exactly what the whole cost them. Refuses
    `payment-intent-unexpected-state`, `charge-already-refunded`, `amount-too-large`.
    """
    if intent.state is not IntentState.SUCCEEDED:
        raise refusals.unexpected_state("payment_intent", intent.state, "refunded")
    if not intent.refundable_minor:
        raise refusals.already_refunded()
    amount = intent.refundable_minor if amount_minor is None else amount_minor
    if amount > intent.refundable_minor:
        raise refusals.amount_too_large(amount, intent.refundable_minor, "refunded")
    after = intent.refunded_minor + amount
    back = _given_back(intent, after, override)
    exchanged = intent.exchange_refunded_minor + (back.amount_minor if back else 0)
    return replace(intent, refunded_minor=after, exchange_refunded_minor=exchanged), amount, back


def _given_back(intent: Intent, refunded_after: int, override: Exchange | None) -> Exchange | None:
    whole = payer_side(intent, intent.captured_minor)
    if whole is None:
        if override is not None:
            raise refusals.invalid("exchange", "This payment was made in its own currency.")
        return None
    if override is not None:
        if override.currency != whole.currency:
            raise refusals.invalid("exchange[currency]", f"This payment was paid in {whole.currency}.")
        return override
    due = share(refunded_after, intent.captured_minor, whole.amount_minor) - intent.exchange_refunded_minor
    return Exchange(whole.currency, max(0, due))


def refund_failed(intent: Intent, amount_minor: int, exchanged_minor: int) -> Intent:
    """A refund came to nothing: its amount may be refunded again."""
    return replace(
        intent,
        refunded_minor=intent.refunded_minor - amount_minor,
        exchange_refunded_minor=intent.exchange_refunded_minor - exchanged_minor,
    )
