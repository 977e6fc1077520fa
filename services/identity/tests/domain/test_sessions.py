"""Proves the life of a session and each judgment on a refresh token, in its order."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_identity.domain.limits import ABSOLUTE_LIFETIME, IDLE_LIFETIME, RETRY_WINDOW
from ledgerlink_identity.domain.sessions import (
    Refresh,
    RefreshToken,
    Session,
    client_fingerprint,
    derive_token,
    judge,
    parse_token,
)

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
KEY = bytes(range(32))
SEED = b"s" * 32
CLIENT = client_fingerprint("app", "203.0.113.7", "agent/1")
STRANGER = client_fingerprint("app", "198.51.100.9", "agent/1")
ID = UUID(int=77)


def session(generation: int = 3) -> Session:
    return Session(
        id=ID,
        user_id=UUID(int=5),
        client_id="app",
        scope_limit=None,
        seed=SEED,
        generation=generation,
        token_hash=derive_token(KEY, ID, SEED, generation).hash(),
        rotated_at=NOW,
        rotated_by=CLIENT,
        created_at=NOW - timedelta(days=1),
        last_used_at=NOW,
        revoked_at=None,
    )


def token(generation: int) -> RefreshToken:
    return derive_token(KEY, ID, SEED, generation)


def test_the_current_token_rotates() -> None:
    assert judge(session(3), token(3), KEY, STRANGER, NOW) is Refresh.ROTATE


def test_the_current_token_rotates_even_when_the_key_was_changed() -> None:
    assert judge(session(3), token(3), b"another key", CLIENT, NOW) is Refresh.ROTATE


def test_the_same_clients_retry_gets_the_same_successor_within_the_window() -> None:
    assert judge(session(3), token(2), KEY, CLIENT, NOW + RETRY_WINDOW) is Refresh.SAME_AGAIN


@pytest.mark.parametrize(
    ("generation", "client", "later"),
    [
        (1, CLIENT, timedelta(0)),
        (2, STRANGER, timedelta(0)),
        (2, CLIENT, RETRY_WINDOW + timedelta(microseconds=1)),
        (0, STRANGER, timedelta(days=3)),
    ],
)
def test_any_other_use_of_a_spent_token_is_reuse(generation: int, client: bytes, later: timedelta) -> None:
    assert judge(session(3), token(generation), KEY, client, NOW + later) is Refresh.REUSED


def test_a_spent_token_of_a_session_that_was_never_rotated_is_reuse() -> None:
    odd = replace(session(1), rotated_at=None, rotated_by=None)
    assert judge(odd, token(0), KEY, CLIENT, NOW) is Refresh.REUSED


@pytest.mark.parametrize("generation", [0, 2, 3, 4])
def test_a_guess_that_names_a_real_session_cannot_kill_it(generation: int) -> None:
    assert judge(session(3), RefreshToken(ID, generation, b"x" * 32), KEY, STRANGER, NOW) is Refresh.INVALID


def test_a_token_of_a_generation_to_come_is_invalid() -> None:
    assert judge(session(3), token(4), KEY, CLIENT, NOW) is Refresh.INVALID


def test_a_token_of_no_session_or_an_ended_one_is_invalid() -> None:
    revoked = replace(session(3), revoked_at=NOW)
    assert judge(None, token(3), KEY, CLIENT, NOW) is Refresh.INVALID
    assert judge(revoked, token(3), KEY, CLIENT, NOW) is Refresh.INVALID
    assert judge(session(3), token(3), KEY, CLIENT, NOW + IDLE_LIFETIME) is Refresh.INVALID


def test_a_session_in_constant_use_ends_all_the_same() -> None:
    used = replace(session(), last_used_at=NOW + timedelta(days=85))
    assert used.ends_at() == used.created_at + ABSOLUTE_LIFETIME
    assert used.is_live(used.ends_at() - timedelta(microseconds=1))
    assert not used.is_live(used.ends_at())


def test_an_unused_session_ends_after_its_idle_time() -> None:
    assert session().ends_at() == NOW + IDLE_LIFETIME


@given(st.uuids(), st.integers(min_value=0, max_value=2**32 - 1), st.binary(min_size=32, max_size=32))
def test_a_token_reads_back_as_it_was_written(session_id: UUID, generation: int, secret: bytes) -> None:
    written = RefreshToken(session_id, generation, secret)
    assert parse_token(written.text()) == written


@given(st.text(max_size=90))
def test_no_text_breaks_the_reading_of_tokens(text: str) -> None:
    for tried in (text, "llrt_" + text):
        token = parse_token(tried)
        assert token is None or token.text() == tried


@pytest.mark.parametrize(
    "text",
    ["", "llrt_", "x" * 75, token(1).text()[:-1], token(1).text() + "A", "llrt_" + "!" * 70, "llrt_" + "é" * 70],
)
def test_what_cannot_be_a_token_is_none(text: str) -> None:
    assert parse_token(text) is None


def test_another_spelling_of_the_same_bits_is_no_token() -> None:
    text = token(1).text()
    other = next(
        text[:-1] + letter
        for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        if letter != text[-1]
        and base64.urlsafe_b64decode(text[5:-1] + letter + "==") == base64.urlsafe_b64decode(text[5:] + "==")
    )
    assert parse_token(other) is None


def test_a_token_does_not_show_its_secret() -> None:
    assert "secret=…" in repr(token(1))
    assert token(1).secret.hex() not in repr(token(1))


def test_each_generation_has_its_own_secret() -> None:
    assert len({token(generation).secret for generation in range(100)}) == 100
