"""Signing keys."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ledgerlink_identity.domain.signing_keys import KeyState, SigningKey
from ledgerlink_identity.tables import signing_keys
from ledgerlink_kit.db import Tx

_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtext('signing-keys'))")


async def lock_keys(tx: Tx) -> list[SigningKey]:
    """Wait for the turn to change keys, which two processes must not do at once, and return them all."""
    await tx.execute(_LOCK)
    rows = await tx.execute(sa.select(signing_keys).order_by(signing_keys.c.created_at, signing_keys.c.kid))
    return [SigningKey(row.kid, KeyState(row.state), row.created_at, row.activated_at, row.retired_at) for row in rows]


async def insert_key(
    tx: Tx, key: SigningKey, *, algorithm: str, public_jwk: Mapping[str, Any], private_sealed: bytes
) -> None:
    """Insert a key with its public half in the open and its private half encrypted."""
    await tx.execute(
        signing_keys.insert().values(
            kid=key.kid,
            algorithm=algorithm,
            state=key.state.value,
            public_jwk=dict(public_jwk),
            private_sealed=private_sealed,
            created_at=key.created_at,
            activated_at=key.activated_at,
        )
    )


async def retire_key(tx: Tx, kid: str, now: datetime) -> None:
    """Let the active key sign no more."""
    statement = signing_keys.update().where(signing_keys.c.kid == kid)
    await tx.execute(statement.values(state=KeyState.RETIRED.value, retired_at=now))


async def activate_key(tx: Tx, kid: str, now: datetime) -> None:
    """Let the waiting key sign."""
    statement = signing_keys.update().where(signing_keys.c.kid == kid)
    await tx.execute(statement.values(state=KeyState.ACTIVE.value, activated_at=now))


async def active_private(tx: Tx) -> tuple[str, bytes]:
    """Return the name and the encrypted private half of the key that signs."""
    active = signing_keys.c.state == KeyState.ACTIVE.value
    statement = sa.select(signing_keys.c.kid, signing_keys.c.private_sealed).where(active)
    row = (await tx.execute(statement)).one()
    return row.kid, row.private_sealed
