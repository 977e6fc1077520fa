"""Lists and their entries, as they are stored."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ledgerlink_kit.db import Tx
from ledgerlink_risk.domain.lists import Entry
from ledgerlink_risk.tables import list_entries


async def lock_entry(tx: Tx, name: str, value: str) -> sa.Row[Any] | None:
    """Give the present entry of a list, and keep others from changing it."""
    await tx.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 1))"), {"key": f"{name} {value}"})
    present = sa.select(list_entries).where(
        list_entries.c.list == name, list_entries.c.value == value, list_entries.c.removed_at.is_(None)
    )
    return (await tx.execute(present)).one_or_none()


def entry_of(row: sa.Row[Any]) -> Entry:
    """Read a list's entry from its row."""
    return Entry(
        list=row.list,
        value=row.value,
        note=row.note,
        added_by=row.added_by,
        added_at=row.added_at,
        expires_at=row.expires_at,
    )


async def insert_entry(
    tx: Tx, *, name: str, value: str, note: str, expires_at: datetime | None, by: str, now: datetime
) -> sa.Row[Any]:
    """Put a value on a list."""
    inserted = sa.insert(list_entries).values(
        list=name, value=value, note=note, added_by=by, added_at=now, expires_at=expires_at
    )
    return (await tx.execute(inserted.returning(*list_entries.c))).one()


async def remove_entry(tx: Tx, entry_id: int, *, by: str, now: datetime) -> None:
    """Take an entry off its list; the row stays and says who did it."""
    await tx.execute(sa.update(list_entries).where(list_entries.c.id == entry_id).values(removed_by=by, removed_at=now))
