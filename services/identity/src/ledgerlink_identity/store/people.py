"""Users and the throttles on their sign-ins."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Row

from ledgerlink_contracts.permissions import Role
from ledgerlink_identity.domain.emails import Email
from ledgerlink_identity.domain.limits import FORGET_FAILURES_AFTER
from ledgerlink_identity.domain.throttle import Throttle
from ledgerlink_identity.tables import login_throttles, sessions, users
from ledgerlink_kit.db import Tx


@dataclass(frozen=True, slots=True)
class User:
    """A person as stored."""

    id: UUID
    email: str
    email_key: str
    full_name: str | None
    password_hash: str
    password_changed_at: datetime
    roles: tuple[Role, ...]
    created_at: datetime
    email_verified_at: datetime | None
    last_login_at: datetime | None

    def __repr__(self) -> str:
        return f"User(id={self.id})"


def user_from(row: Row[Any]) -> User:
    """Return the user in a row of the table's columns."""
    return User(
        id=row.id,
        email=row.email,
        email_key=row.email_key,
        full_name=row.full_name,
        password_hash=row.password_hash,
        password_changed_at=row.password_changed_at,
        roles=tuple(Role(role) for role in row.roles),
        created_at=row.created_at,
        email_verified_at=row.email_verified_at,
        last_login_at=row.last_login_at,
    )


async def insert_user(
    tx: Tx,
    user_id: UUID,
    email: Email,
    *,
    full_name: str | None,
    password_hash: str,
    roles: Sequence[Role],
    now: datetime,
    verified: bool = False,
) -> bool:
    """Insert a user; return whether the address was free."""
    statement = (
        insert(users)
        .values(
            id=user_id,
            email=email.address,
            email_key=email.key,
            full_name=full_name,
            password_hash=password_hash,
            password_changed_at=now,
            roles=[role.value for role in roles],
            created_at=now,
            email_verified_at=now if verified else None,
        )
        .on_conflict_do_nothing(index_elements=[users.c.email_key])
        .returning(users.c.id)
    )
    return await tx.scalar(statement) is not None


async def user_by_id(tx: Tx, user_id: UUID) -> User | None:
    """Return a user, or null."""
    row = (await tx.execute(sa.select(users).where(users.c.id == user_id))).first()
    return user_from(row) if row else None


async def user_by_email(tx: Tx, email_key: str) -> User | None:
    """Return the user with this address, or null."""
    row = (await tx.execute(sa.select(users).where(users.c.email_key == email_key))).first()
    return user_from(row) if row else None


async def email_is_taken(tx: Tx, email_key: str) -> bool:
    """Return whether somebody has this address."""
    return bool(await tx.scalar(sa.select(sa.exists().where(users.c.email_key == email_key))))


async def an_admin_exists(tx: Tx) -> bool:
    """Return whether anybody has the admin role."""
    return bool(await tx.scalar(sa.select(sa.exists().where(sa.literal("admin") == sa.any_(users.c.roles)))))


async def lock_with_admins(tx: Tx, user_id: UUID) -> dict[UUID, User]:
    """Lock a user and every admin, in order of id, and return them by id."""
    admin = sa.text("'admin' = ANY (roles)")
    statement = sa.select(users).where(sa.or_(users.c.id == user_id, admin)).order_by(users.c.id).with_for_update()
    return {row.id: user_from(row) for row in await tx.execute(statement)}


async def set_roles(tx: Tx, user_id: UUID, roles: Sequence[Role]) -> None:
    """Store the roles of a user."""
    await tx.execute(users.update().where(users.c.id == user_id).values(roles=[role.value for role in roles]))


async def note_sign_in(tx: Tx, user: User, fresh_hash: str | None, now: datetime) -> bool:
    """Store when somebody signed in, and a better hash of the same password where there is one.

    Return false, and store nothing, when the password has been changed since `user` was read.
    """
    unchanged = sa.and_(users.c.id == user.id, users.c.password_changed_at == user.password_changed_at)
    values: dict[str, Any] = {"last_login_at": now}
    if fresh_hash is not None:
        values["password_hash"] = fresh_hash
    return await tx.scalar(users.update().where(unchanged).values(values).returning(users.c.id)) is not None


async def set_password(tx: Tx, user_id: UUID, password_hash: str, now: datetime) -> None:
    """Store the hash of a new password."""
    values = {"password_hash": password_hash, "password_changed_at": now}
    await tx.execute(users.update().where(users.c.id == user_id).values(values))


async def mark_verified(tx: Tx, user_id: UUID, now: datetime) -> bool:
    """Store that the address is verified; return whether that is news."""
    fresh = sa.and_(users.c.id == user_id, users.c.email_verified_at.is_(None))
    statement = users.update().where(fresh).values(email_verified_at=now).returning(users.c.id)
    return await tx.scalar(statement) is not None


async def throttle_of(tx: Tx, email_key: str, address: str) -> Throttle | None:
    """Return the throttle of an account and address as it is now, without a lock."""
    row = (await tx.execute(sa.select(login_throttles).where(_pair(email_key, address)))).first()
    return Throttle(row.failures, row.last_failure_at, row.blocked_until) if row else None


async def lock_throttle(tx: Tx, email_key: str, address: str, now: datetime, *, create: bool) -> Throttle | None:
    """Lock and return the throttle of an account and address; with `create`, make one that counts nothing yet."""
    if create:
        fresh = {"email_key": email_key, "address": address, "failures": 0, "last_failure_at": now}
        await tx.execute(insert(login_throttles).values(fresh).on_conflict_do_nothing())
    row = (await tx.execute(sa.select(login_throttles).where(_pair(email_key, address)).with_for_update())).first()
    return Throttle(row.failures, row.last_failure_at, row.blocked_until) if row else None


async def save_throttle(tx: Tx, email_key: str, address: str, throttle: Throttle) -> None:
    """Store a throttle."""
    values = {
        "failures": throttle.failures,
        "last_failure_at": throttle.last_failure_at,
        "blocked_until": throttle.blocked_until,
    }
    await tx.execute(login_throttles.update().where(_pair(email_key, address)).values(values))


async def lift_throttles(tx: Tx, email_key: str, address: str | None = None) -> None:
    """Forget the failures of an account, from one address or from all."""
    chosen = _pair(email_key, address) if address else login_throttles.c.email_key == email_key
    await tx.execute(login_throttles.delete().where(chosen))


async def recent_failures(tx: Tx, email_key: str, now: datetime) -> int:
    """Return the failures on an account from all addresses that still count."""
    counted = sa.and_(
        login_throttles.c.email_key == email_key, login_throttles.c.last_failure_at > now - FORGET_FAILURES_AFTER
    )
    statement = sa.select(sa.func.coalesce(sa.func.sum(login_throttles.c.failures), 0)).where(counted)
    return int(await tx.scalar(statement) or 0)


async def has_signed_in_from(tx: Tx, user_id: UUID, address: str) -> bool:
    """Return whether this person ever had a session from this address."""
    seen = sa.exists().where(sessions.c.user_id == user_id, sessions.c.address == address)
    return bool(await tx.scalar(sa.select(seen)))


async def forget_throttles(tx: Tx, before: datetime) -> int:
    """Delete throttles whose last failure is older; return how many."""
    return (await tx.execute(login_throttles.delete().where(login_throttles.c.last_failure_at < before))).rowcount


def _pair(email_key: str, address: str) -> sa.ColumnElement[bool]:
    return sa.and_(login_throttles.c.email_key == email_key, login_throttles.c.address == address)
