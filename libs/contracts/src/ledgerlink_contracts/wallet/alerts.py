"""Balance alerts on the wire: tell me when what is available falls below, or rises above, an amount."""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AwareDatetime, Field, model_validator

from ledgerlink_contracts.ids import WalletId
from ledgerlink_kit.money import MAX_MINOR, CurrencyCode
from ledgerlink_kit.wire import RequestModel, ResponseModel

ALERTS_MAX: Final = 20
"""Most currencies with alerts of one wallet."""

Threshold = Annotated[int, Field(strict=True, ge=0, le=MAX_MINOR, description="Minor units of the currency")]


class AlertOrder(RequestModel):
    """Tell when the available balance falls below ``below_minor``, or rises above ``above_minor``; one or both."""

    currency: CurrencyCode
    below_minor: Threshold | None = None
    above_minor: Threshold | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.below_minor is None and self.above_minor is None:
            raise ValueError("Give below_minor, above_minor or both.")
        return self


class AlertsOrder(RequestModel):
    """All alerts of a wallet; they take the place of those it had."""

    items: Annotated[list[AlertOrder], Field(min_length=1, max_length=ALERTS_MAX)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({item.currency for item in self.items}) < len(self.items):
            raise ValueError("Give each currency once.")
        return self


class AlertView(ResponseModel):
    """An alert; ``is_below`` and ``is_above`` say on which side the balance was when it was looked at last."""

    currency: str
    below_minor: int | None
    above_minor: int | None
    is_below: bool
    is_above: bool


class AlertsView(ResponseModel):
    """All alerts of a wallet, by currency."""

    wallet: WalletId
    items: list[AlertView]


class Crossing(StrEnum):
    """Which threshold was crossed. It is told once, and again only after the balance has come back."""

    BELOW = "below"
    ABOVE = "above"


class CrossingView(ResponseModel):
    """A threshold was crossed by the entry that gave the account ``version``."""

    wallet: WalletId
    currency: str
    crossing: Crossing
    threshold_minor: int
    available_minor: int
    version: int
    recorded_at: AwareDatetime
