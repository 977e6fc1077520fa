"""Entries: each account's chain without a gap, accounts as the last entry leaves them, transfers entry for entry."""

from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import TransferId, WalletId
from ledgerlink_contracts.wallet.chart import WALLET_ROOT, root_of
from ledgerlink_contracts.wallet.models import Standing
from ledgerlink_kit.invariants import DIFFERENCES_MAX
from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_wallet.domain.fold import EMPTY, Columns, fold
from ledgerlink_wallet.domain.parties import account_key, account_wire
from ledgerlink_wallet.queries.auditing.looking import (
    STREAM_ROWS,
    Check,
    Looked,
    Notes,
    Sides,
    Tick,
    fingerprints_fit,
    set_check,
    what_differs,
)

_TICK_ROWS: Final = 100_000
_EFFECT: Final = {  # column: what adds to it, what takes from it
    "debits_posted": ("debit", "posted", ""),
    "credits_posted": ("credit", "posted", ""),
    "debits_pending": ("debit", "pending", "released"),
    "credits_pending": ("credit", "pending", "released"),
}


def _broken_column(column: str) -> str:
    side, adds, takes = _EFFECT[column]
    less = f" WHEN layer = '{takes}' THEN -amount_minor" if takes else ""
    moved = f"CASE WHEN side <> '{side}' THEN 0 WHEN layer = '{adds}' THEN amount_minor{less} ELSE 0 END"
    return f"{column} <> coalesce(lag({column}) OVER chain, 0) + {moved}"


# Reads entries in the order of their key and remembers one row back: as little memory for a hundred million as for ten.
# Beside what is broken, every so-many-th row is given, so that whoever waits sees how far it is.
_CHAIN: Final = text(
    f"""
SELECT account_id, version, before, side, layer, amount_minor, debits_posted, credits_posted, debits_pending,
       credits_pending, transfer_id, effective_at, recorded_at, dp, cp, dq, cq, place, broken
FROM (SELECT *, row_number() OVER () AS place, coalesce(lag(version) OVER chain, 0) AS before,
             coalesce(lag(debits_posted) OVER chain, 0) AS dp, coalesce(lag(credits_posted) OVER chain, 0) AS cp,
             coalesce(lag(debits_pending) OVER chain, 0) AS dq, coalesce(lag(credits_pending) OVER chain, 0) AS cq,
             version <> coalesce(lag(version) OVER chain, 0) + 1
             OR {" OR ".join(_broken_column(column) for column in _EFFECT)}
             OR side NOT IN ('debit', 'credit') OR layer NOT IN ('posted', 'pending', 'released')
             OR transfer_id IS NULL AND effective_at <> recorded_at AS broken
      FROM entries WINDOW chain AS (PARTITION BY account_id ORDER BY version)) AS checked
WHERE broken OR place % {_TICK_ROWS} = 0
"""  # noqa: S608 - our own names
)
_COUNT: Final = text("SELECT count(*) FROM entries")


async def _chain(view: AsyncConnection, tick: Tick) -> Looked:
    notes = Notes()
    # A row at a time: a tick that waits for a full chunk is told too late.
    result = await view.stream(_CHAIN, execution_options={"yield_per": 1})
    async for row in result:
        if row.broken:
            notes.add(_told(row))
        if len(notes.differences) == DIFFERENCES_MAX:
            # A row at a time is no way to read a table that is broken throughout.
            await result.close()
            break
        tick(row.place)
    return Looked(await view.scalar(_COUNT) or 0, notes.differences)


def _told(row: Row[Any]) -> str:
    name = f"{account_wire(row.account_id)} version {row.version}"
    if row.version != row.before + 1:
        return f"{name} follows version {row.before}"
    if row.transfer_id is None and row.effective_at != row.recorded_at:
        return f"{name}: a step of a hold, effective at {row.effective_at} and recorded at {row.recorded_at}"
    said = Columns(row.debits_posted, row.credits_posted, row.debits_pending, row.credits_pending)
    try:
        ours = fold(Columns(row.dp, row.cp, row.dq, row.cq), row.side, row.layer, row.amount_minor)
    except KeyError:
        return f"{name}: there is no side {row.side!r} in layer {row.layer!r}"
    return f"{name}: the entry says {said}, its history adds up to {ours}"


_ACCOUNTS: Final = text(
    """
SELECT a.*, w.id IS NOT NULL AS has_wallet, w.opened_at AS wallet_opened_at,
       w.currency AS wallet_currency, f.recorded_at AS first_at,
       coalesce(l.version, 0) AS last, coalesce(l.debits_posted, 0) AS dp, coalesce(l.credits_posted, 0) AS cp,
       coalesce(l.debits_pending, 0) AS dq, coalesce(l.credits_pending, 0) AS cq
FROM accounts a LEFT JOIN wallets w ON w.id = a.wallet_id
LEFT JOIN LATERAL (SELECT * FROM entries e WHERE e.account_id = a.id ORDER BY e.version DESC LIMIT 1) l ON true
LEFT JOIN LATERAL (SELECT recorded_at FROM entries e WHERE e.account_id = a.id ORDER BY e.version LIMIT 1) f ON true
"""
)
_STRAYS: Final = text(
    "SELECT DISTINCT e.account_id FROM entries e WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.id = e.account_id) "
    "LIMIT :most"
)


async def _accounts(view: AsyncConnection, tick: Tick) -> Looked:
    notes = Notes()
    examined, versions = 0, 0
    result = await view.stream(_ACCOUNTS, execution_options={"yield_per": STREAM_ROWS})
    async for chunk in result.partitions():
        for row in chunk:
            versions += row.last
            _account(row, notes)
        examined += len(chunk)
        tick(examined)
    # Chains have no gaps (the check before says so), so the last versions add up to the number of entries.
    if versions != await view.scalar(_COUNT):
        for row in await view.execute(_STRAYS, {"most": DIFFERENCES_MAX}):
            notes.add(f"{account_wire(row.account_id)}: entries without an account")
    return Looked(examined, notes.differences)


