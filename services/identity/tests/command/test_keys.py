"""Proves the signing keys: made once, kept encrypted, rotated without a refused token, by one process at a time."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa

from ledgerlink_identity.app import OwnKeys
from ledgerlink_identity.commands.keys import ensure_keys, rotate_keys, rotate_keys_when_due
from ledgerlink_identity.commands.sign_ins import give_service_token
from ledgerlink_identity.domain.limits import PUBLISHED_AFTER_USE, PUBLISHED_BEFORE_USE, SIGNING_LIFETIME
from ledgerlink_identity.queries import keys_by_age, published_keys
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.tables import signing_keys
from ledgerlink_kit.auth import TokenVerifier
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Defect, Refused
from ledgerlink_kit.testing import ManualClock


async def states(rt: Runtime) -> list[str]:
    return sorted(key.state.value for key in await keys_by_age(rt.db))


async def token(rt: Runtime) -> str:
    return (await give_service_token(rt, "payments", "p" * 32, None)).access_token


async def test_starters_at_once_make_one_key_that_signs_and_one_that_waits(
    make_database: Callable[[str], Awaitable[Database]], make_rt: Callable[..., Awaitable[Runtime]]
) -> None:
    db = await make_database("ledgerlink_identity")
    runtimes = await asyncio.gather(*(make_rt(db=db) for _ in range(5)))
    made = await asyncio.gather(*(ensure_keys(db, rt.vault, rt.clock) for rt in runtimes))
    assert sum(made) == 0
    assert await states(runtimes[0]) == ["active", "pre-published"]


async def test_the_private_half_is_stored_encrypted(rt: Runtime, make_rt: Callable[..., Awaitable[Runtime]]) -> None:
    async with rt.db.reading() as view:
        stored = str((await view.execute(sa.select(signing_keys))).all())
        (sealed, *_) = await view.scalars(sa.select(signing_keys.c.private_sealed))
    assert '"d"' not in stored
    assert b"kty" not in sealed
    other = await make_rt(db=rt.db, key_encryption_key=base64.b64encode(b"x" * 32).decode())
    with pytest.raises(Defect, match="cannot be opened"):
        await other.signer.current()


async def test_a_rotation_waits_until_verifiers_know_the_next_key(rt: Runtime, clock: ManualClock) -> None:
    with pytest.raises(Refused, match="signing-key-too-young"):
        await rotate_keys(rt, force=False, actor="test")
    clock.advance(PUBLISHED_BEFORE_USE.total_seconds())
    waiting = next(key.kid for key in await keys_by_age(rt.db) if key.state.value == "pre-published")
    done = await rotate_keys(rt, force=False, actor="test")
    assert done.activate == waiting
    assert await states(rt) == ["active", "pre-published", "retired"]
    assert (await rt.signer.current()).kid == waiting


async def test_no_token_is_refused_while_keys_rotate_even_by_verifiers_that_cache(
    rt: Runtime, clock: ManualClock, make_rt: Callable[..., Awaitable[Runtime]]
) -> None:
    class Cached:
        """A verifier's copy of the key set: five minutes old at the most, never refreshed on demand."""

        def __init__(self) -> None:
            self._keys: Any = None
            self._until = 0.0

        async def keys(self, *, fresh: bool) -> Any:
            if self._keys is None or clock.monotonic() >= self._until:
                self._keys = await OwnKeys(rt.db, clock).keys(fresh=True)
                self._until = clock.monotonic() + 300
            return self._keys

    issuer, slow_issuer = rt, await make_rt(db=rt.db)
    verifier = TokenVerifier(issuer=rt.settings.issuer, audience="ledgerlink", jwks=Cached(), clock=clock)
    held: list[tuple[float, str]] = []
    await slow_issuer.signer.current()
    for step in range(120):
        clock.advance(20)
        if step % 40 == 30:
            await rotate_keys(issuer, force=False, actor="test")
        held += [(clock.monotonic() + 600, await token(one)) for one in (issuer, slow_issuer)]
        held = [(until, text) for until, text in held if until > clock.monotonic()]
        fresh = TokenVerifier(issuer=rt.settings.issuer, audience="ledgerlink", jwks=Cached(), clock=clock)
        for _, text in [held[0], held[-1], held[-2]]:
            assert (await verifier.verify(text)).subject == "svc_payments"
            assert (await fresh.verify(text)).subject == "svc_payments"
    assert await states(rt) == ["active", "pre-published", "retired", "retired", "retired"]


async def test_a_retired_key_leaves_the_key_set_when_its_last_token_is_dead(rt: Runtime, clock: ManualClock) -> None:
    retired = (await rotate_keys(rt, force=True, actor="test")).retire
    assert retired in {jwk["kid"] for jwk in await published_keys(rt.db, clock.now())}
    clock.advance(PUBLISHED_AFTER_USE.total_seconds())
    published = await published_keys(rt.db, clock.now())
    assert retired not in {jwk["kid"] for jwk in published}
    assert len(published) == 2


async def test_rotations_at_once_are_one_rotation(rt: Runtime, clock: ManualClock) -> None:
    clock.advance(PUBLISHED_BEFORE_USE.total_seconds())

    async def attempt() -> str:
        try:
            await rotate_keys(rt, force=False, actor="test")
        except Refused as refusal:
            return refusal.code
        return "rotated"

    assert sorted(await asyncio.gather(*(attempt() for _ in range(4)))) == ["rotated"] + ["signing-key-too-young"] * 3


async def test_the_worker_rotates_a_key_that_has_signed_for_its_lifetime(rt: Runtime, clock: ManualClock) -> None:
    assert await rotate_keys_when_due(rt) is None
    clock.advance(SIGNING_LIFETIME.total_seconds())
    assert await rotate_keys_when_due(rt) is not None
    assert await rotate_keys_when_due(rt) is None


async def test_a_worker_that_starts_before_the_first_app_waits_for_its_keys(
    make_database: Callable[[str], Awaitable[Database]], make_rt: Callable[..., Awaitable[Runtime]]
) -> None:
    rt = await make_rt(db=await make_database("ledgerlink_identity"))
    async with rt.db.transaction() as tx:
        await tx.execute(signing_keys.delete())
    assert await rotate_keys_when_due(rt) is None
