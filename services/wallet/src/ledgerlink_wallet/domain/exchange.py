"""What an exchange costs. Every rounding is said here, and what it leaves over is ours."""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Final

from ledgerlink_kit.money import convert, exponent

RATE_DIGITS: Final = 12
"""Significant digits of a rate that is offered."""

_EXACT: Final = 60
_BASIS_POINTS: Final = 10_000


def offered_rate(mid: Decimal, spread_bp: int, *, inverse: bool) -> Decimal:
    """Give how many whole units are bought with one, from the middle rate (of the other way round, if ``inverse``).

    The spread is taken from what is bought; the rate is rounded once, half to even, to 12 significant digits.
    """
    with localcontext() as context:
        context.prec = _EXACT
        rate = (1 / mid if inverse else mid) * (_BASIS_POINTS - spread_bp) / _BASIS_POINTS
    return Context(prec=RATE_DIGITS, rounding=ROUND_HALF_EVEN).plus(rate)


def bought(sell_minor: int, sell: str, buy: str, rate: Decimal) -> int:
    """Give what ``sell_minor`` buys, rounded down. Raises `InvalidAmount` above the largest amount."""
    return convert(sell_minor, sell, buy, rate, ROUND_FLOOR)


def sold(buy_minor: int, sell: str, buy: str, rate: Decimal) -> int:
    """Give the least that must be sold for ``buy_minor``, rounded up; it may be above the largest amount."""
    with localcontext() as context:
        context.prec = _EXACT
        exact = Decimal(buy_minor) / rate * Decimal(10) ** (exponent(sell) - exponent(buy))
        return int(exact.to_integral_value(ROUND_CEILING))
