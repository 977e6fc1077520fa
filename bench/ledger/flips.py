"""One digit of one row, changed by a superuser and put back: which rows, how, and how the audit is to name them.

The rows lie in the middle of what there is: of an account's history, of the leaves, of the commits.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Composed, Identifier, Literal
from seasoning import wallet
from work import ACCOUNTS, code

from ledgerlink_contracts.ids import AccountId, TransferId, WalletId
from ledgerlink_kit.ids import TypedId
from ledgerlink_wallet.domain.parties import account_key


def _wire(kind: type[TypedId]) -> Callable[[Any], str]:
    """Give what writes a key as the wire has ids of ``kind``."""

    def name(key: UUID) -> str:
        return str(kind(key))

    return name


def _entry(version: int) -> str:
    return f"{AccountId(_MIDDLE)} version {version}:"


class Flip(NamedTuple):
    """The row of ``table`` where ``row`` holds: ``column`` becomes ``new``. ``name`` makes its name of ``key``."""

    table: str
    row: str
    column: str
    new: str
    key: str
    name: Callable[[Any], str] = str
    checks: tuple[str, ...] = ()


_MIDDLE: Final = account_key(code(ACCOUNTS // 2), "GBP")
_DEEP: Final = f"account_id = '{_MIDDLE}' AND version = (SELECT version / 2 FROM accounts WHERE id = '{_MIDDLE}')"  # noqa: S608 - our own names
_SEASONED: Final = account_key("merchant:s77", "GBP")
_MIDDLE_LEAF: Final = "(SELECT max(leaf_index) / 2 FROM leaves)"
_BIT: Final = "set_byte(hash, 7, get_byte(hash, 7) # 1)"
_TREE: Final = ("tree_matches_what_is_stored",)


WITH_EVERYTHING: Final = (
    Flip(
        "entries", _DEEP, "amount_minor", "amount_minor + 1", "version",
        _entry,
    ),
)  # fmt: skip
"""Found by the whole audit."""

ALONE: Final = (
    Flip(
        "transfers", f"id = (SELECT transfer_id FROM entries WHERE {_DEEP})", "postings",  # noqa: S608 - our own names
        "jsonb_set(postings, '{0,4}', '2')", "id", _wire(TransferId), ("transfers_equal_their_entries",),
    ),
    Flip(
        "outcomes", f"id = (SELECT transfer_id FROM entries WHERE {_DEEP})", "recorded_at",  # noqa: S608 - our own names
        "recorded_at + interval '1 microsecond'", "id", str, ("outcomes_match",),
    ),
    Flip(
        "accounts", f"id = '{_MIDDLE}'", "credits_posted", "credits_posted + 10", "id",
        _wire(AccountId), ("accounts_equal_their_entries",),
    ),
    Flip("accounts", f"id = '{_SEASONED}'", "floor_minor", "floor_minor - 1", "id", str, ("promises_kept",)),
    Flip(
        "accounts", f"id = '{_MIDDLE}'", "opened_at", "opened_at - interval '1 microsecond'", "id", str,
        ("promises_kept",),
    ),
    Flip(
        "promises", f"subject = '{_SEASONED}'", "says", "jsonb_set(says, '{ceiling_minor}', '5078')", "subject", str,
        ("promises_kept",),
    ),
    Flip("wallet_profiles", f"wallet_id = '{wallet(198).uuid}'", "standing", "'open'", "wallet_id", str,
         ("promises_kept",)),
    Flip("spending_limits", "scope = 'everybody'", "day_minor", "day_minor + 1000000", "scope", "limits {}:".format,
         ("promises_kept",)),
    Flip("holds", "reference = 'S200'", "amount_minor", "amount_minor + 1", "id", str,
         ("holds_equal_their_history",)),
    Flip("reversals", "transfer_id = (SELECT reverses FROM transfers WHERE kind = 'reversal' ORDER BY id LIMIT 1)",
         "reversed_minor", "reversed_minor + 1", "transfer_id", str, ("reversals_match",)),
    Flip("dated_sums", f"account_id = '{_SEASONED}' AND level = 7", "credits_posted", "credits_posted + 1",
         "account_id", str, ("dated_sums_match",)),
)  # fmt: skip
"""Each found by one check alone."""

# A wrong hash breaks every checkpoint after it, and only the first differences are told: so that leaf is a late one.
IN_THE_TREE: Final = (
    Flip("wallets", f"id = '{wallet(200).uuid}'", "owner", "replace(owner, '200', '201')", "id",
         _wire(WalletId), _TREE),
    Flip("checkpoints", "size = (SELECT size FROM checkpoints ORDER BY size OFFSET 1 LIMIT 1)", "signed_at",
         "signed_at + interval '1 second'", "size", "checkpoint {}:".format, _TREE),
    Flip("transfers", f"id = (SELECT transfer_id FROM leaves WHERE leaf_index = {_MIDDLE_LEAF})", "kind",  # noqa: S608 - ours
         "'bench.hiscory'", "id", _wire(TransferId), _TREE),
    Flip("blocks", "level = 1 AND position = (SELECT max(position) / 2 FROM blocks WHERE level = 1)", "hash", _BIT,
         "position", "block {} of level 1".format, _TREE),
    Flip("leaves", "leaf_index = (SELECT max(leaf_index) - 50 FROM leaves)", "hash", _BIT, "leaf_index",
         "(leaf {})".format, _TREE),
)  # fmt: skip
"""One digit in each of these tables at once, found by one reading of the tree."""


@contextmanager
def flipped(superuser: str, flips: Sequence[Flip]) -> Generator[list[str]]:
    """Change one digit in each row, and put it back afterwards; gives how the audit is to name the rows."""
    names: list[str] = []
    undo: list[tuple[Composed, tuple[Any, ...]]] = []
    with psycopg.connect(superuser, autocommit=True) as connection:
        for flip in flips:
            table, column, row = Identifier(flip.table), Identifier(flip.column), SQL(flip.row)  # pyright: ignore[reportArgumentType] - ours
            read = SQL("SELECT {0}, {1}::text, pg_typeof({1})::text FROM {2} WHERE {3}")
            found = connection.execute(read.format(Identifier(flip.key), column, table, row)).fetchall()
            assert len(found) == 1, (flip, found)
            key, before, kind = found[0]
            change = SQL("UPDATE {} SET {} = {} WHERE {} RETURNING ctid::text, {}::text")
            new = SQL(flip.new)  # pyright: ignore[reportArgumentType] - ours
            place, after = connection.execute(change.format(table, column, new, row, column)).fetchall()[0]
            assert after != before, flip
            names.append(flip.name(key))
            back = SQL("UPDATE {} SET {} = CAST(%s AS {}) WHERE ctid = CAST({} AS tid)")
            undo.append((back.format(table, column, SQL(kind), Literal(place)), (before,)))
        yield names
        for statement, values in undo:
            assert connection.execute(statement, values).rowcount == 1
