"""Loading what a batch touches: accounts under lock, and what their locks keep still."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import HoldState, Layer, Standing
from ledgerlink_wallet.domain.books import (
    Account,
    AccountFacts,
    AccountKey,
    Entry,
    Hold,
    HoldKey,
    Movement,
    Original,
    Transfer,
    TransferKey,
    WalletKey,
    ordered,
)
from ledgerlink_wallet.domain.orders import Posted
from ledgerlink_wallet.store import Tx


class StoredOutcome(NamedTuple):
    """What an id was answered before."""

    fields: bytes
    status: int
    body: bytes


_ACCOUNTS: Final = """
WITH locked AS MATERIALIZED (
    SELECT id, code, currency, normal_side, may_overdraw, wallet_id, floor_minor, ceiling_minor, standing,
           debits_posted, credits_posted, debits_pending, credits_pending, version
    FROM accounts WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
)
SELECT false AS is_known, seen.id AS asked, locked.*
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
            $8::bigint[]) AS seen(id, version, dp, cp, dq, cq, floor, ceiling)
LEFT JOIN locked USING (id)
WHERE locked.standing IS DISTINCT FROM 'open'
   OR (locked.version, locked.debits_posted, locked.credits_posted, locked.debits_pending, locked.credits_pending,
       locked.floor_minor, locked.ceiling_minor)
      IS DISTINCT FROM (seen.version, seen.dp, seen.cp, seen.dq, seen.cq, seen.floor, seen.ceiling)
UNION ALL
SELECT true, id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM (SELECT id FROM outcomes WHERE id = ANY($9::uuid[])
      UNION SELECT id FROM transfers WHERE id = ANY($9::uuid[])) known
"""
_OUTCOMES: Final = """
SELECT id, fields, status, body FROM outcomes WHERE id = ANY($1::uuid[])
UNION ALL SELECT id, NULL, NULL, NULL FROM transfers WHERE id = ANY($1::uuid[])
"""
_POSTED: Final = """
SELECT id, kind, postings::text AS postings, on_behalf_of, reference, metadata::text AS metadata, reverses, hold_id,
       effective_at, recorded_at
FROM transfers WHERE id = ANY($1::uuid[])
"""
_FACTS: Final = """
SELECT id, code, currency, normal_side, may_overdraw, wallet_id, floor_minor, ceiling_minor
FROM accounts WHERE id = ANY($1::uuid[])
"""
_ENTRIES_AT: Final = """
SELECT account_id, version, side, layer, amount_minor, debits_posted, credits_posted, debits_pending, credits_pending
FROM unnest($1::uuid[], $2::bigint[]) AS wanted(account_id, version) JOIN entries USING (account_id, version)
"""
_OWNERS: Final = "SELECT id, owner FROM wallets WHERE id = ANY($1::uuid[])"
_HOLD_ACCOUNTS: Final = """
SELECT h.id, h.account_id, a.currency FROM holds h JOIN accounts a ON a.id = h.account_id WHERE h.id = ANY($1::uuid[])
"""
_HOLDS: Final = """
SELECT id, account_id, state, amount_minor, captured_minor, remaining_minor, expires_at, on_behalf_of, reference,
       recorded_at
FROM holds WHERE id = ANY($1::uuid[])
"""
_ORIGINALS: Final = "SELECT id, reverses, postings::text AS postings FROM transfers WHERE id = ANY($1::uuid[])"
_REVERSED: Final = "SELECT transfer_id, posting, reversed_minor FROM reversals WHERE transfer_id = ANY($1::uuid[])"


_NEVER_SEEN: Final = (None,) * 7


class Locked(NamedTuple):
    """Accounts under lock, and those of the commands' ids that were used before."""

    accounts: dict[AccountKey, Account]
    known: set[UUID]


async def lock_accounts(
    tx: Tx, ids: Collection[AccountKey], seen: dict[AccountKey, Account], commands: Collection[UUID] = ()
) -> Locked:
    """Lock the accounts that exist, in the order of their ids (the one order of locks everywhere), and give them.

    ``seen`` holds some of them as they were seen before; it is brought up to date and becomes the answer. ``commands``
    are looked up on the way, as they were before the locks: an id that is used meanwhile stops the write, since every
    outcome is a row of its own.
    """
    states = [_NEVER_SEEN if (one := seen.get(id_)) is None else (one[6], *one[2:6], *one[0][6:8]) for id_ in ids]
    columns = zip(*states, strict=True) if states else [()] * len(_NEVER_SEEN)
    known: set[UUID] = set()
    for is_known, asked, id_, *row in map(tuple, await tx.fetch(_ACCOUNTS, list(ids), *columns, list(commands))):
        if is_known:
            known.add(asked)
        elif id_ is None:
            seen.pop(asked, None)
        else:
            facts = AccountFacts(id_, row[0], row[1], Side(row[2]), *row[3:7])
            seen[asked] = Account(facts, Standing(row[7]), *row[8:13])
    return Locked(seen, known)


