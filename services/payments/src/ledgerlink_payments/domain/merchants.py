"""The merchant: Stripe's connected account, as far as payments needs to know it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ledgerlink_contracts.ids import MerchantId


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who is paid. ``external_account`` is the provider's token of the bank account (`ba_…`) that payouts go to."""

    id: MerchantId
    owner: str
    country: str
    default_currency: str
    external_account: str
    created_at: datetime
    name: str | None = None
    email: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
