"""Proves what is taken for an email address and when two spellings are one person."""

import pytest

from ledgerlink_identity.domain.emails import key_for_lookup, parse_email
from ledgerlink_identity.domain.limits import EMAIL_CHARS_MAX
from ledgerlink_kit.errors import Kind, Refused


def test_an_address_is_kept_as_written_and_keyed_without_case() -> None:
    email = parse_email("Ada.Lovelace@Example.COM")
    assert (email.address, email.key) == ("Ada.Lovelace@example.com", "ada.lovelace@example.com")


def test_an_address_under_test_is_allowed_for_demonstrations() -> None:
    assert parse_email("cardholder-17@county.test").key == "cardholder-17@county.test"


@pytest.mark.parametrize(
    "text",
    ["", "ada", "ada@", "@example.com", "a b@example.com", "ada@localhost", "ada@example..com", "a" * 250 + "@b.com"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refusal:
        parse_email(text)
    assert (refusal.value.kind, refusal.value.code) == (Kind.UNPROCESSABLE, "invalid-email")


def test_the_longest_deliverable_address_is_the_limit() -> None:
    too_long = "a@" + ".".join(["b" * 62] * 4) + ".example.com"
    assert len(too_long) > EMAIL_CHARS_MAX
    with pytest.raises(Refused):
        parse_email(too_long)


@pytest.mark.parametrize(
    ("text", "key"), [(" Ada@Example.com ", "ada@example.com"), ("Not An Address", "not an address"), ("", "")]
)
def test_anything_can_be_looked_up_and_what_is_no_address_finds_nobody(text: str, key: str) -> None:
    assert key_for_lookup(text) == key
