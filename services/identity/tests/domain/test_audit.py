"""Proves that the audit chain tells of every change, removal, insertion and reordering, and is silent otherwise."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest

from ledgerlink_identity.domain.audit import GENESIS, Happening, Seal, SecurityEvent, canonical, seal, verify

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
Chain = list[tuple[Seal, SecurityEvent | None]]


def event(number: int) -> SecurityEvent:
    return SecurityEvent(
        id=UUID(int=number),
        happening=Happening.SIGNED_IN,
        subject=UUID(int=1) if number % 2 else None,
        actor="usr_1",
        address="203.0.113.7",
        details={"n": number},
        occurred_at=NOW + timedelta(seconds=number),
    )


def chain(length: int) -> Chain:
    links: Chain = []
    previous: Seal | None = None
    for number in range(1, length + 1):
        previous = seal(event(number), previous)
        links.append((previous, event(number)))
    return links


def test_an_untouched_chain_has_no_findings() -> None:
    assert verify([]) == []
    assert verify(chain(5)) == []


def test_a_run_is_verified_from_the_seal_before_it() -> None:
    links = chain(5)
    assert verify(links[3:], after=links[2][0]) == []


def test_the_first_seal_follows_the_genesis() -> None:
    first = seal(event(1), None)
    assert (first.position, first.previous_hash) == (1, GENESIS)


def changed(links: Chain) -> Chain:
    found = links[2][1]
    assert found is not None
    return [*links[:2], (links[2][0], replace(found, details={"n": 99})), *links[3:]]


def gone(links: Chain) -> Chain:
    return [*links[:2], (links[2][0], None), *links[3:]]


def cut_out(links: Chain) -> Chain:
    return links[:2] + links[3:]


def resealed(links: Chain) -> Chain:
    found = links[2][1]
    assert found is not None
    forged = replace(found, actor="usr_2")
    return [*links[:2], (seal(forged, links[1][0]), forged), *links[3:]]


@pytest.mark.parametrize(
    ("attack", "finding"),
    [
        (changed, f"position 3: event {UUID(int=3)} does not match its hash"),
        (gone, f"position 3: the sealed event {UUID(int=3)} is gone"),
        (cut_out, "position 3 is missing; the chain goes on at 4"),
        (resealed, "position 4 does not follow from the position before it"),
    ],
)
def test_each_attack_is_found(attack: Callable[[Chain], Chain], finding: str) -> None:
    assert finding in verify(attack(chain(5)))


def test_the_same_moment_in_another_zone_is_the_same_event() -> None:
    elsewhere = replace(event(1), occurred_at=event(1).occurred_at.astimezone(timezone(timedelta(hours=5))))
    assert canonical(elsewhere) == canonical(event(1))
