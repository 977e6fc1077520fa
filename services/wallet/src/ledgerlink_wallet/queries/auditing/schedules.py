"""What stands beside scheduled transfers: every occurrence ended once, and each executed one is its own transfer."""

from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import ScheduleId, TransferId
from ledgerlink_wallet.domain.books import WalletKey
from ledgerlink_wallet.domain.parties import wallet_facts
from ledgerlink_wallet.domain.schedules import KIND, transfer_of
from ledgerlink_wallet.queries.auditing.looking import STREAM_ROWS, Check, Looked, Notes, Tick, set_check

# What ended leads from 0 to the schedule's next number, each once.
_GAPS: Final = """
SELECT schedule_id, number FROM (
    SELECT schedule_id, number, lag(last_number, 1, -1) OVER (PARTITION BY schedule_id ORDER BY number) AS before
    FROM occurrences
) o WHERE number <> before + 1
UNION ALL
SELECT coalesce(s.id, o.schedule_id), coalesce(s.next_number, o.last + 1) FROM scheduled_transfers s
FULL JOIN (SELECT schedule_id, max(last_number) AS last FROM occurrences GROUP BY schedule_id) o ON o.schedule_id = s.id
WHERE s.next_number IS DISTINCT FROM coalesce(o.last, -1) + 1
"""
_EXECUTED: Final = text(
    "SELECT o.schedule_id, o.number, o.state, o.tries, o.transfer_id, o.recorded_at, s.wallet_id, s.to_wallet_id, "
    "s.owner, s.amount_minor, s.currency, s.reference, s.metadata, t.kind, t.postings, t.on_behalf_of, "
    "t.reference AS told, t.metadata AS labels, t.recorded_at AS posted_at, t.effective_at "
    "FROM occurrences o JOIN scheduled_transfers s ON s.id = o.schedule_id "
    "LEFT JOIN transfers t ON t.id = o.transfer_id "
    "WHERE o.state NOT IN ('failed', 'skipped') OR o.transfer_id IS NOT NULL"
)


async def _executed(view: AsyncConnection, tick: Tick) -> Looked:
    """Look whether the transfer of each executed occurrence is the one that its schedule orders."""
    notes, examined = Notes(), 0
    async for rows in (await view.stream(_EXECUTED, execution_options={"yield_per": STREAM_ROWS})).partitions():
        for row in rows:
            if not _is_its_own(row):
                named = "its transfer" if row.transfer_id is None else f"transfer {TransferId(row.transfer_id)}"
                notes.add(
                    f"occurrence {row.number} of schedule {row.schedule_id} ({row.state}): {named} is not there, or is "
                    "not what the schedule orders"
                )
        examined += len(rows)
        tick(examined)
    return Looked(examined, notes.differences)


def _is_its_own(row: Row[Any]) -> bool:
    if (
        row.state != "executed"
        or row.transfer_id != transfer_of(ScheduleId(row.schedule_id), row.number, row.tries - 1).uuid
    ):
        return False
    moment = row.recorded_at
    asked = (KIND, row.owner, row.reference, row.metadata, moment, moment)
    if asked != (row.kind, row.on_behalf_of, row.told, row.labels, row.posted_at, row.effective_at):
        return False
    parties = [str(wallet_facts(WalletKey(wallet), row.currency).id) for wallet in (row.wallet_id, row.to_wallet_id)]
    moved = [(posting[0], posting[2], *posting[4:6]) for posting in row.postings]
    return moved == [(*parties, row.amount_minor, row.currency)]


SCHEDULE_CHECKS: Final = (
    set_check(
        "occurrences_end_once",
        "What became of a schedule's occurrences is told once for each, up to the one that comes next",
        "SELECT count(*) FROM occurrences",
        _GAPS,
        "schedule {schedule_id}: what ended does not lead to occurrence {number}",
    ),
    Check(
        "occurrences_match_transfers",
        "Every executed occurrence has a transfer of its own, which moved what the schedule orders",
        _executed,
    ),
)
"""Checks of scheduled transfers: they read every occurrence."""
