"""Amounts of money as integers of minor units, with the ISO 4217 currencies and their exponents.

No float touches money: an amount is an ``int`` of minor units (pence, yen, fils), a rate is a ``Decimal`` with a stated
rounding. Every amount is bounded at 2^53-1, the largest integer that every JSON reader keeps
exact (RFC 8259, section 6).
"""

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from types import MappingProxyType
from typing import Annotated, Final

from pydantic import AfterValidator, Field, WithJsonSchema

from ledgerlink_kit.errors import Kind, Refused

MAX_MINOR: Final = 2**53 - 1
"""The largest amount, in minor units, that schema, domain and CHECK constraints accept."""

# ISO 4217:2015, table A.1 (active codes), grouped by their number of decimals.
_EXPONENTS: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF "
        "CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK "
        "HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR "
        "MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK "
        "SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XCD "
        "XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
CURRENCIES: Final[Mapping[str, int]] = MappingProxyType(
    {code: exponent for exponent, codes in _EXPONENTS.items() for code in codes.split()}
)
"""ISO 4217 alphabetic code to exponent (number of decimals). HRK, withdrawn in 2023, is kept for historic books."""

_AMOUNT: Final = re.compile(r"(-?)(\d{1,16})(?:\.(\d{1,4}))?")


class UnknownCurrency(Refused):
    """The text is no ISO 4217 code that this system knows."""

    def __init__(self, code: str) -> None:
        super().__init__(
            Kind.UNPROCESSABLE, "unknown-currency", f"{code[:16]!r} is not an ISO 4217 currency code such as 'GBP'."
        )


class InvalidAmount(Refused):
    """The text or number is no exact, bounded amount of its currency."""

    def __init__(self, detail: str) -> None:
        super().__init__(Kind.UNPROCESSABLE, "invalid-amount", detail)


def parse_currency(text: str) -> str:
    """Give the upper-case ISO 4217 code of ``text``; any case is accepted. Raises `UnknownCurrency`."""
    code = text.upper()
    if code not in CURRENCIES or not text.isascii():
        raise UnknownCurrency(text)
    return code


def exponent(currency: str) -> int:
    """Give the number of decimals of ``currency`` (JPY 0, GBP 2, KWD 3). Raises `UnknownCurrency`."""
    return CURRENCIES[parse_currency(currency)]


def parse_amount(text: str, currency: str) -> int:
    """Read a plain decimal such as ``-12.34`` exactly, as signed minor units of ``currency``.

    No exponent form, no grouping, no sign but a leading minus. More decimals than the currency has are accepted only
    when they are zeros. Raises `InvalidAmount` or `UnknownCurrency`.
    """
    digits = exponent(currency)
    match = _AMOUNT.fullmatch(text)
    if match is None or not text.isascii():
        raise InvalidAmount(f"{text[:32]!r} is not a plain decimal amount such as '12.34'.")
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if fraction[digits:].strip("0"):
        raise InvalidAmount(f"{currency} has {digits} decimals; {text!r} has more.")
    minor = int(whole + fraction[:digits].ljust(digits, "0"))
    if minor > MAX_MINOR:
        raise InvalidAmount(f"{text!r} {currency} is above the largest amount of {MAX_MINOR} minor units.")
    return -minor if sign else minor


def format_minor(amount_minor: int, currency: str) -> str:
    """Write signed minor units as a plain decimal: ``format_minor(1234, "GBP") == "12.34"``."""
    digits = exponent(currency)
    sign = "-" if amount_minor < 0 else ""
    text = str(abs(amount_minor)).rjust(digits + 1, "0")
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else f"{sign}{text}"


def convert(amount_minor: int, source: str, target: str, rate: Decimal, rounding: str = ROUND_HALF_EVEN) -> int:
    """Convert minor units of ``source`` to minor units of ``target``.

    ``rate`` is how many whole units of ``target`` one whole unit of ``source`` buys, and must be positive. The result
    is rounded once, by ``rounding`` (banker's rounding unless told). Raises `InvalidAmount` when it leaves the bound.
    """
    if not rate.is_finite() or rate <= 0:
        raise InvalidAmount("A rate must be a positive, finite decimal.")
    with localcontext() as context:
        context.prec = 60
        shift = exponent(target) - exponent(source)
        exact = Decimal(amount_minor) * rate * Decimal(10) ** shift
        result = int(exact.quantize(Decimal(1), rounding=rounding))
    if abs(result) > MAX_MINOR:
        raise InvalidAmount(f"The converted amount is above the largest amount of {MAX_MINOR} minor units.")
    return result


def _known_currency(text: str) -> str:
    try:
        return parse_currency(text)
    except UnknownCurrency as error:
        raise ValueError(error.detail) from None


AmountMinor = Annotated[int, Field(strict=True, ge=1, le=MAX_MINOR, description="Minor units of the currency")]
"""Pydantic type of a positive amount: a JSON integer from 1 to 2^53-1 (``1.0`` and ``"1"`` are refused)."""

NonNegativeMinor = Annotated[int, Field(strict=True, ge=0, le=MAX_MINOR, description="Minor units of the currency")]
"""Pydantic type of an amount that may be zero."""

CurrencyCode = Annotated[
    str,
    Field(min_length=3, max_length=3),
    AfterValidator(_known_currency),
    WithJsonSchema({"type": "string", "enum": sorted(CURRENCIES), "description": "ISO 4217 alphabetic code"}),
]
"""Pydantic type of a currency: any case in, upper case out."""
