"""Which accounts each payment event moves: the table of the books, as pure functions.

D is debit, C is credit; every line balances in its own currency. ``payee`` is a merchant's account
``merchant:<acct>:available`` or a wallet; ``payer`` is a wallet, or ``clearing:<connector>`` when a provider collects.

| event | lines |
|---|---|
| captured G, fee f | D payer C payee G · D payee C revenue:fees f |
| the same, paid as E in another currency | D payer C fx:position E · D fx:position C payee G · the fee as above |
| refund to a wallet | D payee C wallet, through fx:position when it paid in another currency |
| refund by a provider: created | D payee C refunds_in_flight |
| succeeded / failed | D refunds_in_flight C clearing / D refunds_in_flight C payee |
| failed after it had succeeded | D clearing C payee |
| payout: created | D merchant C payouts_in_transit |
| paid / failed | D payouts_in_transit C bank / D payouts_in_transit C merchant |
| returned after it was paid | D bank C merchant |

The first line of a capture is always what is taken from the payer, so that a hold can be captured with the rest
behind it.
"""

from dataclasses import dataclass
from typing import Final

FX: Final = "fx:position"
FEES: Final = "revenue:fees"
REFUNDS: Final = "refunds_in_flight"
PAYOUTS: Final = "payouts_in_transit"
BANK: Final = "bank"

WALLET_PREFIX: Final = "wal_"
MERCHANT_PREFIX: Final = "acct_"
_BPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Line:
    """One amount, in minor units of ``currency``, from the account ``debit`` to the account ``credit``."""

    debit: str
    credit: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Exchange:
    """The payer's side of a payment in another currency: they give ``amount_minor`` of ``currency``."""

    currency: str
    amount_minor: int


def payee(destination: str) -> str:
    """Give the account that a destination (`acct_…` or `wal_…`) is paid into."""
    return f"merchant:{destination}:available" if destination.startswith(MERCHANT_PREFIX) else destination


def clearing(connector: str) -> str:
    """Give the account of what a provider owes us."""
    return f"clearing:{connector}"


def fee(amount_minor: int, fee_bps: int, destination: str) -> int:
    """Give our fee in minor units, rounded down; only merchants pay one."""
    return amount_minor * fee_bps // _BPS if destination.startswith(MERCHANT_PREFIX) else 0


def share(part_minor: int, whole_minor: int, exchanged_minor: int) -> int:
    """Give the payer's side of ``part`` of a payment, rounded half to even; the whole gives exactly the whole."""
    quotient, rest = divmod(part_minor * exchanged_minor, whole_minor)
    return quotient + (2 * rest > whole_minor or (2 * rest == whole_minor and quotient % 2 == 1))


def captured(
    payer: str, destination: str, amount_minor: int, currency: str, fee_minor: int, exchange: Exchange | None
) -> tuple[Line, ...]:
    """Lines of a capture; the first is what is taken from the payer."""
    to = payee(destination)
    taken: tuple[Line, ...]
    if exchange is None:
        taken = (Line(payer, to, amount_minor, currency),)
    else:
        taken = (
            Line(payer, FX, exchange.amount_minor, exchange.currency),
            Line(FX, to, amount_minor, currency),
        )
    return (*taken, Line(to, FEES, fee_minor, currency)) if fee_minor else taken


def refunded_to_wallet(
    wallet: str, destination: str, amount_minor: int, currency: str, exchange: Exchange | None
) -> tuple[Line, ...]:
    """Lines of a refund to the wallet that paid; ``exchange`` is what it gets when it paid in another currency."""
    if exchange is None:
        return (Line(payee(destination), wallet, amount_minor, currency),)
    given = Line(payee(destination), FX, amount_minor, currency)
    # A part so small that it is worth less than half a minor unit to the payer stays in our position.
    back = (Line(FX, wallet, exchange.amount_minor, exchange.currency),) if exchange.amount_minor else ()
    return (given, *back)


def refund_created(destination: str, amount_minor: int, currency: str) -> tuple[Line, ...]:
    """Set a refund by the provider aside."""
    return (Line(payee(destination), REFUNDS, amount_minor, currency),)


def refund_succeeded(connector: str, amount_minor: int, currency: str) -> tuple[Line, ...]:
    """The provider has given it back: it owes us that much less."""
    return (Line(REFUNDS, clearing(connector), amount_minor, currency),)


def refund_failed(destination: str, amount_minor: int, currency: str) -> tuple[Line, ...]:
    """The provider did not give it back: the payee has it again."""
    return (Line(REFUNDS, payee(destination), amount_minor, currency),)


def refund_failed_late(connector: str, destination: str, amount_minor: int, currency: str) -> tuple[Line, ...]:
    """The payer's bank sent it back after all: the provider owes it again, and the payee has it again."""
    return (Line(clearing(connector), payee(destination), amount_minor, currency),)


def payout_created(merchant: str, amount_minor: int, currency: str) -> tuple[Line, ...]:
    """Set a payout aside."""
    return (Line(payee(merchant), PAYOUTS, amount_minor, currency),)


def payout_paid(amount_minor: int, currency: str) -> tuple[Line, ...]:
    """The money has left our bank."""
    return (Line(PAYOUTS, BANK, amount_minor, currency),)


def payout_failed(merchant: str, amount_minor: int, currency: str) -> tuple[Line, ...]:
    """It did not leave: the merchant has it again."""
    return (Line(PAYOUTS, payee(merchant), amount_minor, currency),)


def payout_returned(merchant: str, amount_minor: int, currency: str) -> tuple[Line, ...]:
    """It left and came back: the merchant has it again."""
    return (Line(BANK, payee(merchant), amount_minor, currency),)
