"""What callers send and get. Amounts are minor units, ``currency`` is ISO 4217, moments are RFC 3339 in UTC."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import Path
from pydantic import Field, WithJsonSchema

from ledgerlink_kit.money import AmountMinor, CurrencyCode, NonNegativeMinor
from ledgerlink_kit.wire import Metadata, RequestModel, ResponseModel, Text
from ledgerlink_sandbox.domain.cards import TEST_TOKENS
from ledgerlink_sandbox.domain.faults import DELAY_S_MAX, FAULTS_PLANNED_MAX, FaultKind, Operation

_KEY_PATTERN = r"^[A-Za-z0-9_.:-]{1,255}$"

Key = Annotated[str, Field(pattern=_KEY_PATTERN, description="Made by the caller; names the thing for ever")]
CardToken = Annotated[Text, WithJsonSchema({"type": "string", "enum": list(TEST_TOKENS)})]
"""A published test token; another one is refused by the domain, which says so better than a schema."""
KeyInPath = Annotated[str, Path(pattern=_KEY_PATTERN, description="The key that the caller made")]


class AuthorizationBody(RequestModel):
    """Ask for a promise of money on a card; with ``capture`` it is collected at once."""

    key: Key
    amount: AmountMinor
    currency: CurrencyCode
    payment_method: CardToken
    capture: bool = Field(default=False, strict=True)
    metadata: Metadata = Field(default_factory=dict)


class CaptureBody(RequestModel):
    """Collect part or all of what is left; a ``final`` capture releases the rest."""

    key: Key
    amount: AmountMinor
    final: bool = Field(default=False, strict=True)


class RefundBody(RequestModel):
    """Give captured money back."""

    key: Key
    authorization: Key
    amount: AmountMinor
    metadata: Metadata = Field(default_factory=dict)


class PayoutBody(RequestModel):
    """Send money to a bank account: `ba_accountClosed` and `ba_noAccount` fail, every other token is paid."""

    key: Key
    amount: AmountMinor
    currency: CurrencyCode
    destination: Text
    metadata: Metadata = Field(default_factory=dict)


class FaultBody(RequestModel):
    """Let the next ``times`` requests of ``operation`` go wrong."""

    operation: Operation
    kind: FaultKind
    times: int = Field(default=1, strict=True, ge=1, le=FAULTS_PLANNED_MAX)
    delay_s: float | None = Field(default=None, ge=0, le=DELAY_S_MAX, description="For `slow` and `hang_after_commit`")


class Decline(ResponseModel):
    """Why the issuer said no; a ``soft`` decline may succeed another time."""

    code: str
    soft: bool


class AuthorizationModel(ResponseModel):
    """An authorization. What is neither captured nor released is still capturable."""

    object: Literal["authorization"]
    key: str
    status: Literal["authorized", "partially_captured", "captured", "voided", "declined"]
    amount: AmountMinor
    currency: str
    payment_method: str
    capture: bool
    amount_captured: NonNegativeMinor
    amount_released: NonNegativeMinor
    amount_refunded: NonNegativeMinor
    decline: Decline | None
    metadata: dict[str, str]
    version: int
    created_at: datetime
    expires_at: datetime


class CaptureModel(ResponseModel):
    """A capture."""

    object: Literal["capture"]
    key: str
    authorization: str
    amount: AmountMinor
    currency: str
    final: bool
    status: Literal["succeeded"]
    version: int
    created_at: datetime


class RefundModel(ResponseModel):
    """A refund; one that succeeded may still fail later."""

    object: Literal["refund"]
    key: str
    authorization: str
    amount: AmountMinor
    currency: str
    status: Literal["pending", "succeeded", "failed"]
    failure: str | None
    metadata: dict[str, str]
    version: int
    created_at: datetime


class PayoutModel(ResponseModel):
    """A payout; pending for about a second."""

    object: Literal["payout"]
    key: str
    amount: AmountMinor
    currency: str
    destination: str
    status: Literal["pending", "paid", "failed"]
    failure: str | None
    metadata: dict[str, str]
    version: int
    created_at: datetime


class PlannedFault(ResponseModel):
    """A fault that waits for its request."""

    operation: Operation
    kind: FaultKind
    delay_s: float | None


class PlannedFaults(ResponseModel):
    """All faults that wait, per operation in the order in which they will be performed."""

    faults: list[PlannedFault]
