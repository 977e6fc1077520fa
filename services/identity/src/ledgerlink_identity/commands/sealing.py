"""Sealing security events into the audit chain."""

from typing import Final

from ledgerlink_identity.domain.audit import Seal, seal
from ledgerlink_identity.store import audit
from ledgerlink_kit.db import Database, Tx

BATCH: Final = 500


async def seal_events(db: Database) -> int:
    """Seal the next events in the order in which they were appended; return how many.

    One process at a time: whoever finds the turn taken does nothing and returns 0.
    """
    return await db.retrying(_seal)


async def _seal(tx: Tx) -> int:
    if not await audit.take_turn_to_seal(tx):
        return 0
    events = await audit.unsealed(tx, BATCH)
    if not events:
        return 0
    previous = await audit.last_seal(tx)
    links: list[Seal] = []
    for event in events:
        previous = seal(event, previous)
        links.append(previous)
    await audit.append_seals(tx, links)
    return len(links)
