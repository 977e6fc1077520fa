"""The audit: reads everything and shows that the books are whole, or where they are not.

The same checks serve `GET /audit`, the command line and the worker's scheduled invariants. Entries and accounts are
streamed side by side in the order of their keys, so memory stays bounded however long the books are; one read-only view
means that commits meanwhile disturb nothing.
"""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.wallet.chart import WALLET_ROOT, root_of
from ledgerlink_contracts.wallet.models import AuditCheckView, AuditView
from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import Database
from ledgerlink_kit.invariants import DIFFERENCES_MAX, Invariant
from ledgerlink_wallet.domain.fold import EMPTY, Columns, fold
from ledgerlink_wallet.domain.parties import account_key, account_wire
from ledgerlink_wallet.domain.stretches import BITS, LEVEL_MAX

_STREAM_ROWS: Final = 5_000


class Looked(NamedTuple):
    """What a check looked at, and the first differences that it found, in sentences."""

    examined: int
    differences: list[str]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold of the books."""

    name: str
    description: str
    look: Callable[[AsyncConnection], Awaitable[Looked]]


class _Notes:
    """Differences, no more than anybody reads."""

    def __init__(self) -> None:
        self.differences: list[str] = []

    def add(self, difference: str) -> None:
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(difference)


# Accounts against their entries.

_ALL_ACCOUNTS: Final = text(
    "SELECT id, code, currency, normal_side, may_overdraw, wallet_id, debits_posted, credits_posted, debits_pending, "
    "credits_pending, version FROM accounts ORDER BY id"
)
_ALL_ENTRIES: Final = text(
    "SELECT account_id, version, side, layer, amount_minor, debits_posted, credits_posted, debits_pending, "
    "credits_pending FROM entries ORDER BY account_id, version"
)


class _Accounts:
    """All accounts in the order of their ids, read in chunks; each is looked at as it is passed."""

    def __init__(self, view: AsyncConnection, notes: _Notes) -> None:
        self._view = view
        self._notes = notes
        self._rows = self._read()
        self._ahead: Row[Any] | None = None

    async def _read(self) -> AsyncGenerator[Row[Any]]:
        result = await self._view.stream(_ALL_ACCOUNTS, execution_options={"yield_per": _STREAM_ROWS})
        async for chunk in result.partitions():
            for row in chunk:
                yield row

    async def compare(self, account: UUID, columns: Columns, version: int) -> None:
        """Go on to ``account`` and compare it with the sum of its entries; accounts passed by must be empty."""
        while (row := await self._peek()) is not None and row.id <= account:
            self._ahead = None
            if row.id == account:
                self._match(row, columns, version)
                return
            self._match(row, EMPTY, 0)
        self._notes.add(f"{account_wire(account)} version {version}: entries without an account")

    async def _peek(self) -> Row[Any] | None:
        """Give the next account without passing it."""
        if self._ahead is None:
            self._ahead = await anext(self._rows, None)
        return self._ahead

    async def rest(self) -> None:
        """Look at the accounts that are left: none of them has entries."""
        while (row := await self._peek()) is not None:
            self._ahead = None
            self._match(row, EMPTY, 0)

    def _match(self, row: Row[Any], columns: Columns, version: int) -> None:
        _facts_hold(row, self._notes)
        said = Columns(row.debits_posted, row.credits_posted, row.debits_pending, row.credits_pending)
        if (columns, version) != (said, row.version):
            self._notes.add(
                f"{account_wire(row.id)} ({row.code} {row.currency}): the account says {said} at version "
                f"{row.version}, its entries add up to {columns} at version {version}"
            )


async def _fold_of_entries(view: AsyncConnection) -> Looked:
    notes = _Notes()
    accounts = _Accounts(view, notes)
    examined, current, columns, version = 0, None, EMPTY, 0
    entries = await view.stream(_ALL_ENTRIES, execution_options={"yield_per": _STREAM_ROWS})
    async for chunk in entries.partitions():
        examined += len(chunk)
        for account, next_version, side, layer, amount, *said in chunk:
            if account != current:
                if current is not None:
                    await accounts.compare(current, columns, version)
                current, columns, version = account, EMPTY, 0
            if next_version != version + 1:
                notes.add(f"{account_wire(account)}: version {next_version} follows version {version}")
            version = next_version
            columns = fold(columns, side, layer, amount)
            if columns != tuple(said):
                believed = Columns(*said)
                notes.add(
                    f"{account_wire(account)} version {version}: the entry says {believed}, "
                    f"its history adds up to {columns}"
                )
                # From here on the entry is believed, so that one wrong digit is told once and where it stands.
                columns = believed
    if current is not None:
        await accounts.compare(current, columns, version)
    await accounts.rest()
    return Looked(examined, notes.differences)


def _facts_hold(account: Row[Any], notes: _Notes) -> None:
    name = f"{account_wire(account.id)} ({account.code} {account.currency})"
    root = root_of(account.code)
    if root is None or (account.normal_side, account.may_overdraw) != (root.normal_side, root.may_overdraw):
        notes.add(f"{name}: not as the chart of accounts has it")
    if account.id != account_key(account.code, account.currency):
        notes.add(f"{name}: the id is not the one that code and currency give")
    if (account.wallet_id is not None) != account.code.startswith(f"{WALLET_ROOT}:"):
        notes.add(f"{name}: a wallet without its code, or the code without its wallet")


# Sets against sets: each statement finds what breaks the promise, and counts what it looked at.


async def _none_found(view: AsyncConnection, count: str, find: str, sentence: str) -> Looked:
    examined = await view.scalar(text(count)) or 0
    found = (await view.execute(text(f"{find} LIMIT {DIFFERENCES_MAX}"))).mappings().all()
    return Looked(examined, [sentence.format(**row) for row in found])


_BALANCED: Final = """
SELECT e.transfer_id, a.currency,
       sum(e.amount_minor) FILTER (WHERE e.side = 'debit') AS debits,
       sum(e.amount_minor) FILTER (WHERE e.side = 'credit') AS credits