def _account(row: Row[Any], notes: Notes) -> None:
    name = f"{account_wire(row.id)} ({row.code} {row.currency})"
    root = root_of(row.code)
    if root is None or (row.normal_side, row.may_overdraw) != (root.normal_side, root.may_overdraw):
        notes.add(f"{name}: not as the chart of accounts has it")
    if row.id != account_key(row.code, row.currency):
        notes.add(f"{name}: the id is not the one that code and currency give")
    of_wallet = None if row.wallet_id is None else f"{WALLET_ROOT}:{WalletId(row.wallet_id)}"
    if of_wallet != (row.code if row.code.startswith(f"{WALLET_ROOT}:") else None):
        notes.add(f"{name}: a wallet without its code, or the code without its wallet")
    if row.standing not in set(Standing):
        notes.add(f"{name}: there is no standing {row.standing!r}")
    # Opened by its wallet, or by its first entry, or by a command of its own before that.
    last, first = row.first_at or row.opened_at, row.wallet_opened_at or row.opened_at
    if not first <= row.opened_at <= (first if row.currency == row.wallet_currency else last):
        notes.add(
            f"{name}: opened at {row.opened_at}, its wallet at {row.wallet_opened_at}, first used at {row.first_at}"
        )
    said = Columns(row.debits_posted, row.credits_posted, row.debits_pending, row.credits_pending)
    columns = Columns(row.dp, row.cp, row.dq, row.cq) if row.last else EMPTY
    if (said, row.version) != (columns, row.last):
        notes.add(
            f"{name}: the account says {said} at version {row.version}, its entries say {columns} at version {row.last}"
        )


# Bounds are set when an account is opened and never changed, so all of its history keeps to them.
_BOUNDS: Final = f"""
SELECT a.id AS account_id, e.version, a.floor_minor, a.ceiling_minor
FROM accounts a LEFT JOIN entries e ON e.account_id = a.id
WHERE (a.floor_minor IS NOT NULL OR a.ceiling_minor IS NOT NULL)
  AND (a.floor_minor NOT BETWEEN {-MAX_MINOR} AND 0 OR a.ceiling_minor NOT BETWEEN 0 AND {MAX_MINOR}
       OR a.floor_minor < 0 AND a.wallet_id IS NOT NULL
       OR a.floor_minor > CASE a.normal_side WHEN 'credit' THEN e.credits_posted - e.debits_posted - e.debits_pending
                                             ELSE e.debits_posted - e.credits_posted - e.credits_pending END
       OR a.ceiling_minor < CASE a.normal_side WHEN 'credit' THEN e.credits_posted - e.debits_posted
                                               ELSE e.debits_posted - e.credits_posted END)
"""  # noqa: S608 - our own numbers

# The two entries of each posting, made from the transfer as it is stored.
_OF_TRANSFERS: Final = """
SELECT t.id AS transfer_id, s.account_id::uuid AS account_id, s.version::bigint AS version, s.side,
       (p.value ->> 4)::bigint AS amount_minor, p.value ->> 5 AS currency, t.hold_id, t.effective_at, t.recorded_at
FROM transfers t CROSS JOIN LATERAL jsonb_array_elements(t.postings) p
CROSS JOIN LATERAL (VALUES ('debit', p.value ->> 0, p.value ->> 1), ('credit', p.value ->> 2, p.value ->> 3))
     AS s(side, account_id, version)
"""
_OF_ENTRIES: Final = """
SELECT e.transfer_id, e.account_id, e.version, e.side, e.amount_minor, a.currency, e.hold_id, e.effective_at,
       e.recorded_at
FROM entries e LEFT JOIN accounts a ON a.id = e.account_id WHERE e.layer = 'posted'
"""
_SIDES: Final = Sides(
    _OF_ENTRIES,
    _OF_TRANSFERS,
    (
        "transfer_id",
        "account_id",
        "version",
        "side",
        "amount_minor",
        "currency",
        "hold_id",
        "effective_at",
        "recorded_at",
    ),
    ("account_id", "version", "transfer_id"),
    "transfer_id",
)


async def _postings(view: AsyncConnection, _tick: Tick) -> Looked:
    def tell(key: dict[str, Any], ours: dict[str, Any] | None, theirs: Any) -> str:
        name = f"{TransferId(key['transfer_id'])}, {account_wire(key['account_id'])} version {key['version']}"
        return f"{name}: {what_differs(ours, theirs, 'entry', 'posting')}"

    return await fingerprints_fit(view, _SIDES, tell)


ENTRY_CHECKS: Final = (
    Check(
        "entries_chain",
        "Every account's entries follow each other without a gap, and each carries the balances that result",
        _chain,
        entries=True,
    ),
    Check(
        "accounts_equal_their_entries",
        "Every account stands as its last entry left it, and is as the chart has it",
        _accounts,
    ),
    set_check(
        "bounds_kept",
        "No account was ever below its floor or above its ceiling",
        "SELECT count(*) FROM accounts WHERE floor_minor IS NOT NULL OR ceiling_minor IS NOT NULL",
        _BOUNDS,
        "account {account_id} version {version}: not between its floor {floor_minor} and its ceiling {ceiling_minor}",
    ),
    Check(
        "transfers_equal_their_entries",
        "Postings and posted entries are the same, one for one, so every transfer balances in each currency",
        _postings,
    ),
)
