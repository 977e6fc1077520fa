"""The attempt, the refund and the payout: rows that carry their own work.

Each has a state of its machine and, while it is not finished, work to do at a moment. ``posted`` says whether the
books tell what the state tells: a row whose provider has answered but whose transfer is not yet in the ledger is
not finished.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from ledgerlink_contracts.ids import AttemptId, IntentId, MerchantId, PayoutId, RefundId
from ledgerlink_payments.domain.machines import (
    ATTEMPT,
    PAYOUT,
    REFUND,
    AttemptState,
    AttemptVerb,
    PayoutState,
    PayoutVerb,
    RefundState,
    RefundVerb,
)
from ledgerlink_payments.domain.postings import WALLET_PREFIX, Exchange

RETRY_S_MAX: Final = 300
"""Longest wait between two tries to finish a piece of work, in seconds."""


class Operation(StrEnum):
    """What an attempt is doing with its authorization."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"


WALLET: Final = "wallet"
"""The name that stands in an attempt's `connector` when a wallet pays; no provider is asked then."""


def is_wallet(payment_method: str) -> bool:
    """Tell whether a payment method is one of our own wallets."""
    return payment_method.startswith(WALLET_PREFIX)


def wait(tries: int) -> timedelta:
    """Give how long to wait before the next try: 1, 2, 4 … seconds, at most `RETRY_S_MAX`."""
    return timedelta(seconds=min(2 ** min(tries, 10), RETRY_S_MAX))


@dataclass(frozen=True, slots=True)
class Work:
    """Who works on a row, and when it is due. A row without ``due_at`` waits for nobody."""

    due_at: datetime | None = None
    lease_until: datetime | None = None
    lease_token: UUID | None = None
    tries: int = 0


DONE: Final = Work()


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of an intent through one connector.

    ``operation`` is the step last begun and ``operations`` how many have begun, so that each has its own key.
    ``operation_minor`` is what the step is about: the amount to authorize or to capture. ``error`` is Stripe's error
    object of a decline. ``begun_by`` derives from the Idempotency-Key of the request that began the step, so that the
    same request finds its own work again.
    """

    id: AttemptId
    intent: IntentId
    connector: str
    payment_method: str
    amount_minor: int
    currency: str
    capture: bool
    created_at: datetime
    state: AttemptState = ATTEMPT.initial
    operation: Operation = Operation.AUTHORIZE
    operations: int = 1
    operation_minor: int = 0
    captured_minor: int = 0
    posted: bool = False
    reference: str | None = None
    case: str | None = None
    degraded: bool = False
    error: Mapping[str, Any] | None = None
    begun_by: UUID | None = None
    work: Work = DONE

    def __post_init__(self) -> None:
        """Hold what the table holds as well."""
        assert 0 <= self.captured_minor <= self.amount_minor
        assert not self.posted or self.state is AttemptState.CAPTURED

    @property
    def by_wallet(self) -> bool:
        """Tell whether a wallet pays, and no provider is asked."""
        return self.connector == WALLET

    @property
    def authorization_key(self) -> str:
        """Give the provider's key of the authorization."""
        return str(self.id)

    @property
    def operation_key(self) -> str:
        """Give the provider's key of the step last begun; a capture tried again after a refusal has another."""
        return self.authorization_key if self.operations == 1 else f"{self.id}-{self.operations}"

    def moved(self, verb: AttemptVerb, **changes: Any) -> "Attempt":
        """Give the attempt after ``verb``. Raises `IllegalMove`."""
        return replace(self, state=ATTEMPT.move(self.state, verb), **changes)


def begin(attempt: Attempt, operation: Operation, amount_minor: int, begun_by: UUID | None, work: Work) -> Attempt:
    """Start a capture or a void on what was authorized. Raises `IllegalMove`."""
    verb = AttemptVerb.BEGIN_CAPTURE if operation is Operation.CAPTURE else AttemptVerb.BEGIN_VOID
    return attempt.moved(
        verb,
        operation=operation,
        operations=attempt.operations + 1,
        operation_minor=amount_minor,
        begun_by=begun_by,
        error=None,
        work=work,
    )


@dataclass(frozen=True, slots=True)
class Refund:
    """Money on its way back to the payer of an intent, through the attempt that collected it.

    ``exchange`` is what the payer gets when they paid in another currency. ``late`` says that it failed after it had
    succeeded.
    """

    id: RefundId
    intent: IntentId
    attempt: AttemptId
    connector: str
    payment_method: str
    destination: str
    amount_minor: int
    currency: str
    created_at: datetime
    owner: str
    exchange: Exchange | None = None
    state: RefundState = REFUND.initial
    posted: bool = False
    late: bool = False
    reference: str | None = None
    reason: str | None = None
    failure_reason: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    work: Work = DONE

    @property
    def by_wallet(self) -> bool:
        """Tell whether a wallet paid, and gets it back."""
        return self.connector == WALLET

    def moved(self, verb: RefundVerb, **changes: Any) -> "Refund":
        """Give the refund after ``verb``. Raises `IllegalMove`."""
        late = self.state is RefundState.SUCCEEDED
        return replace(self, state=REFUND.move(self.state, verb), late=late, **changes)


@dataclass(frozen=True, slots=True)
class Payout:
    """A merchant's money on its way to their bank; ``late`` says that it came back after it had been paid."""

    id: PayoutId
    merchant: MerchantId
    connector: str
    destination: str
    amount_minor: int
    currency: str
    created_at: datetime
    state: PayoutState = PAYOUT.initial
    reserved: bool = False
    posted: bool = False
    late: bool = False
    reference: str | None = None
    description: str | None = None
    failure_code: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    work: Work = DONE

    def moved(self, verb: PayoutVerb, **changes: Any) -> "Payout":
        """Give the payout after ``verb``. Raises `IllegalMove`."""
        late = self.state is PayoutState.PAID
        return replace(self, state=PAYOUT.move(self.state, verb), late=late, **changes)