FROM entries e JOIN accounts a ON a.id = e.account_id WHERE e.layer = 'posted' GROUP BY 1, 2
HAVING coalesce(sum(e.amount_minor) FILTER (WHERE e.side = 'debit'), 0)
    <> coalesce(sum(e.amount_minor) FILTER (WHERE e.side = 'credit'), 0)
"""
_POSTINGS: Final = """
SELECT t.id AS transfer_id, p.value AS posting FROM transfers t, jsonb_array_elements(t.postings) p
LEFT JOIN entries d ON d.account_id = (p.value ->> 0)::uuid AND d.version = (p.value ->> 1)::bigint
LEFT JOIN entries c ON c.account_id = (p.value ->> 2)::uuid AND c.version = (p.value ->> 3)::bigint
LEFT JOIN accounts x ON x.id = d.account_id LEFT JOIN accounts y ON y.id = c.account_id
WHERE (d.transfer_id, d.side, d.layer, d.amount_minor, x.currency,
       c.transfer_id, c.side, c.layer, c.amount_minor, y.currency)
   IS DISTINCT FROM
      (t.id, 'debit', 'posted', (p.value ->> 4)::bigint, p.value ->> 5,
       t.id, 'credit', 'posted', (p.value ->> 4)::bigint, p.value ->> 5)
"""
_STRAY_ENTRIES: Final = """
SELECT e.account_id, e.version FROM entries e LEFT JOIN transfers t ON t.id = e.transfer_id
WHERE e.layer = 'posted' AND NOT EXISTS (
    SELECT FROM jsonb_array_elements(t.postings) p
    WHERE (p.value ->> 0 = e.account_id::text AND (p.value ->> 1)::bigint = e.version)
       OR (p.value ->> 2 = e.account_id::text AND (p.value ->> 3)::bigint = e.version))
