"""Transfers as they were posted."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import AccountId, HoldId, TransferId
from ledgerlink_contracts.wallet.events import TransferPosted
from ledgerlink_contracts.wallet.models import (
    EntryView,
    Layer,
    PostingView,
    Standing,
    TransferPage,
    TransferRecord,
    TransferView,
)
from ledgerlink_contracts.wallet.refusals import KINDS, RefusalCode
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.outbox import Said
from ledgerlink_kit.pagination import decode_cursor, encode_cursor
from ledgerlink_wallet.domain.books import Account, AccountFacts
from ledgerlink_wallet.queries.accounts import ACCOUNT_COLUMNS, account_of, balance_of
from ledgerlink_wallet.queries.cursors import cursor_at, place_in, version_in
from ledgerlink_wallet.queries.moments import MICROSECOND, NEWEST, version_at

_COLUMNS: Final = (
    "t.id, t.kind, t.postings, t.on_behalf_of, t.reference, t.metadata, t.reverses, t.hold_id, t.effective_at, "
    "t.recorded_at"
)
_THESE: Final = text(f"SELECT {_COLUMNS} FROM transfers t WHERE t.id = ANY(:ids)")  # noqa: S608 - our own names
_ONE: Final = text(f"SELECT {_COLUMNS} FROM transfers t WHERE t.id = :id")  # noqa: S608 - our own names
_PAGE: Final = (
    f"SELECT {_COLUMNS} FROM transfers t WHERE true {{filters}} "  # noqa: S608 - our own names
    "ORDER BY t.{order} DESC, t.id DESC LIMIT :limit"
)
# By effective time: the ordinary ones stand in the index by recorded time, the dated ones in one of their own.
_MERGED: Final = (
    "SELECT * FROM (({ordinary}) UNION ALL ({dated})) t ORDER BY t.effective_at DESC, t.id DESC LIMIT :limit"
)
_FILTERS: Final = {
    "kind": "AND t.kind = :kind",
    "metadata": "AND t.metadata @> CAST(:metadata AS jsonb) AND t.metadata != '{}'::jsonb",
    "reverses": "AND t.reverses = :reverses",
    "reference": "AND t.reference = :reference",
    "recorded_from": "AND t.recorded_at >= :recorded_from",
    "recorded_to": "AND t.recorded_at < :recorded_to",
    "effective_from": "AND t.effective_at >= :effective_from",
    "effective_to": "AND t.effective_at < :effective_to",
}
# One transfer can touch an account twice (a posting to it and one from it); each is listed once, at its last entry.
_OF_ACCOUNT: Final = text(
    f"SELECT {_COLUMNS}, e.version FROM entries e JOIN transfers t ON t.id = e.transfer_id "  # noqa: S608 - our own names
    "WHERE e.account_id = :account AND e.version > :after AND e.version < :before AND e.layer = 'posted' "
    "AND NOT EXISTS (SELECT FROM entries later WHERE later.account_id = e.account_id "
    "AND later.version BETWEEN e.version + 1 AND e.version + 200 AND later.transfer_id = e.transfer_id "
    "AND later.layer = 'posted') "
    "ORDER BY e.version DESC LIMIT :limit"
)
_ACCOUNTS: Final = text(f"SELECT {ACCOUNT_COLUMNS} FROM accounts a WHERE a.id = ANY(:ids)")  # noqa: S608 - our own names
_ENTRIES: Final = text(
    "SELECT e.* FROM unnest(CAST(:accounts AS uuid[]), CAST(:versions AS bigint[])) WITH ORDINALITY "
    "AS w(account_id, version, place) JOIN entries e USING (account_id, version) ORDER BY w.place"
)


def transfer_not_found(transfer: TransferId) -> Refused:
    """Refuse a transfer that does not exist, or that the caller may not see."""
    code = RefusalCode.TRANSFER_NOT_FOUND
    return Refused(KINDS[code], code.value, f"There is no transfer {transfer}.")


async def _facts(view: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, AccountFacts]:
    rows = await view.execute(_ACCOUNTS, {"ids": list(set(ids))})
    return {row.id: account_of(row).facts for row in rows}


def _account_ids(rows: Sequence[Row[Any]]) -> set[UUID]:
    return {UUID(posting[side]) for row in rows for posting in row.postings for side in (0, 2)}


def _record(row: Row[Any], facts: dict[UUID, AccountFacts]) -> dict[str, Any]:
    return {
        "id": TransferId(row.id),
        "kind": row.kind,
        "state": "posted",
        "postings": [
            PostingView(
                debit=facts[UUID(posting[0])].party,
                credit=facts[UUID(posting[2])].party,
                amount_minor=posting[4],
                currency=posting[5],
            )
            for posting in row.postings
        ],
        "on_behalf_of": row.on_behalf_of,
        "reference": row.reference,
        "metadata": row.metadata,
        "reverses": None if row.reverses is None else TransferId(row.reverses),
        "hold": None if row.hold_id is None else HoldId(row.hold_id),
        "effective_at": row.effective_at,
        "recorded_at": row.recorded_at,
    }


async def transfer(view: AsyncConnection, transfer_id: TransferId) -> TransferView:
    """Give one transfer with its entries. Raises `Refused` (`transfer-not-found`)."""
    row = (await view.execute(_ONE, {"id": transfer_id.uuid})).one_or_none()
    if row is None:
        raise transfer_not_found(transfer_id)
    facts = await _facts(view, _account_ids([row]))
    wanted: list[tuple[UUID, int]] = []
    if row.hold_id is not None:
        # A capture frees the held amount first: that entry stands right before the first posting's.
        wanted.append((UUID(row.postings[0][0]), row.postings[0][1] - 1))
    for debit, debit_version, credit, credit_version, *_ in row.postings:
        wanted += [(UUID(debit), debit_version), (UUID(credit), credit_version)]
    found = await view.execute(
        _ENTRIES, {"accounts": [one[0] for one in wanted], "versions": [one[1] for one in wanted]}
    )
    return TransferView(**_record(row, facts), entries=[_entry(facts[entry.account_id], entry) for entry in found])


async def posted_events(view: AsyncConnection, rows: Sequence[Row[Any]]) -> dict[UUID, list[Said]]:
    """Say `TransferPosted` for each of the transfers that the outbox's ``rows`` name, under the transfer's id.

    A row of an earlier release has no data and names one transfer by its own id.
    """
    named = {row.id: _named(row) for row in rows}
    found = (await view.execute(_THESE, {"ids": [id_ for runs in named.values() for _, id_ in runs]})).all()
    facts = await _facts(view, _account_ids(found))
    data = {one.id: TransferPosted(transfer=TransferRecord(**_record(one, facts))).model_dump_json() for one in found}
    kind, version = TransferPosted.event_type, TransferPosted.data_version
    return {
        row.id: [
            Said(id_, f"{TransferId(id_)}", kind, version, trace, row.occurred_at, data[id_])
            for trace, id_ in named[row.id]
        ]
        for row in rows
    }


def _named(row: Row[Any]) -> list[tuple[str, UUID]]:
    """Give the transfers that a row of the outbox names, each with its trace."""
    if row.data is None:
        return [(row.traceparent, row.id)]
    return [(trace, UUID(id_)) for trace, ids in orjson.loads(row.data) for id_ in ids]


def _entry(facts: AccountFacts, row: Row[Any]) -> EntryView:
    columns = (row.debits_posted, row.credits_posted, row.debits_pending, row.credits_pending)
    after = Account(facts, Standing.OPEN, *columns, row.version)
    return EntryView(
        account=AccountId(facts.id),
        party=facts.party,
        side=row.side,
        layer=Layer(row.layer),
        amount_minor=row.amount_minor,
        version=row.version,
        **balance_of(after).model_dump(),
    )


class TransferFilter(NamedTuple):
    """Which transfers. ``metadata`` is a JSON object that theirs must contain; periods are from on, and before."""

    kind: str | None = None
    metadata: str | None = None
    reverses: UUID | None = None
    reference: str | None = None
    recorded_from: datetime | None = None
    recorded_to: datetime | None = None
    effective_from: datetime | None = None
    effective_to: datetime | None = None

    @property
    def by_effective(self) -> bool:
        """Whether the page is in the order of effective time: what else is asked for has no few rows of its own."""
        few = (self.metadata, self.reverses, self.reference) != (None, None, None)
        return not few and (self.effective_from, self.effective_to) != (None, None)


def _page(wanted: TransferFilter, before: bool) -> str:  # noqa: FBT001 - says whether there is a cursor
    filters = " ".join(_FILTERS[name] for name, value in wanted._asdict().items() if value is not None)
    if not wanted.by_effective:
        turn = " AND (t.recorded_at, t.id) < (:before_at, CAST(:before_id AS uuid))" if before else ""
        return _PAGE.format(filters=filters + turn, order="recorded_at")
    dated = filters + (" AND (t.effective_at, t.id) < (:before_at, CAST(:before_id AS uuid))" if before else "")
    # An ordinary transfer's moments are one, so what is asked of one is asked of the other, which the index knows.
    ordinary = dated.replace("t.effective_at", "t.recorded_at")
    return _MERGED.format(
        ordinary=_PAGE.format(filters=f"{ordinary} AND t.effective_at = t.recorded_at", order="recorded_at"),
        dated=_PAGE.format(filters=f"{dated} AND t.effective_at <> t.recorded_at", order="effective_at"),
    )


async def transfers(view: AsyncConnection, wanted: TransferFilter, *, cursor: str | None, limit: int) -> TransferPage:
    """Give a page of transfers, newest first: by recorded time, or by effective time where that is asked for."""
    values: dict[str, Any] = {"limit": limit + 1}
    values |= {name: value for name, value in wanted._asdict().items() if value is not None}
    if cursor:
        values["before_at"], values["before_id"] = place_in(cursor)
    found = (await view.execute(text(_page(wanted, bool(cursor))), values)).all()
    shown = found[:limit]
    facts = await _facts(view, _account_ids(shown))
    next_cursor = None
    if len(found) > limit:
        moment = shown[-1].effective_at if wanted.by_effective else shown[-1].recorded_at
        next_cursor = cursor_at(moment, shown[-1].id)
    return TransferPage(items=[TransferRecord(**_record(row, facts)) for row in shown], next_cursor=next_cursor)


async def transfers_of_account(
    view: AsyncConnection,
    account: Account,
    recorded_from: datetime | None,
    recorded_to: datetime | None,
    *,
    cursor: str | None,
    limit: int,
) -> TransferPage:
    """Give a page of the transfers that touched an account in a period of recorded time, newest first."""
    after, before = 0, NEWEST
    if recorded_from is not None:
        after = await version_at(view, account, recorded_from - MICROSECOND)
    if recorded_to is not None:
        before = await version_at(view, account, recorded_to - MICROSECOND) + 1
    if cursor:
        before = min(before, version_in(decode_cursor(cursor, "version")["version"]))
    values = {"account": account.facts.id, "after": after, "before": before, "limit": limit + 1}
    found = (await view.execute(_OF_ACCOUNT, values)).all()
    shown = found[:limit]
    facts = await _facts(view, _account_ids(shown))
    return TransferPage(
        items=[TransferRecord(**_record(row, facts)) for row in shown],
        next_cursor=encode_cursor({"version": shown[-1].version}) if len(found) > limit else None,
    )
