"""Writing what a batch changed: gathered first, then sent in as few statements as there are large tables, and one."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from io import BytesIO
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson

from ledgerlink_wallet.domain.books import (
    Account,
    AccountKey,
    Entry,
    Hold,
    HoldKey,
    Movement,
    Original,
    Transfer,
    TransferKey,
)
from ledgerlink_wallet.domain.fold import EMPTY, fold
from ledgerlink_wallet.domain.stretches import BITS, LEVEL_MAX, micros_of
from ledgerlink_wallet.store import Tx, copying, promises
from ledgerlink_wallet.store.facts import ENTRIES, EVENTS, OUTCOMES, TRANSFERS, Facts


class OutcomeRow(NamedTuple):
    """An outcome to remember; without ``fields`` and ``body`` when the transfer tells them."""

    id: UUID
    fields: bytes | None
    status: int
    body: bytes | None


class EventRow(NamedTuple):
    """A row of the outbox; its data is JSON."""

    id: UUID
    aggregate: str
    type: str
    version: int
    data: str
    traceparent: str


class EntryRow(NamedTuple):
    """An entry with what caused it."""

    entry: Entry
    transfer: TransferKey | None
    hold: HoldKey | None
    effective_at: datetime


_OPEN_ACCOUNTS: Final = """
INSERT INTO accounts (id, code, currency, normal_side, may_overdraw, wallet_id, floor_minor, ceiling_minor, standing,
                      debits_posted, credits_posted, debits_pending, credits_pending, version, opened_at)
SELECT t.*, $15::timestamptz
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::uuid[], $7::bigint[], $8::bigint[],
            $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[]) AS t
RETURNING id, code, currency, normal_side, may_overdraw, wallet_id, floor_minor, ceiling_minor, standing, opened_at
"""
_UPDATE_ACCOUNTS: Final = """
UPDATE accounts SET standing = t.standing, debits_posted = t.dp, credits_posted = t.cp, debits_pending = t.dq,
                    credits_pending = t.cq, version = t.version
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
     AS t(id, standing, dp, cp, dq, cq, version)
WHERE accounts.id = t.id
"""
_SAVE_HOLDS: Final = """
INSERT INTO holds (id, account_id, state, amount_minor, captured_minor, remaining_minor, expires_at, on_behalf_of,
                   reference, recorded_at)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
                     $7::timestamptz[], $8::text[], $9::text[], $10::timestamptz[])
ON CONFLICT (id) DO UPDATE SET state = excluded.state, captured_minor = excluded.captured_minor,
                               remaining_minor = excluded.remaining_minor
"""
_SAVE_REVERSALS: Final = """
INSERT INTO reversals (transfer_id, posting, posted_minor, reversed_minor)
SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::bigint[], $4::bigint[])
ON CONFLICT (transfer_id, posting) DO UPDATE SET reversed_minor = excluded.reversed_minor
"""
_UNSEALED: Final = (
    "INSERT INTO unsealed (recorded_at, transfers, promises) "
    "SELECT * FROM unnest($1::timestamptz[], $2::integer[], $3::integer[])"
)

COPY_FROM: Final = 800
"""From so many values (rows by columns) on COPY is cheaper than arrays, of which the driver looks at every element four
times: a COPY costs two round trips and some 0.3 ms of its own (`make bench-drivers`)."""

TRANSFERS_POSTED: Final = "wallet.transfers.posted"
"""The outbox's rows that name posted transfers; no event of this type goes out."""

POSTED_PER_ROW: Final = 50
"""Transfers that one row of the outbox names: with one trace it stays below the 2 KB from which PostgreSQL moves values
out of the table, and the relay's batch of rows is no more than it can carry under one lease."""

_PLACE: Final = re.compile(r"\$(\d+)")