"""
_PENDING: Final = """
SELECT coalesce(a.id, h.account_id) AS account_id, coalesce(a.pending, 0) AS pending, coalesce(h.held, 0) AS held
FROM (SELECT id, debits_pending + credits_pending AS pending FROM accounts
      WHERE debits_pending + credits_pending > 0) a
FULL JOIN (SELECT account_id, sum(remaining_minor) AS held FROM holds WHERE state = 'placed' GROUP BY 1) h
     ON h.account_id = a.id
WHERE coalesce(a.pending, 0) <> coalesce(h.held, 0)
"""
_REVERSALS: Final = """
SELECT coalesce(r.transfer_id, u.reverses) AS transfer_id, coalesce(r.posting, u.posting) AS posting,
       coalesce(r.reversed_minor, 0) AS noted, coalesce(u.reversed, 0) AS reversed
FROM reversals r
FULL JOIN (SELECT t.reverses, (p.value ->> 6)::int AS posting, sum((p.value ->> 4)::bigint) AS reversed
           FROM transfers t, jsonb_array_elements(t.postings) p WHERE t.reverses IS NOT NULL GROUP BY 1, 2) u
     ON u.reverses = r.transfer_id AND u.posting = r.posting
LEFT JOIN transfers o ON o.id = coalesce(r.transfer_id, u.reverses)
WHERE coalesce(r.reversed_minor, 0) <> coalesce(u.reversed, 0)
   OR (o.postings -> coalesce(r.posting, u.posting) ->> 4)::bigint IS DISTINCT FROM r.posted_minor
"""
_OUTCOMES: Final = """
SELECT o.id, o.status FROM outcomes o LEFT JOIN transfers t ON t.id = o.id LEFT JOIN holds h ON h.id = o.id
WHERE (o.status < 400) <> (t.id IS NOT NULL OR h.id IS NOT NULL)
"""
_TRIAL: Final = """
SELECT currency, sum(debits_posted) AS debits, sum(credits_posted) AS credits FROM accounts GROUP BY 1
HAVING sum(debits_posted) <> sum(credits_posted)
"""
_OWNERLESS: Final = """
SELECT a.id AS account_id FROM accounts a LEFT JOIN wallets w ON w.id = a.wallet_id
WHERE a.wallet_id IS NOT NULL AND (w.id IS NULL OR a.debits_posted + a.debits_pending > a.credits_posted)
"""
# From open to frozen to closed, an account goes at least as far as its wallet.
_STANDINGS: Final = """
SELECT a.id AS account_id, a.standing, p.standing AS wallet_standing
FROM wallet_profiles p JOIN accounts a ON a.wallet_id = p.wallet_id
WHERE p.standing = 'frozen' AND a.standing = 'open' OR p.standing = 'closed' AND a.standing <> 'closed'
"""
# An owner's spending is a part of what left the account: all that was posted or reserved there.
_SPENDING: Final = """
SELECT u.account_id, u.day_minor, u.month_minor FROM spending u CROSS JOIN LATERAL (
    SELECT coalesce(sum(e.amount_minor), 0) AS month,
           coalesce(sum(e.amount_minor) FILTER (WHERE e.recorded_at >= u.day::timestamp AT TIME ZONE 'UTC'), 0) AS day
    FROM entries e WHERE e.account_id = u.account_id AND e.side = 'debit' AND e.layer <> 'released'
    AND e.recorded_at >= u.month::timestamp AT TIME ZONE 'UTC'
) e WHERE u.day_minor > e.day OR u.month_minor > e.month
"""
_EXCHANGES: Final = """
SELECT q.id, q.transfer_id FROM exchange_quotes q JOIN transfers t ON t.id = q.transfer_id
WHERE jsonb_array_length(t.postings) <> 2 OR t.kind <> 'wallet.exchange'
   OR (t.postings -> 0 -> 4, t.postings -> 0 ->> 5, t.postings -> 1 -> 4, t.postings -> 1 ->> 5) IS DISTINCT FROM
      (to_jsonb(q.sell_minor), q.sell_currency, to_jsonb(q.buy_minor), q.buy_currency)
   OR t.recorded_at >= q.expires_at
