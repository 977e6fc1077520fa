"""Proves a signing key's life: made, published, used, retired, forgotten; and when a rotation must wait."""

from datetime import UTC, datetime, timedelta

import pytest

from ledgerlink_identity.domain.limits import PUBLISHED_AFTER_USE, PUBLISHED_BEFORE_USE, SIGNING_LIFETIME
from ledgerlink_identity.domain.signing_keys import (
    KeyState,
    Rotation,
    SigningKey,
    is_due,
    is_published,
    missing,
    plan_rotation,
)
from ledgerlink_kit.errors import Kind, Refused

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
ACTIVE = SigningKey("a", KeyState.ACTIVE, NOW, NOW, None)
WAITING = SigningKey("w", KeyState.PRE_PUBLISHED, NOW, None, None)
RETIRED = SigningKey("r", KeyState.RETIRED, NOW - timedelta(days=31), NOW - timedelta(days=30), NOW)


def test_an_empty_house_needs_a_key_that_signs_and_one_that_waits() -> None:
    assert missing([]) == (KeyState.ACTIVE, KeyState.PRE_PUBLISHED)
    assert missing([ACTIVE, RETIRED]) == (KeyState.PRE_PUBLISHED,)
    assert missing([ACTIVE, WAITING]) == ()


def test_the_waiting_key_takes_over_once_every_verifier_knows_it() -> None:
    plan = plan_rotation([ACTIVE, WAITING, RETIRED], NOW + PUBLISHED_BEFORE_USE, force=False)
    assert plan == Rotation(retire="a", activate="w")


def test_a_rotation_before_verifiers_know_the_next_key_is_refused() -> None:
    with pytest.raises(Refused) as refusal:
        plan_rotation([ACTIVE, WAITING], NOW + PUBLISHED_BEFORE_USE - timedelta(seconds=1), force=False)
    assert (refusal.value.kind, refusal.value.code) == (Kind.CONFLICT, "signing-key-too-young")
    assert refusal.value.members == {"ready_at": (NOW + PUBLISHED_BEFORE_USE).isoformat()}


def test_a_leaked_key_is_rotated_at_once() -> None:
    assert plan_rotation([ACTIVE, WAITING], NOW, force=True) == Rotation(retire="a", activate="w")


def test_a_retired_key_stays_published_while_its_tokens_live() -> None:
    assert is_published(RETIRED, NOW + PUBLISHED_AFTER_USE - timedelta(seconds=1))
    assert not is_published(RETIRED, NOW + PUBLISHED_AFTER_USE)


def test_keys_that_sign_or_wait_are_published() -> None:
    assert is_published(ACTIVE, NOW + timedelta(days=99))
    assert is_published(WAITING, NOW)


def test_the_active_key_is_due_after_its_lifetime() -> None:
    assert not is_due([ACTIVE, WAITING], NOW + SIGNING_LIFETIME - timedelta(seconds=1))
    assert is_due([ACTIVE, WAITING], NOW + SIGNING_LIFETIME)


def test_two_active_keys_are_a_defect() -> None:
    with pytest.raises(AssertionError, match="exactly one active"):
        plan_rotation([ACTIVE, ACTIVE, WAITING], NOW, force=True)
