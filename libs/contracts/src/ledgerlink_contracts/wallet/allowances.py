"""Limits on the wire: how much an owner may spend from a wallet by transfer, by day and by month, in each currency."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AwareDatetime, Field, model_validator

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.permissions import Role
from ledgerlink_kit.money import CurrencyCode, NonNegativeMinor
from ledgerlink_kit.wire import RequestModel, ResponseModel

LIMIT_ROWS_MAX: Final = 1_000
"""Most limits in one order."""


class LimitOrder(RequestModel):
    """How much may be spent in one currency; what is absent is not limited. Zero lets nothing out."""

    currency: CurrencyCode
    transfer_minor: NonNegativeMinor | None = None
    day_minor: NonNegativeMinor | None = None
    month_minor: NonNegativeMinor | None = None


class RoleLimitOrder(LimitOrder):
    """A limit of all wallets of a role; without ``role`` of everybody's that no nearer limit holds for."""

    role: Role | None = None


def _once_each(keys: Sequence[object]) -> None:
    if len(set(keys)) < len(keys):
        raise ValueError("Give each currency once (for each role).")


class RoleLimitsOrder(RequestModel):
    """All limits that are not a wallet's own; they take the place of those there were."""

    items: Annotated[list[RoleLimitOrder], Field(max_length=LIMIT_ROWS_MAX)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        _once_each([(item.role, item.currency) for item in self.items])
        return self


class WalletLimitsOrder(RequestModel):
    """A wallet's role and its own limits; they take the place of those it had."""

    role: Role = Role.CUSTOMER
    items: Annotated[list[LimitOrder], Field(max_length=LIMIT_ROWS_MAX)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        _once_each([item.currency for item in self.items])
        return self


class RoleLimitView(ResponseModel):
    """A limit of a role's wallets, or (null) of everybody's."""

    role: Role | None
    currency: str
    transfer_minor: int | None
    day_minor: int | None
    month_minor: int | None


class RoleLimitsView(ResponseModel):
    """All limits that are not a wallet's own."""

    items: list[RoleLimitView]


class LimitSource(StrEnum):
    """Where a limit comes from; the nearest holds, whole."""

    WALLET = "wallet"
    ROLE = "role"
    EVERYBODY = "everybody"


class LimitView(ResponseModel):
    """One limit: ``remaining_minor`` of it is left until ``resets_at``; null for a transfer, each of which is alone."""

    period: str
    limit_minor: int
    used_minor: int
    remaining_minor: int
    resets_at: AwareDatetime | None


class CurrencyLimitsView(ResponseModel):
    """The limits that hold for a wallet in one currency."""

    currency: str
    source: LimitSource
    limits: list[LimitView]


class WalletLimitsView(ResponseModel):
    """The limits that hold for a wallet, by currency; a currency that is not listed is not limited."""

    wallet: WalletId
    role: Role
    items: list[CurrencyLimitsView]
