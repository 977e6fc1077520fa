"""What payments tells the others. Stream: `events:payments`.

Amounts are minor units of ``currency`` (upper-case ISO 4217). ``source`` is the payment method (`pm_…` or `wal_…`),
``destination`` who received (`acct_…` or `wal_…`).
"""

from typing import ClassVar

from ledgerlink_contracts.ids import AttemptId, IntentId, MerchantId, PayoutId, RefundId
from ledgerlink_kit.outbox import Event


class IntentSucceeded(Event):
    """The money has arrived: ``amount_minor`` was captured and posted in the ledger."""

    event_type: ClassVar[str] = "payments.intent.succeeded"
    data_version: ClassVar[int] = 1

    intent: IntentId
    attempt: AttemptId
    customer: str
    source: str
    destination: str
    amount_minor: int
    currency: str


class IntentAuthorized(Event):
    """The payer's money is reserved; up to ``amount_minor`` waits to be captured."""

    event_type: ClassVar[str] = "payments.intent.authorized"
    data_version: ClassVar[int] = 1

    intent: IntentId
    attempt: AttemptId
    customer: str
    source: str
    destination: str
    amount_minor: int
    currency: str


class IntentFailed(Event):
    """An attempt came to nothing; the intent waits for another payment method. ``code`` is Stripe's error code."""

    event_type: ClassVar[str] = "payments.intent.failed"
    data_version: ClassVar[int] = 1

    intent: IntentId
    attempt: AttemptId
    customer: str
    source: str
    destination: str
    amount_minor: int
    currency: str
    code: str


class IntentCanceled(Event):
    """The intent will not be paid; whatever was reserved has been given back."""

    event_type: ClassVar[str] = "payments.intent.canceled"
    data_version: ClassVar[int] = 1

    intent: IntentId
    customer: str
    destination: str
    amount_minor: int
    currency: str
    reason: str | None = None


class RefundSucceeded(Event):
    """Money went back to the payer."""

    event_type: ClassVar[str] = "payments.refund.succeeded"
    data_version: ClassVar[int] = 1

    refund: RefundId
    intent: IntentId
    amount_minor: int
    currency: str


class RefundFailed(Event):
    """A refund came to nothing, at once or late; its amount may be refunded again."""

    event_type: ClassVar[str] = "payments.refund.failed"
    data_version: ClassVar[int] = 1

    refund: RefundId
    intent: IntentId
    amount_minor: int
    currency: str
    reason: str


class PayoutPaid(Event):
    """A merchant's money has arrived at their bank."""

    event_type: ClassVar[str] = "payments.payout.paid"
    data_version: ClassVar[int] = 1

    payout: PayoutId
    merchant: MerchantId
    amount_minor: int
    currency: str


class PayoutFailed(Event):
    """A payout did not arrive, or came back; the merchant has the money again."""

    event_type: ClassVar[str] = "payments.payout.failed"
    data_version: ClassVar[int] = 1

    payout: PayoutId
    merchant: MerchantId
    amount_minor: int
    currency: str
    code: str
