"""The tables that are only added to, each with the two ways of adding rows: arrays, and PostgreSQL's binary COPY.

The last column of each is the moment of the batch, which all its rows share.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

from ledgerlink_wallet.store import copying


class Facts(NamedTuple):
    """A table that is only added to: its columns, the statement that adds arrays of rows, a row's form in a COPY.

    A row has all columns but the last; the statement takes that as its last parameter, a COPY at each row's end.
    """

    table: str
    columns: tuple[str, ...]
    statement: str
    pack: Callable[[copying.Row], bytes]


def _facts(table: str, pack: Callable[[copying.Row], bytes], moment: str, /, **types: str) -> Facts:
    columns = (*types, moment)
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types.values(), 1))
    statement = (
        f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608 - our own names
        f"SELECT t.*, ${len(columns)}::timestamptz FROM unnest({arrays}) AS t"
    )
    return Facts(table, columns, statement, pack)


_TRANSFER_FIELDS: Final = (10).to_bytes(2)
_ENTRY_START: Final = Struct(">hi16siq")
_ENTRY_NUMBERS: Final = Struct(">iqiqiqiqiq")
_OUTCOME_FIELDS: Final = (5).to_bytes(2)
_EVENT_FIELDS: Final = (7).to_bytes(2)


def _pack_transfer(row: copying.Row) -> bytes:
    id_, kind, postings, on_behalf_of, reference, metadata, reverses, hold, effective_at = row
    return b"".join(
        (
            _TRANSFER_FIELDS,
            copying.uuid_field(id_),
            copying.word_field(kind),
            copying.jsonb_field(postings),
            copying.text_field(on_behalf_of),
            copying.text_field(reference),
            copying.jsonb_field(metadata),
            copying.uuid_field(reverses),
            copying.uuid_field(hold),
            copying.moment_field(effective_at),
        )
    )


def _pack_entry(row: copying.Row) -> bytes:
    account, version, side, layer, amount, *columns, transfer, hold, effective_at = row
    debits_posted, credits_posted, debits_pending, credits_pending = columns
    return b"".join(
        (
            _ENTRY_START.pack(13, 16, account.bytes, 8, version),
            copying.word_field(side),
            copying.word_field(layer),
            _ENTRY_NUMBERS.pack(8, amount, 8, debits_posted, 8, credits_posted, 8, debits_pending, 8, credits_pending),
            copying.uuid_field(transfer),
            copying.uuid_field(hold),
            copying.moment_field(effective_at),
        )
    )


def _pack_outcome(row: copying.Row) -> bytes:
    id_, fields, status, body = row
    return b"".join(
        (
            _OUTCOME_FIELDS,
            copying.uuid_field(id_),
            copying.bytes_field(fields),
            copying.smallint_field(status),
            copying.bytes_field(body),
        )
    )


def _pack_event(row: copying.Row) -> bytes:
    id_, aggregate, type_, version, data, traceparent = row
    return b"".join(
        (
            _EVENT_FIELDS,
            copying.uuid_field(id_),
            copying.text_field(aggregate),
            copying.word_field(type_),
            copying.smallint_field(version),
            copying.text_field(data),
            copying.text_field(traceparent),
        )
    )


TRANSFERS: Final = _facts(
    "transfers",
    _pack_transfer,
    "recorded_at",
    id="uuid",
    kind="text",
    postings="jsonb",
    on_behalf_of="text",
    reference="text",
    metadata="jsonb",
    reverses="uuid",
    hold_id="uuid",
    effective_at="timestamptz",
)
ENTRIES: Final = _facts(
    "entries",
    _pack_entry,
    "recorded_at",
    account_id="uuid",
    version="bigint",
    side="text",
    layer="text",
    amount_minor="bigint",
    debits_posted="bigint",
    credits_posted="bigint",
    debits_pending="bigint",
    credits_pending="bigint",
    transfer_id="uuid",
    hold_id="uuid",
    effective_at="timestamptz",
)
OUTCOMES: Final = _facts(
    "outcomes",
    _pack_outcome,
    "recorded_at",
    id="uuid",
    fields="bytea",
    status="smallint",
    body="bytea",
)
EVENTS: Final = _facts(
    "outbox",
    _pack_event,
    "occurred_at",
    id="uuid",
    aggregate="text",
    type="text",
    version="smallint",
    data="json",
    traceparent="text",
)