async def load_outcomes(tx: Tx, ids: Iterable[UUID]) -> tuple[dict[UUID, StoredOutcome], list[UUID]]:
    """Give what the ids were answered before, and those of plain transfers, which speak for themselves.

    Transfers are asked as well, since they outlive their outcomes.
    """
    rows = [tuple(row) for row in await tx.fetch(_OUTCOMES, list(ids))]
    outcomes = {row[0]: StoredOutcome(*row[1:]) for row in rows if row[1] is not None}
    return outcomes, list({row[0] for row in rows if row[1] is None} - outcomes.keys())


async def load_posted(tx: Tx, ids: Collection[UUID]) -> list[Posted]:
    """Give the transfers with their entries, as they were when they were posted: facts, so no lock is needed."""
    rows = [(row, orjson.loads(row["postings"])) for row in await tx.fetch(_POSTED, ids)]
    made = [(UUID(m[side]), m[side + 1]) for _, postings in rows for m in postings for side in (0, 2)]
    accounts = await tx.fetch(_FACTS, list({account for account, _ in made}))
    facts = {row[0]: AccountFacts(row[0], row[1], row[2], Side(row[3]), *row[4:8]) for row in map(tuple, accounts)}
    found = await tx.fetch(_ENTRIES_AT, [one[0] for one in made], [one[1] for one in made])
    entries = {
        (row[0], row[1]): Entry(
            Side(row[2]),
            Layer(row[3]),
            row[4],
            Account(facts[row[0]], Standing.OPEN, row[5], row[6], row[7], row[8], row[1]),
        )
        for row in map(tuple, found)
    }
    return [_posted(row, postings, facts, entries) for row, postings in rows]


def _posted(
    row: asyncpg.Record,
    postings: list[list[Any]],
    facts: Mapping[AccountKey, AccountFacts],
    entries: Mapping[tuple[UUID, int], Entry],
) -> Posted:
    movements = tuple(
        Movement(facts[AccountKey(UUID(m[0]))], m[1], facts[AccountKey(UUID(m[2]))], *m[3:]) for m in postings
    )
    transfer = Transfer(
        row["id"],
        row["kind"],
        movements,
        row["on_behalf_of"],
        row["reference"],
        ordered(orjson.loads(row["metadata"])),
        row["reverses"],
        row["hold_id"],
        row["effective_at"],
        row["recorded_at"],
    )
    sides = [side for m in movements for side in ((m.debit.id, m.debit_version), (m.credit.id, m.credit_version))]
    return Posted(transfer, tuple(entries[side] for side in sides))


async def load_owners(tx: Tx, wallets: Iterable[WalletKey]) -> dict[WalletKey, str]:
    """Give the owners of the wallets that exist."""
    return {row["id"]: row["owner"] for row in await tx.fetch(_OWNERS, list(wallets))}


async def hold_accounts(tx: Tx, ids: Iterable[HoldKey]) -> dict[HoldKey, tuple[AccountKey, str]]:
    """Give the account and currency of each hold; a hold never changes its account, so no lock is needed."""
    return {row[0]: (row[1], row[2]) for row in await tx.fetch(_HOLD_ACCOUNTS, list(ids))}


async def load_holds(tx: Tx, ids: Iterable[HoldKey], accounts: Mapping[AccountKey, Account]) -> dict[HoldKey, Hold]:
    """Give the holds; ``accounts`` are those they stand on, whose locks keep them still."""
    return {
        row["id"]: Hold(
            row["id"],
            accounts[row["account_id"]].facts,
            HoldState(row["state"]),
            row["amount_minor"],
            row["captured_minor"],
            row["remaining_minor"],
            row["expires_at"],
            row["on_behalf_of"],
            row["reference"],
            row["recorded_at"],
        )
        for row in await tx.fetch(_HOLDS, list(ids))
    }


class OriginalRow(NamedTuple):
    """A transfer to be reversed, as stored; transfers never change, so no lock is needed."""

    id: TransferKey
    reverses: TransferKey | None
    postings: list[list[Any]]

    def accounts(self) -> set[AccountKey]:
        """Give the accounts that its postings touch."""
        return {AccountKey(UUID(posting[side])) for posting in self.postings for side in (0, 2)}


async def load_originals(tx: Tx, ids: Iterable[TransferKey]) -> list[OriginalRow]:
    """Give the transfers that exist."""
    return [
        OriginalRow(row["id"], row["reverses"], orjson.loads(row["postings"]))
        for row in await tx.fetch(_ORIGINALS, list(ids))
    ]


async def with_reversed(
    tx: Tx, rows: Sequence[OriginalRow], accounts: Mapping[AccountKey, Account]
) -> dict[TransferKey, Original]:
    """Complete originals with how much of them is reversed; the locks on ``accounts`` keep that still."""
    done = {
        (row["transfer_id"], row["posting"]): row["reversed_minor"]
        for row in await tx.fetch(_REVERSED, [row.id for row in rows])
    }
    return {
        row.id: Original(
            row.id,
            row.reverses,
            tuple(
                Movement(
                    accounts[AccountKey(UUID(debit))].facts,
                    debit_version,
                    accounts[AccountKey(UUID(credit))].facts,
                    credit_version,
                    amount,
                    currency,
                    undoes,
                )
                for debit, debit_version, credit, credit_version, amount, currency, undoes in row.postings
            ),
            tuple(done.get((row.id, number), 0) for number in range(len(row.postings))),
        )
        for row in rows
    }
