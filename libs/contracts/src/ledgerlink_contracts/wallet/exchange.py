"""Exchange on the wire: rates that we are given, quotes that we give, between two currencies of one wallet.

A rate is a decimal written as text: how many whole units of the second currency one whole unit of the first buys.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from ledgerlink_contracts.ids import QuoteId, TransferId, WalletId
from ledgerlink_contracts.wallet.models import Moment
from ledgerlink_kit.money import AmountMinor, CurrencyCode
from ledgerlink_kit.wire import RequestModel, ResponseModel, Text

RATES_MAX: Final = 1_000
"""Most rates that are kept."""

SPREAD_BP_MAX: Final = 5_000
"""The largest spread, in basis points (hundredths of a percent)."""

QUOTE_LIFE_S: Final = 30
"""Seconds that a quote holds, unless its rate ends sooner."""


def _above_zero(text: str) -> str:
    if not Decimal(text):
        raise ValueError("A rate is above zero.")
    return text


Rate = Annotated[
    str,
    Field(pattern=r"^(0|[1-9][0-9]{0,9})(\.[0-9]{1,12})?$", description="A plain decimal", examples=["1.1642"]),
    AfterValidator(_above_zero),
]


class RateOrder(RequestModel):
    """One ``base`` buys ``mid`` ``quote`` in the middle of the market; we keep ``spread_bp`` basis points of it."""

    base: CurrencyCode
    quote: CurrencyCode
    mid: Rate
    spread_bp: Annotated[int, Field(strict=True, ge=0, le=SPREAD_BP_MAX)]
    source: Text
    valid_until: Moment

    @model_validator(mode="after")
    def _two_currencies(self) -> Self:
        if self.base == self.quote:
            raise ValueError("A rate is between two currencies.")
        return self


class RatesOrder(RequestModel):
    """All rates; they take the place of those there were. A pair serves both ways, unless the other is given too."""

    items: Annotated[list[RateOrder], Field(max_length=RATES_MAX)]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({(item.base, item.quote) for item in self.items}) < len(self.items):
            raise ValueError("Give each pair once.")
        return self


class RateView(ResponseModel):
    """A rate as it was given."""

    base: str
    quote: str
    mid: str
    spread_bp: int
    source: str
    valid_until: AwareDatetime
    recorded_at: AwareDatetime


class RatesView(ResponseModel):
    """All rates, by base and quote."""

    items: list[RateView]


class QuoteOrder(RequestModel):
    """Ask what it costs to exchange money within a wallet: exactly one of ``sell_minor`` and ``buy_minor``."""

    wallet: WalletId
    sell_currency: CurrencyCode
    buy_currency: CurrencyCode
    sell_minor: AmountMinor | None = None
    buy_minor: AmountMinor | None = None

    @model_validator(mode="after")
    def _says_one_amount(self) -> Self:
        if (self.sell_minor is None) == (self.buy_minor is None):
            raise ValueError("Give exactly one of sell_minor, buy_minor.")
        if self.sell_currency == self.buy_currency:
            raise ValueError("An exchange is between two currencies.")
        return self


class QuoteState(StrEnum):
    """Where a quote stands; all but open are final."""

    OPEN = "open"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    EXPIRED = "expired"


class QuoteView(ResponseModel):
    """What we offer until ``expires_at``: ``sell_minor`` of one currency for ``buy_minor`` of the other.

    ``rate`` is after the spread. There is no fee beside it.
    """

    id: QuoteId
    wallet: WalletId
    state: QuoteState
    sell_currency: str
    sell_minor: int
    buy_currency: str
    buy_minor: int
    rate: str
    mid: str
    spread_bp: int
    source: str
    expires_at: AwareDatetime
    recorded_at: AwareDatetime
    transfer: TransferId | None
