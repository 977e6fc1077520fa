"""Transfers: post, read, list, reverse."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response

from ledgerlink_contracts.ids import TransferId
from ledgerlink_contracts.wallet.models import (
    Party,
    ReversalOrder,
    TransferKind,
    TransferOrder,
    TransferPage,
    TransferView,
)
from ledgerlink_contracts.wallet.receipts import ReceiptView
from ledgerlink_kit.auth import Caller
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.money import CurrencyCode
from ledgerlink_kit.pagination import PAGE_DEFAULT, PageCursor
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api.callers import (
    AnyReader,
    GivenRuntime,
    IdempotencyKey,
    LedgerLimit,
    LedgerWriter,
    WalletWriter,
    mandate_of,
    owner_filter,
    respond,
)
from ledgerlink_wallet.commands import ledger as commands
from ledgerlink_wallet.queries import transfers as queries
from ledgerlink_wallet.queries import tree, visibility
from ledgerlink_wallet.runtime import Runtime

router = APIRouter(prefix="/transfers", tags=["transfers"])

MetadataFilter = Annotated[
    list[str] | None,
    Query(
        alias="metadata", max_length=10, description="`key:value` that the transfer's metadata must hold; repeatable"
    ),
]


@router.post("", name="post_transfer", status_code=201, response_model=TransferView, responses=responses(404, 409))
async def post_transfer(
    order: TransferOrder, caller: WalletWriter, runtime: GivenRuntime, idempotency_key: IdempotencyKey = None
) -> Response:
    """Post 1 to 100 postings, all or none. The same id (or key) again gives the same bytes.

    With ledger:write any party may be named; otherwise money moves from the caller's own wallets to wallets.
    """
    return respond(await commands.post_transfer(runtime, mandate_of(caller, idempotency_key), order))


@router.get("", name="list_transfers", responses=responses(404))
async def list_transfers(
    caller: AnyReader,
    runtime: GivenRuntime,
    kind: TransferKind | None = None,
    metadata: MetadataFilter = None,
    reverses: TransferId | None = None,
    account: Annotated[Party | None, Query(description="A wallet, account id or code; all its transfers")] = None,
    currency: Annotated[CurrencyCode | None, Query(description="Needed beside `account` unless that is an id")] = None,
    limit: LedgerLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> TransferPage:
    """List transfers, newest first: all, by kind, metadata and what they reverse, or those of one account.

    Without ledger:read only the transfers of one's own wallets are listed, one wallet (`account`) at a time.
    """
    if account is not None:
        if kind is not None or metadata or reverses is not None:
            raise Refused(Kind.INVALID, "filters-apart", "`account` goes with no filter but `currency`.")
        return await _of_account(caller, runtime, account, currency, limit, cursor)
    if owner_filter(caller) is not None:
        raise Refused(
            Kind.INVALID, "account-needed", "Name one of your wallets as `account`; all transfers need ledger:read."
        )
    async with runtime.db.reading() as view:
        return await queries.transfers(
            view, kind=kind, metadata=_metadata(metadata), reverses=reverses, cursor=cursor, limit=limit
        )


async def _of_account(
    caller: Caller, runtime: Runtime, account: str, currency: str | None, limit: int, cursor: str | None
) -> TransferPage:
    async with runtime.db.reading() as view:
        key = await visibility.account_for(view, account, currency, owner_filter(caller))
        return await queries.transfers_of_account(view, key, cursor=cursor, limit=limit)


def _metadata(pairs: list[str] | None) -> str | None:
    if not pairs:
        return None
    wanted: dict[str, str] = {}
    for pair in pairs:
        key, colon, value = pair.partition(":")
        if not colon or not key or "\x00" in pair:
            raise Refused(Kind.UNPROCESSABLE, "invalid-metadata-filter", "Give `metadata` as `key:value`.")
        wanted[key] = value
    return orjson.dumps(wanted).decode()


@router.get("/{transfer}", name="get_transfer", responses=responses(404))
async def get_transfer(transfer: TransferId, caller: AnyReader, runtime: GivenRuntime) -> TransferView:
    """Give a transfer; without ledger:read only one that touches the caller's wallets, with their entries alone."""
    async with runtime.db.reading() as view:
        found = await queries.transfer(view, transfer)
        owner = owner_filter(caller)
        return found if owner is None else await visibility.own_side(view, found, owner)


@router.get("/{transfer}/receipt", name="get_receipt", responses=responses(404, 409))
async def get_receipt(transfer: TransferId, caller: AnyReader, runtime: GivenRuntime) -> ReceiptView:
    """Prove that the transfer stands in the ledger; `ledgerlink verify-receipt` and any verifier of RFC 6962 check it.

    409 `transfer-not-sealed` with Retry-After until a checkpoint covers it, which takes seconds.
    """
    async with runtime.db.reading() as view:
        owner = owner_filter(caller)
        if owner is not None:
            await visibility.own_side(view, await queries.transfer(view, transfer), owner)
        return await tree.receipt(view, transfer, runtime.checkpoint_key)


@router.post(
    "/{transfer}/reverse",
    name="reverse_transfer",
    status_code=201,
    response_model=TransferView,
    responses=responses(404, 409),
)
async def reverse_transfer(
    transfer: TransferId,
    order: ReversalOrder,
    caller: LedgerWriter,
    runtime: GivenRuntime,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Undo a transfer by an equal and opposite one, whole or in part."""
    return respond(await commands.reverse_transfer(runtime, mandate_of(caller, idempotency_key), transfer, order))