class Writes:
    """What a batch writes, gathered so that it costs few round trips: one for all small parts, one per large table.

    The small parts become one statement of data-modifying CTEs. No part reads a table that another writes, so their
    order does not matter (PostgreSQL manual, section 7.8.4).
    """

    def __init__(self, copy_from: int = COPY_FROM) -> None:
        """Write nothing yet; tables of facts that get ``copy_from`` values or more will go by COPY."""
        self._copy_from = copy_from
        self._parts: list[tuple[str, Sequence[Any]]] = []
        self._copies: list[tuple[Facts, Sequence[tuple[Any, ...]], datetime]] = []

    def add(self, facts: Facts, rows: Sequence[tuple[Any, ...]], now: datetime) -> None:
        """Add ``rows`` to a table of facts, in order, all of the moment ``now``."""
        if len(rows) * len(facts.columns) >= self._copy_from:
            self._copies.append((facts, rows, now))
        else:
            self.change(facts.statement, rows, now)

    def change(self, statement: str, rows: Sequence[tuple[Any, ...]], *more: Any) -> None:
        """Run ``statement`` with the columns of ``rows`` as its arrays, and ``more`` after them."""
        if rows:
            self._parts.append((statement, [*map(list, zip(*rows, strict=True)), *more]))

    def follow(self, statement: str) -> None:
        """Run ``statement`` on the rows that the part just added returns, which it calls `part_before`."""
        self._parts.append((statement, []))

    async def send(self, tx: Tx) -> None:
        """Write it all."""
        if self._parts:
            values = [value for _, part in self._parts for value in part]
            await tx.execute(_joined(tuple((statement, len(part)) for statement, part in self._parts)), *values)
        for facts, rows, now in self._copies:
            source = BytesIO(copying.table_of(rows, facts.pack, copying.moment_field(now)))
            await tx.copy_to_table(facts.table, source=source, columns=facts.columns, format="binary")


@lru_cache(256)
def _joined(parts: tuple[tuple[str, int], ...]) -> str:
    """Make one statement of several, each with its number of parameters; the same parts give the same text."""
    statements: list[str] = []
    before = 0
    for number, (statement, count) in enumerate(parts):
        # `before` is bound now: the substitution runs within this turn of the loop.
        placed = _PLACE.sub(lambda place, shift=before: f"${int(place[1]) + shift}", statement)
        statements.append(placed.replace("part_before", f"part{number - 1}"))
        before += count
    *firsts, last = statements
    if not firsts:
        return last
    ctes = ", ".join(f"part{number} AS ({statement})" for number, statement in enumerate(firsts))
    return f"WITH {ctes} {last}"


def save_accounts(
    writes: Writes, changed: Collection[Account], known: Mapping[AccountKey, Account], now: datetime
) -> int:
    """Update the accounts that were loaded, open those that were not; gives how many promises that makes.

    An account is promised anew when it opens or stands another way: a posting promises nothing.
    """
    fresh = [(*account.facts, *account[1:]) for account in changed if account.facts.id not in known]
    # A key that another process is about to insert is waited for like a lock: so in the one order of locks as well.
    fresh.sort(key=itemgetter(0))
    old = [(account[0].id, *account[1:]) for account in changed if account.facts.id in known]
    restood = [(one[0], one[1]) for one in old if one[1] is not known[one[0]].standing]
    if fresh:
        writes.change(_OPEN_ACCOUNTS, fresh, now)
        writes.follow(promises.OPENED)
    writes.change(_UPDATE_ACCOUNTS, old)
    writes.change(promises.RESTOOD, restood, now)
    return len(fresh) + len(restood)


@lru_cache(100_000)
def _uuid_text(uuid: UUID) -> str:
    """Write a UUID as JSON has it; remembered, because accounts come again and again."""
    return f'"{uuid}"'


def _postings(movements: tuple[Movement, ...]) -> str:
    """Write the postings' column: debit, its version, credit, its version, amount, currency, reversed posting."""
    rows = [
        f'[{_uuid_text(debit[0])},{debit_version},{_uuid_text(credit[0])},{credit_version},{amount},"{currency}",'
        f"{'null' if undoes is None else undoes}]"
        for debit, debit_version, credit, credit_version, amount, currency, undoes in movements
    ]
    return f"[{','.join(rows)}]"


def save_transfers(writes: Writes, transfers: Sequence[Transfer], now: datetime) -> None:
    """Write the facts of the transfers; their entries are written by `save_entries`."""
    rows = [
        (
            transfer.id,
            transfer.kind,
            _postings(transfer.movements),
            transfer.on_behalf_of,
            transfer.reference,
            orjson.dumps(transfer.metadata).decode() if transfer.metadata else "{}",
            transfer.reverses,
            transfer.hold,
            transfer.effective_at,
        )
        for transfer in transfers
    ]
    writes.add(TRANSFERS, rows, now)


def save_unsealed(writes: Writes, transfers: int, promised: int, now: datetime) -> None:
    """Queue the commit's transfers and promises for the sealer: one row, however many they are."""
    if transfers or promised:
        writes.change(_UNSEALED, [(now, transfers, promised)])


