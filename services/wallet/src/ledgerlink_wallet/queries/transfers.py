"""Transfers and holds as they were posted and as they stand."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import AccountId, HoldId, TransferId, WalletId
from ledgerlink_contracts.wallet.models import (
    EntryView,
    HoldState,
    HoldView,
    Layer,
    PostingView,
    Standing,
    TransferPage,
    TransferRecord,
    TransferView,
)
from ledgerlink_contracts.wallet.refusals import KINDS, RefusalCode
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.pagination import decode_cursor, encode_cursor
from ledgerlink_wallet.domain.books import Account, AccountFacts
from ledgerlink_wallet.queries.accounts import ACCOUNT_COLUMNS, account_of, balance_of
from ledgerlink_wallet.queries.cursors import moment_in, uuid_in, version_in
from ledgerlink_wallet.queries.moments import NEWEST

_COLUMNS: Final = (
    "t.id, t.kind, t.postings, t.on_behalf_of, t.reference, t.metadata, t.reverses, t.hold_id, t.effective_at, "
    "t.recorded_at"
)
_ONE: Final = text(f"SELECT {_COLUMNS} FROM transfers t WHERE t.id = :id")  # noqa: S608 - our own names
_PAGE: Final = (
    f"SELECT {_COLUMNS} FROM transfers t WHERE true {{filters}} "  # noqa: S608 - our own names
    "ORDER BY t.recorded_at DESC, t.id DESC LIMIT :limit"
)
_FILTERS: Final = {
    "kind": "AND t.kind = :kind",
    "metadata": "AND t.metadata @> CAST(:metadata AS jsonb) AND t.metadata != '{}'::jsonb",
    "reverses": "AND t.reverses = :reverses",
    "before": "AND (t.recorded_at, t.id) < (:before_at, CAST(:before_id AS uuid))",
}
# One transfer can touch an account twice (a posting to it and one from it); each is listed once, at its last entry.
_OF_ACCOUNT: Final = text(
    f"SELECT {_COLUMNS}, e.version FROM entries e JOIN transfers t ON t.id = e.transfer_id "  # noqa: S608 - our own names
    "WHERE e.account_id = :account AND e.version < :before AND e.layer = 'posted' "
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
_HOLD: Final = text(
    f"SELECT h.id AS hold_id, h.state, h.amount_minor, h.captured_minor, h.remaining_minor, h.expires_at, "  # noqa: S608 - our own names
    f"h.on_behalf_of, h.reference, h.recorded_at, {ACCOUNT_COLUMNS} "
    "FROM holds h JOIN accounts a ON a.id = h.account_id WHERE h.id = :id"
)


def transfer_not_found(transfer: TransferId) -> Refused:
    """Refuse a transfer that does not exist, or that the caller may not see."""
    code = RefusalCode.TRANSFER_NOT_FOUND
    return Refused(KINDS[code], code.value, f"There is no transfer {transfer}.")


def hold_not_found(hold: HoldId) -> Refused:
    """Refuse a hold that does not exist, or that the caller may not see."""
    code = RefusalCode.HOLD_NOT_FOUND
    return Refused(KINDS[code], code.value, f"There is no hold {hold}.")


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


async def transfers(
    view: AsyncConnection,
    *,
    kind: str | None,
    metadata: str | None,
    reverses: TransferId | None,
    cursor: str | None,
    limit: int,
) -> TransferPage:
    """Give a page of transfers, newest first. ``metadata`` is a JSON object that theirs must contain."""
    values: dict[str, Any] = {"limit": limit + 1}
    filters: list[str] = []
    for name, value in (("kind", kind), ("metadata", metadata), ("reverses", reverses and reverses.uuid)):
        if value is not None:
            filters.append(_FILTERS[name])
            values[name] = value
    if cursor:
        position = decode_cursor(cursor, "at", "id")
        filters.append(_FILTERS["before"])
        values |= {"before_at": moment_in(position["at"]), "before_id": uuid_in(position["id"])}
    found = (await view.execute(text(_PAGE.format(filters=" ".join(filters))), values)).all()
    shown = found[:limit]
    facts = await _facts(view, _account_ids(shown))
    last = shown[-1] if len(found) > limit else None
    return TransferPage(
        items=[TransferRecord(**_record(row, facts)) for row in shown],
        next_cursor=encode_cursor({"at": last.recorded_at.isoformat(), "id": str(last.id)}) if last else None,
    )


async def transfers_of_account(view: AsyncConnection, account: UUID, *, cursor: str | None, limit: int) -> TransferPage:
    """Give a page of the transfers that touched an account, newest first."""
    before = version_in(decode_cursor(cursor, "version")["version"]) if cursor else NEWEST
    found = (await view.execute(_OF_ACCOUNT, {"account": account, "before": before, "limit": limit + 1})).all()
    shown = found[:limit]
    facts = await _facts(view, _account_ids(shown))
    return TransferPage(
        items=[TransferRecord(**_record(row, facts)) for row in shown],
        next_cursor=encode_cursor({"version": shown[-1].version}) if len(found) > limit else None,
    )


async def hold(view: AsyncConnection, hold_id: HoldId) -> HoldView:
    """Give a hold with its wallet's balances now. Raises `Refused` (`hold-not-found`)."""
    row = (await view.execute(_HOLD, {"id": hold_id.uuid})).one_or_none()
    if row is None:
        raise hold_not_found(hold_id)
    return HoldView(
        id=hold_id,
        wallet=WalletId(row.wallet_id),
        account=AccountId(row.id),
        state=HoldState(row.state),
        amount_minor=row.amount_minor,
        captured_minor=row.captured_minor,
        remaining_minor=row.remaining_minor,
        currency=row.currency,
        expires_at=row.expires_at,
        on_behalf_of=row.on_behalf_of,
        reference=row.reference,
        recorded_at=row.recorded_at,
        balance=balance_of(account_of(row)),
    )
