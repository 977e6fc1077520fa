"""Parameters that several routes share, and how lists are asked for."""

from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import Query
from pydantic import AfterValidator, Field

from ledgerlink_contracts.ids import MerchantId, WalletId
from ledgerlink_kit.ids import InvalidId
from ledgerlink_kit.pagination import PAGE_DEFAULT
from ledgerlink_kit.problem import responses
from ledgerlink_kit.wire import RequestModel
from ledgerlink_payments.api.dialect import Amount, Currency
from ledgerlink_payments.domain.postings import MERCHANT_PREFIX, WALLET_PREFIX, Exchange

_ID: Final = r"[0-7][0-9a-hjkmnp-tv-z]{25}"
_IDS: Final = {WALLET_PREFIX: WalletId, MERCHANT_PREFIX: MerchantId}

READ: Final = responses(400, 401, 403, 404, 503)
"""Problems of a route that reads."""
WRITE: Final = responses(400, 401, 402, 403, 404, 409, 413, 415, 422, 423, 503)
"""Problems of a route that writes."""


def _party(text: str) -> str:
    """Give a party's id as it was, when it is one."""
    for prefix, kind in _IDS.items():
        if text.startswith(prefix):
            try:
                return str(kind.parse(text))
            except InvalidId as error:
                raise ValueError(error.detail) from None
    return text


Party = Annotated[str, Field(pattern=f"^(acct|wal)_{_ID}$"), AfterValidator(_party)]
"""Who receives: a merchant (`acct_…`) or a wallet (`wal_…`)."""

PaymentMethod = Annotated[
    str,
    Field(pattern=f"^(wal_{_ID}|pm_[A-Za-z0-9_]{{1,64}})$", examples=["pm_card_visa"]),
    AfterValidator(_party),
]
"""What is paid with: the provider's token (`pm_…`) or a wallet (`wal_…`)."""

Description = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]


class ExchangeParams(RequestModel):
    """The payer's side in another currency. Needs `payments:exchange`."""

    currency: Currency
    amount: Amount

    def read(self) -> Exchange:
        """Give it in the domain's words."""
        return Exchange(self.currency, self.amount)


Limit = Annotated[int, Query(ge=1, le=100, description="Items per page")]
Cursor = Annotated[str | None, Query(max_length=64, description="The id of an item of this list")]
LIMIT_DEFAULT: Final = min(10, PAGE_DEFAULT)

Show = Callable[[Any], dict[str, Any]]
