"""Who asks: what payments needs to know of a caller."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """A caller, as far as it decides what may be seen and moved.

    ``sees_all`` (permission `ledger:read`) sees every merchant's and payer's things; ``any_wallet`` (`ledger:write`)
    may post any transfer, so it may also pay from any wallet and in another's name; ``may_exchange`` sets rates.
    """

    subject: str
    sees_all: bool = False
    any_wallet: bool = False
    may_exchange: bool = False
