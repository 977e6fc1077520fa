"""Proves when a mailed token may be used."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from ledgerlink_identity.domain.one_time import LIFETIMES, OneTimeToken, Purpose, is_usable, token_hash

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def token(purpose: Purpose = Purpose.VERIFICATION, *, used: bool = False) -> OneTimeToken:
    return OneTimeToken(purpose, UUID(int=1), NOW + LIFETIMES[purpose], NOW if used else None)


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_fresh_token_may_be_used_for_its_purpose_until_it_expires(purpose: Purpose) -> None:
    assert is_usable(token(purpose), purpose, NOW)
    assert is_usable(token(purpose), purpose, NOW + LIFETIMES[purpose] - timedelta(microseconds=1))
    assert not is_usable(token(purpose), purpose, NOW + LIFETIMES[purpose])


def test_an_unknown_a_used_and_another_purposes_token_may_not_be_used() -> None:
    assert not is_usable(None, Purpose.VERIFICATION, NOW)
    assert not is_usable(token(used=True), Purpose.VERIFICATION, NOW)
    assert not is_usable(token(Purpose.VERIFICATION), Purpose.PASSWORD_RESET, NOW)


def test_what_is_stored_is_a_hash() -> None:
    assert token_hash("abc") == bytes.fromhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
