"""Sessions: opened, rotated by one compare-and-swap, revoked."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Row

from ledgerlink_contracts.identity.events import RevokedBecause
from ledgerlink_identity.domain.limits import LIVE_SESSIONS_MAX
from ledgerlink_identity.domain.sessions import RefreshToken, Session
from ledgerlink_identity.tables import sessions
from ledgerlink_kit.db import Tx


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from: the client's address and the name that its program gives itself."""

    address: str
    user_agent: str


def session_from(row: Row[Any]) -> Session:
    """Return the session in a row of the table's columns."""
    return Session(
        id=row.id,
        user_id=row.user_id,
        client_id=row.client_id,
        scope_limit=row.scope_limit,
        seed=row.seed,
        generation=row.generation,
        token_hash=row.token_hash,
        rotated_at=row.rotated_at,
        rotated_by=row.rotated_by,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )


async def insert_session(tx: Tx, session: Session, origin: Origin) -> None:
    """Insert a session that has just been opened."""
    await tx.execute(
        sessions.insert().values(
            id=session.id,
            user_id=session.user_id,
            client_id=session.client_id,
            scope_limit=session.scope_limit,
            address=origin.address,
            user_agent=origin.user_agent,
            seed=session.seed,
            generation=session.generation,
            token_hash=session.token_hash,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
        )
    )


async def session_by_id(tx: Tx, session_id: UUID) -> Session | None:
    """Return a session, or null."""
    row = (await tx.execute(sa.select(sessions).where(sessions.c.id == session_id))).first()
    return session_from(row) if row else None


async def rotate(tx: Tx, spent: RefreshToken, successor: RefreshToken, client: bytes, now: datetime) -> bool:
    """Put the successor in the place of the spent token; return whether nobody was faster.

    One compare-and-swap: of any number of uses at once, one finds the spent token still current.
    """
    still_current = sa.and_(
        sessions.c.id == spent.session_id,
        sessions.c.generation == spent.generation,
        sessions.c.token_hash == spent.hash(),
        sessions.c.revoked_at.is_(None),
    )
    swapped = (
        sessions.update()
        .where(still_current)
        .values(
            generation=successor.generation,
            token_hash=successor.hash(),
            rotated_at=now,
            rotated_by=client,
            last_used_at=now,
        )
        .returning(sessions.c.id)
    )
    return await tx.scalar(swapped) is not None


async def revoke(tx: Tx, user_id: UUID, session_id: UUID, because: RevokedBecause, now: datetime) -> list[UUID]:
    """Revoke one session of a user; return its id in a list, empty when it had ended or is not theirs."""
    return await _revoke(tx, sa.and_(sessions.c.user_id == user_id, sessions.c.id == session_id), because, now)


async def revoke_all(tx: Tx, user_id: UUID, because: RevokedBecause, now: datetime) -> list[UUID]:
    """Revoke every session of a user; return their ids."""
    return await _revoke(tx, sessions.c.user_id == user_id, because, now)


async def revoke_beyond_limit(tx: Tx, user_id: UUID, now: datetime) -> list[UUID]:
    """Revoke the oldest sessions of a user that are one too many; return their ids."""
    surplus = (
        sa.select(sessions.c.id)
        .where(sessions.c.user_id == user_id, sessions.c.revoked_at.is_(None))
        .order_by(sessions.c.created_at.desc(), sessions.c.id.desc())
        .offset(LIVE_SESSIONS_MAX)
    )
    return await _revoke(tx, sessions.c.id.in_(surplus), RevokedBecause.TOO_MANY_SESSIONS, now)


async def session_exists(tx: Tx, user_id: UUID, session_id: UUID) -> bool:
    """Return whether this is a session of this user, ended or not."""
    mine = sa.exists().where(sessions.c.user_id == user_id, sessions.c.id == session_id)
    return bool(await tx.scalar(sa.select(mine)))


async def _revoke(tx: Tx, which: sa.ColumnElement[bool], because: RevokedBecause, now: datetime) -> list[UUID]:
    statement = (
        sessions.update()
        .where(which, sessions.c.revoked_at.is_(None))
        .values(revoked_at=now, revoked_because=because.value)
        .returning(sessions.c.id)
    )
    return list((await tx.scalars(statement)).all())
