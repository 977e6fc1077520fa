"""Proves the floor for passwords: each refusal in its order, and what passes."""

import pytest

from ledgerlink_identity.domain.emails import parse_email
from ledgerlink_identity.domain.limits import PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN
from ledgerlink_identity.domain.passwords import require_strong
from ledgerlink_kit.errors import Kind, Refused

EMAIL = parse_email("Extraordinary@example.com")
COMMON = frozenset({"password123", "qwertyuiop"})


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short", "too-short"),
        ("a" * (PASSWORD_CHARS_MIN - 1), "too-short"),
        ("abcde" * 100, "too-long"),
        ("EXTRAORDINARY@example.com", "same-as-email"),
        ("extraOrdinary", "same-as-email"),
        ("aaaaaaaaaaaa", "repetitive"),
        ("1212121212", "repetitive"),
        ("PassWord123", "common"),
        ("qwertyuiop", "common"),
    ],
)
def test_a_weak_password_is_refused_with_the_reason(password: str, reason: str) -> None:
    with pytest.raises(Refused) as refusal:
        require_strong(password, EMAIL, COMMON)
    assert (refusal.value.kind, refusal.value.code) == (Kind.UNPROCESSABLE, "weak-password")
    assert refusal.value.members == {"reason": reason}


@pytest.mark.parametrize("password", ["correct horse", "zwölf Boxkämpfer", "0123456789x", "p" + "q" * 9 + "abc"])
def test_any_long_enough_password_passes_without_composition_rules(password: str) -> None:
    assert require_strong(password, EMAIL, COMMON)


def test_the_limits_themselves_are_allowed() -> None:
    shortest = "abcdefghij"[:PASSWORD_CHARS_MIN]
    longest = ("abcdefghij" * 100)[:PASSWORD_CHARS_MAX]
    assert require_strong(shortest, EMAIL, COMMON) == shortest
    assert require_strong(longest, EMAIL, COMMON) == longest


def test_two_spellings_of_the_same_characters_are_one_password() -> None:
    composed, decomposed = "caf\u00e9 du monde", "cafe\u0301 du monde"
    assert require_strong(composed, EMAIL, COMMON) == require_strong(decomposed, EMAIL, COMMON)
