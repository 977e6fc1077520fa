"""Making and rotating signing keys."""

from ledgerlink_identity.commands.witness import witness
from ledgerlink_identity.connectors.signing import ALGORITHM, make_key
from ledgerlink_identity.connectors.vault import Vault
from ledgerlink_identity.domain.audit import Happening
from ledgerlink_identity.domain.signing_keys import KeyState, Rotation, SigningKey, is_due, missing, plan_rotation
from ledgerlink_identity.runtime import Runtime
from ledgerlink_identity.store import keys
from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import Database, Tx
from ledgerlink_kit.telemetry import span


async def ensure_keys(db: Database, vault: Vault, clock: Clock) -> int:
    """Make the keys that must be there, one that signs and one that waits; return how many were made."""

    async def body(tx: Tx) -> int:
        states = missing(await keys.lock_keys(tx))
        for state in states:
            await _make(tx, vault, clock, state)
        return len(states)

    return await db.retrying(body)


async def rotate_keys(rt: Runtime, *, force: bool, actor: str) -> Rotation:
    """Let the waiting key sign, retire the one that did, and publish a new one to wait.

    Raises `Refused` signing-key-too-young unless `force`.
    """
    with span("rotate_keys"):
        done = await rt.db.retrying(lambda tx: _rotate(tx, rt, force=force, actor=actor))
    rt.signer.forget()
    return done


async def rotate_keys_when_due(rt: Runtime) -> Rotation | None:
    """Rotate if the active key has signed for its lifetime; return what was done."""

    async def body(tx: Tx) -> Rotation | None:
        present = await keys.lock_keys(tx)
        if missing(present) or not is_due(present, rt.clock.now()):
            return None
        return await _rotate(tx, rt, force=False, actor="worker")

    done = await rt.db.retrying(body)
    if done is not None:
        rt.signer.forget()
    return done


async def _rotate(tx: Tx, rt: Runtime, *, force: bool, actor: str) -> Rotation:
    now = rt.clock.now()
    plan = plan_rotation(await keys.lock_keys(tx), now, force=force)
    # Retired first: the database lets no two keys be active even for a moment.
    await keys.retire_key(tx, plan.retire, now)
    await keys.activate_key(tx, plan.activate, now)
    await _make(tx, rt.vault, rt.clock, KeyState.PRE_PUBLISHED)
    happening = Happening.SIGNING_KEY_ROTATED
    await witness(
        tx, rt, happening, subject=None, actor=actor, retired=plan.retire, activated=plan.activate, forced=force
    )
    return plan


async def _make(tx: Tx, vault: Vault, clock: Clock, state: KeyState) -> None:
    made, now = make_key(), clock.now()
    key = SigningKey(made.kid, state, now, now if state is KeyState.ACTIVE else None, None)
    sealed = vault.seal(made.private, made.kid)
    await keys.insert_key(tx, key, algorithm=ALGORITHM, public_jwk=made.public_jwk, private_sealed=sealed)