def save_entries(writes: Writes, rows: Sequence[EntryRow], now: datetime) -> None:
    """Write entries."""
    records = [
        (
            after[0].id,
            after[6],
            side,
            layer,
            amount,
            after[2],
            after[3],
            after[4],
            after[5],
            transfer,
            hold,
            effective_at,
        )
        for (side, layer, amount, after), transfer, hold, effective_at in rows
    ]
    writes.add(ENTRIES, records, now)


_DATED_SUMS: Final = f"""
INSERT INTO dated_sums (account_id, level, bucket, version, debits_posted, credits_posted, debits_pending,
                        credits_pending)
SELECT account_id, level, bucket, version, debits_posted, credits_posted, debits_pending, credits_pending
FROM (
    SELECT e.account_id, l.level, e.moment >> ({BITS} * l.level) AS bucket, e.version,
           coalesce(before.debits_posted, 0) + sum(e.debits_posted) OVER sums AS debits_posted,
           coalesce(before.credits_posted, 0) + sum(e.credits_posted) OVER sums AS credits_posted,
           coalesce(before.debits_pending, 0) + sum(e.debits_pending) OVER sums AS debits_pending,
           coalesce(before.credits_pending, 0) + sum(e.credits_pending) OVER sums AS credits_pending,
           lead(e.version) OVER sums IS NULL AS is_last
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
         AS e(account_id, version, moment, debits_posted, credits_posted, debits_pending, credits_pending)
    CROSS JOIN (SELECT generate_series(0, {LEVEL_MAX})::smallint AS level) l
    LEFT JOIN LATERAL (
        SELECT s.* FROM dated_sums s
        WHERE s.account_id = e.account_id AND s.level = l.level AND s.bucket = e.moment >> ({BITS} * l.level)
        ORDER BY s.version DESC LIMIT 1
    ) before ON true
    WINDOW sums AS (PARTITION BY e.account_id, l.level, e.moment >> ({BITS} * l.level) ORDER BY e.version)
) running
WHERE level IN (0, {LEVEL_MAX}) OR is_last
"""  # noqa: S608 - our own numbers


def save_dated_sums(writes: Writes, rows: Sequence[EntryRow], now: datetime) -> None:
    """Add the entries that are effective at another moment than ``now`` to the sums of their stretches of time.

    Between the finest level and all of time one row per stretch and batch is enough: what is known at a moment ends
    with a batch. The finest and the whole are kept for every entry, so that a statement can stop in a batch's midst.
    """
    records = [
        (after[0].id, after[6], micros_of(effective_at), *fold(EMPTY, side, layer, amount))
        for (side, layer, amount, after), _, _, effective_at in rows
        if effective_at != now
    ]
    writes.change(_DATED_SUMS, records)


def save_holds(writes: Writes, holds: Iterable[Hold]) -> None:
    """Write holds that were placed and those that moved on."""
    rows = [(hold[0], hold[1].id, *hold[2:]) for hold in holds]
    writes.change(_SAVE_HOLDS, rows)


def save_reversals(writes: Writes, originals: Iterable[Original]) -> None:
    """Write how much of each posting is reversed by now."""
    rows = [
        (original.id, number, movement.amount_minor, done)
        for original in originals
        for number, (movement, done) in enumerate(zip(original.movements, original.reversed_minor, strict=True))
        if done
    ]
    writes.change(_SAVE_REVERSALS, rows)


def save_outcomes(writes: Writes, rows: Sequence[OutcomeRow], now: datetime) -> None:
    """Remember what ids were answered."""
    writes.add(OUTCOMES, rows, now)


def save_events(
    writes: Writes, posted: Sequence[tuple[str, TransferKey]], rows: Sequence[EventRow], now: datetime
) -> None:
    """Write events to the outbox, in order: first that transfers were posted, each with its trace, then the others."""
    named = [_posted_row(posted[start : start + POSTED_PER_ROW]) for start in range(0, len(posted), POSTED_PER_ROW)]
    writes.add(EVENTS, [*named, *rows], now)


def _posted_row(posted: Sequence[tuple[str, TransferKey]]) -> EventRow:
    """Name transfers for the relay, which tells their events from the facts: runs of one trace, `[trace, [id, …]]`."""
    runs = [(trace, [id_ for _, id_ in run]) for trace, run in groupby(posted, itemgetter(0))]
    (trace, first), *_ = posted
    return EventRow(first, f"{first}", TRANSFERS_POSTED, 1, orjson.dumps(runs).decode(), trace)
