"""Reads: SQL straight to what is answered. No locks, no decisions beyond what is asked."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.permissions import Role
from ledgerlink_identity.domain.audit import Seal, SecurityEvent, verify
from ledgerlink_identity.domain.limits import ABSOLUTE_LIFETIME, AUDIT_RUN_MAX, IDLE_LIFETIME
from ledgerlink_identity.domain.signing_keys import KeyState, SigningKey, is_published
from ledgerlink_identity.store.audit import event_from
from ledgerlink_identity.store.people import User, user_from
from ledgerlink_identity.tables import (
    security_events,
    security_seals,
    sessions,
    signing_keys,
    unsealed_events,
    users,
)
from ledgerlink_kit.db import Database


@dataclass(frozen=True, slots=True)
class SessionView:
    """A live session as its owner sees it."""

    id: UUID
    client_id: str
    address: str
    user_agent: str
    created_at: datetime
    last_used_at: datetime


@dataclass(frozen=True, slots=True)
class AuditRun:
    """What verifying a run of the audit chain found. `next_after` is null when the end was reached."""

    checked: int
    findings: list[str]
    next_after: int | None
    unsealed: int
    oldest_unsealed_at: datetime | None


async def user(db: Database, user_id: UUID) -> User | None:
    """Return a user, or null."""
    async with db.reading() as view:
        row = (await view.execute(sa.select(users).where(users.c.id == user_id))).first()
    return user_from(row) if row else None


async def users_page(
    db: Database, *, after: UUID | None, limit: int, email: str | None, role: Role | None
) -> list[User]:
    """Return users in order of registration, from after an id on; one more than `limit` where there are more."""
    statement = sa.select(users).order_by(users.c.id).limit(limit + 1)
    if after is not None:
        statement = statement.where(users.c.id > after)
    if email is not None:
        statement = statement.where(users.c.email_key == email)
    if role is not None:
        statement = statement.where(sa.literal(role.value) == sa.any_(users.c.roles))
    async with db.reading() as view:
        return [user_from(row) for row in await view.execute(statement)]


async def user_in_session(db: Database, user_id: UUID, session_id: UUID, now: datetime) -> User | None:
    """Return the user if this is a session of theirs that has not ended, else null."""
    mine = sa.and_(sessions.c.user_id == users.c.id, sessions.c.id == session_id, _live(now))
    statement = sa.select(users).join(sessions, mine).where(users.c.id == user_id)
    async with db.reading() as view:
        row = (await view.execute(statement)).first()
    return user_from(row) if row else None


async def live_sessions(db: Database, user_id: UUID, now: datetime) -> list[SessionView]:
    """Return somebody's live sessions, the latest used first; their number has a limit of its own."""
    shown = [sessions.c[name] for name in ("id", "client_id", "address", "user_agent", "created_at", "last_used_at")]
    statement = (
        sa.select(*shown)
        .where(sessions.c.user_id == user_id, _live(now))
        .order_by(sessions.c.last_used_at.desc(), sessions.c.id)
    )
    async with db.reading() as view:
        return [SessionView(*row) for row in await view.execute(statement)]


async def published_keys(db: Database, now: datetime) -> list[dict[str, Any]]:
    """Return the public JWKs of the key set."""
    async with db.reading() as view:
        rows = (await view.execute(sa.select(signing_keys).order_by(signing_keys.c.created_at))).all()
    return [row.public_jwk for row in rows if is_published(_key(row), now)]


async def keys_by_age(db: Database) -> list[SigningKey]:
    """Return what is known in the open of every key, the oldest first."""
    async with db.reading() as view:
        rows = await view.execute(sa.select(signing_keys).order_by(signing_keys.c.created_at, signing_keys.c.kid))
        return [_key(row) for row in rows]


async def verify_audit(db: Database, *, after: int) -> AuditRun:
    """Verify the audit chain from after a position on, up to `AUDIT_RUN_MAX` links of it."""
    async with db.reading() as view:
        return await run_of_audit(view, after=after, limit=AUDIT_RUN_MAX)


async def run_of_audit(view: AsyncConnection, *, after: int, limit: int) -> AuditRun:
    """Verify up to `limit` links after a position, and look for events that left the queue without a seal."""
    links = await _links(view, after, limit)
    previous = await _links(view, after - 1, 1) if after > 0 else []
    findings = verify(links, after=previous[0][0] if previous else None) + await _lost_events(view, limit)
    queue = sa.select(sa.func.count(), sa.func.min(security_events.c.occurred_at)).select_from(
        unsealed_events.join(security_events, unsealed_events.c.event_id == security_events.c.id)
    )
    unsealed, oldest = (await view.execute(queue)).one()
    next_after = links[-1][0].position if len(links) == limit else None
    return AuditRun(len(links), findings, next_after, unsealed, oldest)


async def audit_end(view: AsyncConnection) -> int:
    """Return the last position of the audit chain, 0 before its first link."""
    return int(await view.scalar(sa.select(sa.func.coalesce(sa.func.max(security_seals.c.position), 0))) or 0)


async def _lost_events(view: AsyncConnection, limit: int) -> list[str]:
    """Return a finding for each of the latest events that is neither sealed nor waiting: somebody took it out."""
    newest = sa.select(sa.func.coalesce(sa.func.max(security_events.c.seq), 0)).scalar_subquery()
    latest = security_events.c.seq > newest - limit
    sealed = sa.exists().where(security_seals.c.event_id == security_events.c.id)
    waiting = sa.exists().where(unsealed_events.c.event_id == security_events.c.id)
    statement = sa.select(security_events.c.id).where(latest, ~sealed, ~waiting).order_by(security_events.c.seq)
    return [f"event {event_id} is neither sealed nor waiting to be" for event_id in await view.scalars(statement)]


async def _links(view: AsyncConnection, after: int, limit: int) -> list[tuple[Seal, SecurityEvent | None]]:
    statement = (
        sa.select(security_seals, *(column for column in security_events.c if column.name != "seq"))
        .outerjoin(security_events, security_events.c.id == security_seals.c.event_id)
        .where(security_seals.c.position > after)
        .order_by(security_seals.c.position)
        .limit(limit)
    )
    return [
        (
            Seal(row.position, row.event_id, row.previous_hash, row.hash),
            event_from(row) if row.id is not None else None,
        )
        for row in await view.execute(statement)
    ]


def _live(now: datetime) -> sa.ColumnElement[bool]:
    """Say in SQL what `Session.is_live` says."""
    return sa.and_(
        sessions.c.revoked_at.is_(None),
        sessions.c.last_used_at > now - IDLE_LIFETIME,
        sessions.c.created_at > now - ABSOLUTE_LIFETIME,
    )


def _key(row: sa.Row[Any]) -> SigningKey:
    return SigningKey(row.kid, KeyState(row.state), row.created_at, row.activated_at, row.retired_at)