"""
# Every row that should stand is made from the entries anew; of those between level 0 and all of time a batch may leave
# out all but its last, so a sum that is there must be right, and the last one must be there.
_DATED: Final = f"""
WITH running AS (
    SELECT e.account_id, l.level, e.moment >> ({BITS} * l.level) AS bucket, e.version,
           sum(e.amount * (e.side = 'debit' AND e.layer = 'posted')::int) OVER sums AS dp,
           sum(e.amount * (e.side = 'credit' AND e.layer = 'posted')::int) OVER sums AS cp,
           sum(e.amount * (e.side = 'debit' AND e.layer <> 'posted')::int) OVER sums AS dq,
           sum(e.amount * (e.side = 'credit' AND e.layer <> 'posted')::int) OVER sums AS cq,
           lead(e.version) OVER sums IS NULL AS is_last
    FROM (
        SELECT account_id, version, side, layer,
               CASE layer WHEN 'released' THEN -amount_minor ELSE amount_minor END AS amount,
               (extract(epoch FROM effective_at - timestamptz '1900-01-01 00:00:00Z') * 1000000)::bigint AS moment
        FROM entries WHERE effective_at <> recorded_at
    ) e CROSS JOIN (SELECT generate_series(0, {LEVEL_MAX}) AS level) l
    WINDOW sums AS (PARTITION BY e.account_id, l.level, e.moment >> ({BITS} * l.level) ORDER BY e.version)
)
SELECT account_id, level, bucket, version
FROM running r FULL JOIN dated_sums s USING (account_id, level, bucket, version)
WHERE (s.version IS NULL AND (r.is_last OR level IN (0, {LEVEL_MAX})))
   OR (s.version IS NOT NULL AND (r.dp, r.cp, r.dq, r.cq)
       IS DISTINCT FROM (s.debits_posted, s.credits_posted, s.debits_pending, s.credits_pending))
