"""Proves that card numbers and security codes are found however they are spelled, and that other numbers are not."""

from urllib.parse import quote, urlencode

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_gateway.domain.card_data import (
    CARD_NUMBER,
    SECURITY_CODE,
    find_card_data,
    is_card_number,
    masked,
    passes_luhn,
)

# Numbers that the schemes and providers publish for tests.
PUBLISHED = [
    "4242424242424242",
    "4111111111111111",
    "4000000000000002",
    "4222222222222",
    "5555555555554444",
    "5105105105105100",
    "2223003122003222",
    "2720990000000007",
    "378282246310005",
    "371449635398431",
    "6011111111111117",
    "30569309025904",
    "38520000023237",
    "3566002020360505",
    "6200000000000005",
    "6759649826438453",
]
FULL_WIDTH = "".join(chr(0xFF10 + int(digit)) for digit in "4242424242424242")


@pytest.mark.parametrize("number", PUBLISHED)
def test_every_published_test_number_is_a_card_number(number: str) -> None:
    assert is_card_number(number)


@pytest.mark.parametrize(
    "body",
    [
        b'{"card": "4242424242424242"}',
        b'{"card": "4242 4242 4242 4242"}',
        b'{"card": "4242-4242-4242-4242"}',
        b'{"amex": "3782 822463 10005"}',
        b'{"card": 4242424242424242}',
        b'{"note": "my card is 4242424242424242, thanks"}',
        b'{"card": "4242424242424242", "card": "none"}',
        rb'{"card": "\u0034242424242424242"}',
        rb'{"card": "\n4242424242424242"}',
        b"number=4242424242424242&amount=5",
        b"number=4242+4242+4242+4242",
        b"number=4242%2042424242%204242".replace(b"42424242", b"4242%204242"),
        b"number=%34242424242424242",
        b"card%5Bnumber%5D=4242424242424242",
        '{"card": "NUMBER"}'.replace("NUMBER", FULL_WIDTH).encode(),
        '{"card": "4242\u00a04242\u00a04242\u00a04242"}'.encode(),
        b'[[["x", {"y": ["4242424242424242"]}]]]',
        b"4242424242424242",
        b'{"broken json 4242424242424242',
    ],
)
def test_a_card_number_is_found_however_it_is_spelled(body: bytes) -> None:
    assert find_card_data(body) == CARD_NUMBER


@pytest.mark.parametrize(
    "body",
    [
        b'{"cvc": "123"}',
        b'{"cvv": 123}',
        b'{"card": {"CVV2" : "123"}}',
        b'{"security_code": "1"}',
        b'{"securityCode": "1"}',
        b'{"card_verification_value": "1"}',
        rb'{"\u0063vc": "123"}',
        b"cvc=123",
        b"amount=5&cvv=123",
        b"payment_method_data[card][cvc]=123",
        b"payment_method_data%5Bcard%5D%5Bcvc%5D=123",
    ],
)
def test_a_security_code_is_told_by_its_field(body: bytes) -> None:
    assert find_card_data(body) == SECURITY_CODE


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"amount": 4242, "currency": "gbp"}',
        b'{"amount_minor": 9007199254740991}',
        b'{"id": "tr_01h455vb4pex5vsknk084sn02q"}',
        b'{"id": "4e4d4242-4242-4242-8242-424242424242"}',
        b'{"hash": "a4242424242424242"}',
        b'{"hash": "4242424242424242f"}',
        b'{"at": 1700000000000000}',
        b'{"price": 0.4242424242424242}',
        b'{"card": "4242424242424241"}',
        b'{"order": "1234567890123452"}',
        b'{"phone": "+44 20 7946 0958 1234"}',
        b'{"iban": "GB29NWBK60161331926819"}',
        b'{"cvc_check": "pass"}',
        b'{"description": "the cvc was asked"}',
        b"amount=100&currency=gbp&payment_method=pm_card_visa",
    ],
)
def test_what_only_looks_like_card_data_passes(body: bytes) -> None:
    assert find_card_data(body) is None


@given(number=st.sampled_from(PUBLISHED), before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_card_number_between_other_fields_is_always_found(number: str, before: str, after: str) -> None:
    assert find_card_data(orjson.dumps({"a": before, "card": number, "z": after})) is not None
    assert find_card_data(urlencode({"a": before, "card": number, "z": after}).encode()) is not None
    assert find_card_data(f"card={''.join(quote(c) if c.isdigit() else c for c in number)}".encode()) is not None


@given(st.from_regex(r"[0-9]{12,18}", fullmatch=True))
def test_exactly_one_check_digit_passes_luhn(digits: str) -> None:
    assert sum(passes_luhn(f"{digits}{check}") for check in range(10)) == 1


@given(st.binary(max_size=300))
def test_any_bytes_can_be_looked_at(body: bytes) -> None:
    assert find_card_data(body) in (None, CARD_NUMBER, SECURITY_CODE)


def test_a_megabyte_of_digits_is_looked_at_in_linear_time() -> None:
    assert find_card_data(b"4" * 1_000_000) is None
    assert find_card_data(b"4 4-" * 250_000) is None


def test_a_log_line_keeps_everything_but_the_number() -> None:
    assert masked("/v1/x/4242424242424242/y") == "/v1/x/[card]/y"
    assert masked("/v1/payment_intents/pi_1234567890123") == "/v1/payment_intents/pi_1234567890123"
