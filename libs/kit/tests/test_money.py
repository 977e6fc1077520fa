"""Proves that amounts are exact integers within the bound, in currencies with no, two and three decimals."""

from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ledgerlink_kit.money import (
    CURRENCIES,
    MAX_MINOR,
    AmountMinor,
    CurrencyCode,
    InvalidAmount,
    UnknownCurrency,
    convert,
    exponent,
    format_minor,
    parse_amount,
    parse_currency,
)


@pytest.mark.parametrize(("code", "digits"), [("JPY", 0), ("GBP", 2), ("kwd", 3), ("CLF", 4)])
def test_a_currency_has_the_decimals_of_iso_4217(code: str, digits: int) -> None:
    assert exponent(code) == digits


@pytest.mark.parametrize("text", ["", "GB", "GBPX", "ÄBC", "XXX", "123"])
def test_a_text_that_is_no_currency_is_refused(text: str) -> None:
    with pytest.raises(UnknownCurrency):
        parse_currency(text)


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.34", "GBP", 1234),
        ("-0.01", "USD", -1),
        ("5", "JPY", 5),
        ("5.00", "JPY", 5),
        ("1.234", "KWD", 1234),
        ("1.2", "KWD", 1200),
        ("90071992547409.91", "GBP", MAX_MINOR),
    ],
)
def test_a_plain_decimal_is_read_exactly(text: str, currency: str, minor: int) -> None:
    assert parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("1e3", "GBP"),
        ("1,000.00", "GBP"),
        ("+1", "GBP"),
        ("1.", "GBP"),
        (".5", "GBP"),
        ("NaN", "GBP"),
        ("1.001", "GBP"),
        ("1.5", "JPY"),
        ("\u0661", "GBP"),
        ("90071992547409.92", "GBP"),
    ],
)
def test_anything_but_a_plain_exact_bounded_decimal_is_refused(text: str, currency: str) -> None:
    with pytest.raises(InvalidAmount):
        parse_amount(text, currency)


@given(st.integers(-MAX_MINOR, MAX_MINOR), st.sampled_from(sorted(CURRENCIES)))
def test_writing_and_reading_an_amount_gives_it_back(amount: int, currency: str) -> None:
    assert parse_amount(format_minor(amount, currency), currency) == amount


def test_conversion_minds_the_exponents_and_rounds_once_to_even() -> None:
    assert convert(100, "GBP", "JPY", Decimal("187.5")) == 188
    assert convert(1, "JPY", "KWD", Decimal("0.0025")) == 2
    assert convert(1, "JPY", "KWD", Decimal("0.0025"), ROUND_DOWN) == 2
    assert convert(-250, "GBP", "USD", Decimal("1.001")) == -250


@pytest.mark.parametrize("rate", ["0", "-1", "NaN", "Infinity"])
def test_a_rate_that_is_no_positive_number_is_refused(rate: str) -> None:
    with pytest.raises(InvalidAmount):
        convert(1, "GBP", "USD", Decimal(rate))


def test_a_conversion_past_the_bound_is_refused() -> None:
    with pytest.raises(InvalidAmount):
        convert(MAX_MINOR, "GBP", "JPY", Decimal(1000))


@pytest.mark.parametrize("value", [0, -1, MAX_MINOR + 1, 1.0, 1.5, "1", True, None])
def test_the_wire_type_takes_no_guess_at_an_amount(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AmountMinor).validate_python(value)


def test_the_wire_type_takes_currencies_in_any_case() -> None:
    adapter = TypeAdapter(CurrencyCode)
    assert adapter.validate_json(b'"gbp"') == "GBP"
    with pytest.raises(ValidationError):
        adapter.validate_json(b'"zzz"')
