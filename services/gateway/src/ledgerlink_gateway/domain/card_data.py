"""Finds card numbers and security codes in request bodies, so that they are refused before anything stores them.

A card number (PAN) is a run of 13 to 19 digits, plain or grouped by single spaces or hyphens as printed on cards, that
begins with an issuer's range, has that range's length and passes the Luhn check (ISO/IEC 7812-1). Ranges and lengths
keep order numbers and timestamps apart, one in ten of which passes Luhn. A security code is told by its field's name.
Test numbers that providers publish are card numbers as well: whoever sends one here would send a real one next.
"""

import re
from typing import Final
from unicodedata import normalize
from urllib.parse import unquote_plus

CARD_NUMBER: Final = "card-number"
SECURITY_CODE: Final = "security-code"

_MANY_DIGITS: Final = re.compile(rb"[0-9](?:[ -]?[0-9]){12}")
_LONG_RUN: Final = re.compile(r"[0-9 -]{13}")
_ESCAPED: Final = re.compile(rb"[\\%+\x80-\xff]")

# Bounded by anything that is not part of a longer word or number, so that hexadecimal ids and decimals do not match.
_CANDIDATE: Final = re.compile(
    r"(?<![0-9A-Za-z_.])(?:"
    r"[0-9]{13,19}"
    r"|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}(?:\1[0-9]{3})?"
    r"|[0-9]{4}([ -])[0-9]{6}\2[0-9]{4,5}"
    r")(?![0-9A-Za-z_]|\.[0-9])"
)
_SECURITY_CODE: Final = re.compile(
    r"(?:^|[\"'&?\[\]{},\s.])(?:card[_-]?)?(?:cv[cv]2?|csc|security[_-]?code|card[_-]?verification(?:[_-](?:code|value))?)"
    r"(?:\"\s*:|'\s*:|\]*=)"
)
_CODE_PARTS: Final = ("cvv", "cvc", "csc", "security", "verification")
"""One of these stands in whatever `_SECURITY_CODE` finds; looking for them first is fifty times faster."""

# First digits from, first digits to (both of one width), lengths.
_RANGES: Final[tuple[tuple[str, str, frozenset[int]], ...]] = (
    ("4", "4", frozenset({13, 16, 19})),  # Visa
    ("51", "55", frozenset({16})),  # Mastercard
    ("2221", "2720", frozenset({16})),  # Mastercard
    ("34", "34", frozenset({15})),  # American Express
    ("37", "37", frozenset({15})),  # American Express
    ("300", "305", frozenset({14, 16})),  # Diners Club
    ("36", "36", frozenset({14, 16})),  # Diners Club
    ("38", "39", frozenset({14, 16})),  # Diners Club
    ("3528", "3589", frozenset({16, 17, 18, 19})),  # JCB
    ("6011", "6011", frozenset({16, 19})),  # Discover
    ("644", "649", frozenset({16, 19})),  # Discover
    ("65", "65", frozenset({16, 19})),  # Discover
    ("62", "62", frozenset({16, 17, 18, 19})),  # UnionPay
    ("50", "50", frozenset({13, 14, 15, 16, 17, 18, 19})),  # Maestro
    ("56", "58", frozenset({13, 14, 15, 16, 17, 18, 19})),  # Maestro
    ("6304", "6304", frozenset({16, 18, 19})),  # Maestro
    ("67", "67", frozenset({16, 18, 19})),  # Maestro
)

_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def passes_luhn(digits: str) -> bool:
    """Tell whether decimal digits pass the Luhn check (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        total += _DOUBLED[value] if place % 2 else value
    return total % 10 == 0


def is_card_number(digits: str) -> bool:
    """Tell whether digits are a card number: an issuer's range, its length, and Luhn."""
    return passes_luhn(digits) and any(
        first <= digits[: len(first)] <= last and len(digits) in lengths for first, last, lengths in _RANGES
    )


def find_card_data(body: bytes) -> str | None:
    r"""Look for card data in a JSON or form body or a query string.

    Gives `CARD_NUMBER`, `SECURITY_CODE` or None. The bytes are looked at as they stand and, where they hold escapes
    (``\u0034``, ``%34``) or non-ASCII digits, once more unescaped, so that spelling does not hide a number and a
    repeated JSON key does not either.
    """
    found = _find(body.decode("latin-1"), has_many_digits=_MANY_DIGITS.search(body) is not None)
    if found is None and _ESCAPED.search(body) is not None:
        plain = _unescaped(body)
        return _find(plain, has_many_digits=True)
    return found


def masked(text: str) -> str:
    """Give text with every card number in it replaced, for a log line."""
    return text if _LONG_RUN.search(text) is None else _CANDIDATE.sub(_mask, text)


def _mask(match: re.Match[str]) -> str:
    found = match.group()
    return "[card]" if is_card_number(_digits(found)) else found


def _find(text: str, *, has_many_digits: bool) -> str | None:
    if has_many_digits and any(is_card_number(_digits(match.group())) for match in _CANDIDATE.finditer(text)):
        return CARD_NUMBER
    lower = text.lower()
    if any(part in lower for part in _CODE_PARTS) and _SECURITY_CODE.search(lower) is not None:
        return SECURITY_CODE
    return None


def _digits(text: str) -> str:
    return text.replace(" ", "").replace("-", "")


def _unescaped(body: bytes) -> str:
    text = unquote_plus(body.decode("utf-8", "replace"), errors="replace")
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda match: chr(int(match.group(1), 16)), text)
    return normalize("NFKC", re.sub(r"\\[nrtbf/]", " ", text))