"""  # noqa: S608 - our own numbers


def _set_check(name: str, description: str, count: str, find: str, sentence: str) -> Check:
    return Check(name, description, partial(_none_found, count=count, find=find, sentence=sentence))


CHECKS: Final[Sequence[Check]] = (
    _set_check(
        "trial_balance",
        "In every currency all debits equal all credits",
        "SELECT count(DISTINCT currency) FROM accounts",
        _TRIAL,
        "{currency}: debits {debits}, credits {credits}",
    ),
    _set_check(
        "pending_equals_open_holds",
        "What is pending on an account is what its open holds still reserve",
        "SELECT count(*) FROM holds WHERE state = 'placed'",
        _PENDING,
        "account {account_id}: pending {pending}, open holds {held}",
    ),
    _set_check(
        "wallets_have_owners_and_funds",
        "Every wallet's account belongs to a wallet and is never below zero",
        "SELECT count(*) FROM accounts WHERE wallet_id IS NOT NULL",
        _OWNERLESS,
        "account {account_id}: no wallet, or below zero",
    ),
    _set_check(
        "accounts_stand_as_their_wallets",
        "No account of a frozen or closed wallet is more open than its wallet",
        "SELECT count(*) FROM wallet_profiles",
        _STANDINGS,
        "account {account_id}: {standing}, its wallet {wallet_standing}",
    ),
    _set_check(
        "reversals_match",
        "What is noted as reversed is what reversals posted, and never above what was posted",
        "SELECT count(*) FROM reversals",
        _REVERSALS,
        "transfer {transfer_id} posting {posting}: noted {noted}, reversed {reversed}",
    ),
    _set_check(
        "outcomes_match",
        "Every remembered success has its transfer or hold, and no remembered refusal has one",
        "SELECT count(*) FROM outcomes",
        _OUTCOMES,
        "outcome {id} with status {status}",
    ),
    _set_check(
        "transfers_balance",
        "Every transfer's entries balance in each currency",
        "SELECT count(*) FROM transfers",
        _BALANCED,
        "transfer {transfer_id}: {currency} debits {debits}, credits {credits}",
    ),
    _set_check(
        "postings_match_entries",
        "Every posting has its two entries, with its amount and currency",
        "SELECT coalesce(sum(jsonb_array_length(postings)), 0)::bigint FROM transfers",
        _POSTINGS,
        "transfer {transfer_id}: posting {posting}",
    ),
    _set_check(
        "entries_have_postings",
        "Every posted entry is one side of a posting",
        "SELECT count(*) FROM entries WHERE layer = 'posted'",
        _STRAY_ENTRIES,
        "account {account_id} version {version}",
    ),
    _set_check(
        "spending_is_part_of_the_debits",
        "What counts against an owner's limits left the account in the same day and month",
        "SELECT count(*) FROM spending",
        _SPENDING,
        "account {account_id}: counted {day_minor} in the day, {month_minor} in the month, more than left it",
    ),
    _set_check(
        "exchanges_match_quotes",
        "Every exchange moved what its quote offered, before the quote's end",
        "SELECT count(*) FROM exchange_quotes",
        _EXCHANGES,
        "quote {id}: transfer {transfer_id} is another exchange",
    ),
    _set_check(
        "dated_sums_match",
        "The sums by effective time are what the dated entries add up to",
        "SELECT count(*) FROM dated_sums",
        _DATED,
        "account {account_id} version {version}: the sum of stretch {level}/{bucket}",
    ),
    Check(
        "accounts_equal_their_entries",
        "Every account is the sum of its entries, without a gap, and as the chart has it",
        _fold_of_entries,
    ),
)
"""All checks, the cheap ones first."""


async def audit(
    db: Database, clock: Clock, checks: Sequence[Check] = CHECKS, told: Callable[[AuditCheckView], None] | None = None
) -> AuditView:
    """Run ``checks`` on one view of the books; ``told`` hears of each as it ends."""
    results: list[AuditCheckView] = []
    async with db.reading() as view:
        # Long books take long to read; the limit is for requests, and this is no ordinary one.
        await view.execute(text("SET LOCAL statement_timeout = 0"))
        for check in checks:
            started = time.monotonic()
            looked = await check.look(view)
            results.append(
                AuditCheckView(
                    name=check.name,
                    description=check.description,
                    examined=looked.examined,
                    differences=looked.differences,
                    seconds=round(time.monotonic() - started, 6),
                )
            )
            if told is not None:
                told(results[-1])
    return AuditView(clean=not any(one.differences for one in results), as_of=clock.now(), checks=results)


def _invariant(check: Check) -> Invariant:
    async def differences(view: AsyncConnection) -> list[str]:
        await view.execute(text("SET LOCAL statement_timeout = 0"))
        return (await check.look(view)).differences

    return Invariant(f"wallet_{check.name}", check.description, differences)


_OF_BALANCES: Final = frozenset(
    {
        "trial_balance",
        "pending_equals_open_holds",
        "wallets_have_owners_and_funds",
        "accounts_stand_as_their_wallets",
    }
)

INVARIANTS_OF_BALANCES: Final = tuple(_invariant(check) for check in CHECKS if check.name in _OF_BALANCES)
"""Checks of what stands now, for the worker: cheap enough for every minute, however long the books are."""

INVARIANTS_OF_HISTORY: Final = tuple(_invariant(check) for check in CHECKS if check.name not in _OF_BALANCES)
"""Checks that read the whole of the books, for the worker: now and then."""
