"""What the committer sends: its own batch is run over a connection that only listens, and kept to be played.

So nothing here repeats the store's SQL, and a change of the store is measured the next time.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Final, NamedTuple, cast
from uuid import UUID

from ledgerlink_contracts.ids import TransferId
from ledgerlink_contracts.wallet.models import TransferOrder
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.ids import uuid7
from ledgerlink_kit.telemetry import new_traceparent
from ledgerlink_wallet.commands import batch
from ledgerlink_wallet.commands.ledger import transfer_from
from ledgerlink_wallet.domain.books import AccountKey
from ledgerlink_wallet.domain.parties import account_key
from ledgerlink_wallet.runtime import Owners
from ledgerlink_wallet.store import Tx, loading, writing

CURRENCY: Final = "GBP"


class Statement(NamedTuple):
    """SQL with its arguments, as the store gives them to a driver."""

    sql: str
    values: Sequence[Any]


class Copy(NamedTuple):
    """A COPY's table, columns and whole input in its binary format."""

    table: str
    columns: Sequence[str]
    rows: bytes


@dataclass(slots=True)
class Recorded:
    """One batch: what it asks for under lock, then what it writes. Nothing of the second waits for the first."""

    loads: list[Statement] = field(default_factory=list[Statement])
    changes: list[Statement] = field(default_factory=list[Statement])
    copies: list[Copy] = field(default_factory=list[Copy])


class _Listener:
    """Stands for a connection: writes down what it is told, and says that nothing was found."""

    def __init__(self) -> None:
        self.recorded = Recorded()

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        self.recorded.loads.append(Statement(sql, values))
        return []

    async def execute(self, sql: str, *values: Any) -> None:
        self.recorded.changes.append(Statement(sql, values))

    async def copy_to_table(self, table: str, *, source: BytesIO, columns: Sequence[str], format: str) -> None:
        assert format == "binary"
        self.recorded.copies.append(Copy(table, columns, source.getvalue()))


class Ledger:
    """The committer's side of one lane: it remembers its accounts as its last batch left them, like the committer."""

    def __init__(self) -> None:
        """Know no account."""
        self._seen = batch.Seen()
        self._owners = Owners()
        self._clock = SystemClock()
        self._posted: list[UUID] = []

    async def record(self, pairs: Sequence[tuple[int, int]], *, arrays: bool) -> Recorded:
        """Record the batch that moves 100 minor units from each first account to its second one.

        With ``arrays`` every table's rows go by arrays, whatever their number: the way of a driver without COPY.
        """
        listener = _Listener()
        asked = [batch.Asked(_transfer(*pair, id_=uuid7(self._clock.now())), "", new_traceparent()) for pair in pairs]
        copy_from = sys.maxsize if arrays else writing.COPY_FROM
        tx = cast("Tx", listener)
        done = await batch.run(tx, asked, self._owners, self._seen, self._clock, copy_from=copy_from)
        assert all(answer.status == 201 for answer in done.answers), done.answers[0].body
        self._seen.keep(done.accounts)
        self._posted.append(asked[0].command.id)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType, reportUnknownMemberType] - a transfer
        return listener.recorded

    async def record_cold_load(self, pairs: Sequence[tuple[int, int]]) -> Recorded:
        """Record the load of a batch of a committer that remembers nothing: all accounts come back.

        Every second id, from the second on, is one of a transfer that was posted before.
        """
        listener = _Listener()
        tx = cast("Tx", listener)
        await loading.lock_accounts(tx, {AccountKey(_key(number)) for pair in pairs for number in pair}, {})
        known = self._posted
        ids = [known[-1 - n % len(known)] if n % 2 else uuid7(self._clock.now()) for n in range(len(pairs))]
        await loading.load_outcomes(tx, ids)
        return listener.recorded


def _code(number: int) -> str:
    return f"merchant:m{number}"


def _key(number: int) -> UUID:
    return account_key(_code(number), CURRENCY)


def _transfer(debit: int, credit: int, *, id_: UUID) -> Any:
    posting = {"debit": _code(debit), "credit": _code(credit), "amount_minor": 100, "currency": CURRENCY}
    order = TransferOrder.model_validate({"kind": "bench.transfer", "postings": [posting]})
    return transfer_from(order, TransferId(id_), None)
