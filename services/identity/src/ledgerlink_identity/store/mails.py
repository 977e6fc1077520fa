"""Mails to send and the one-time tokens that they carry."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from ledgerlink_identity.domain.one_time import OneTimeToken, Purpose
from ledgerlink_identity.tables import mails, one_time_tokens
from ledgerlink_kit.db import Tx


@dataclass(frozen=True, slots=True)
class WaitingMail:
    """A mail that somebody asked for and that is not sent yet; `tries` counts this one."""

    id: UUID
    purpose: Purpose
    email_key: str
    tries: int


async def insert_mail(tx: Tx, mail_id: UUID, purpose: Purpose, email_key: str, now: datetime) -> None:
    """Note that a mail was asked for, whether or not the address belongs to anybody."""
    await tx.execute(
        mails.insert().values(
            id=mail_id,
            purpose=purpose.value,
            email_key=email_key,
            requested_at=now,
            state="waiting",
            tries=0,
            next_try_at=now,
        )
    )


async def claim_mail(tx: Tx, now: datetime, lease: timedelta) -> WaitingMail | None:
    """Take the next mail that is due; unless it is finished, it is due again after the lease, doubled with each try."""
    due = (
        sa.select(mails.c.id)
        .where(mails.c.state == "waiting", mails.c.next_try_at <= now)
        .order_by(mails.c.next_try_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).scalar_subquery()
    next_try_at = sa.literal(now, mails.c.next_try_at.type) + lease * sa.func.power(2, mails.c.tries)
    claimed = (
        mails.update()
        .where(mails.c.id == due)
        .values(tries=mails.c.tries + 1, next_try_at=next_try_at)
        .returning(mails.c.id, mails.c.purpose, mails.c.email_key, mails.c.tries)
    )
    row = (await tx.execute(claimed)).first()
    return WaitingMail(row.id, Purpose(row.purpose), row.email_key, row.tries) if row else None


async def finish_mail(tx: Tx, mail_id: UUID, state: str, now: datetime) -> None:
    """Store what became of a mail: `sent`, `dropped` (nobody to send it to) or `failed`."""
    unfinished = sa.and_(mails.c.id == mail_id, mails.c.state == "waiting")
    await tx.execute(mails.update().where(unfinished).values(state=state, finished_at=now))


async def sent_since(tx: Tx, purpose: Purpose, email_key: str, since: datetime) -> int:
    """Return how many mails of a purpose an address got."""
    counted = sa.and_(
        mails.c.email_key == email_key,
        mails.c.purpose == purpose.value,
        mails.c.finished_at > since,
        mails.c.state == "sent",
    )
    return int(await tx.scalar(sa.select(sa.func.count()).select_from(mails).where(counted)) or 0)


async def insert_token(tx: Tx, token_hash: bytes, token: OneTimeToken, now: datetime) -> None:
    """Store a one-time token by its hash."""
    await tx.execute(
        one_time_tokens.insert().values(
            token_hash=token_hash,
            user_id=token.user_id,
            purpose=token.purpose.value,
            created_at=now,
            expires_at=token.expires_at,
        )
    )


async def token_by_hash(tx: Tx, token_hash: bytes, *, lock: bool) -> OneTimeToken | None:
    """Return a one-time token, or null; with `lock`, nobody else can use it before this transaction ends."""
    statement = sa.select(one_time_tokens).where(one_time_tokens.c.token_hash == token_hash)
    row = (await tx.execute(statement.with_for_update() if lock else statement)).first()
    return OneTimeToken(Purpose(row.purpose), row.user_id, row.expires_at, row.used_at) if row else None


async def spend_tokens(tx: Tx, user_id: UUID, purpose: Purpose, now: datetime) -> None:
    """Mark every open token of a user and purpose as used: with the one, its siblings are spent as well."""
    still_open = sa.and_(
        one_time_tokens.c.user_id == user_id,
        one_time_tokens.c.purpose == purpose.value,
        one_time_tokens.c.used_at.is_(None),
    )
    await tx.execute(one_time_tokens.update().where(still_open).values(used_at=now))


async def forget_mails(tx: Tx, before: datetime) -> int:
    """Delete finished mails and expired tokens that are older; return how many mails."""
    await tx.execute(one_time_tokens.delete().where(one_time_tokens.c.expires_at < before))
    return (await tx.execute(mails.delete().where(mails.c.finished_at < before))).rowcount
