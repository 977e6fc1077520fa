"""Transfers: post, read, list, reverse."""

from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Header, Query, Response

from ledgerlink_contracts.ids import AccountId, TransferId
from ledgerlink_contracts.wallet.bulk import BulkOrder, BulkView
from ledgerlink_contracts.wallet.groups import GroupOrder, GroupView
from ledgerlink_contracts.wallet.models import (
    Moment,
    Party,
    ReversalOrder,
    TransferKind,
    TransferOrder,
    TransferPage,
    TransferView,
)
from ledgerlink_contracts.wallet.receipts import ReceiptView
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.hot import HotRequest, HotRoute, Reply
from ledgerlink_kit.money import CurrencyCode
from ledgerlink_kit.pagination import PAGE_DEFAULT, PageCursor
from ledgerlink_kit.problem import read_body, responses
from ledgerlink_kit.wire import Text
from ledgerlink_wallet.api.callers import (
    TRIED,
    AnyReader,
    DryRun,
    GivenRuntime,
    IdempotencyKey,
    LedgerLimit,
    LedgerWriter,
    RecordedFrom,
    RecordedTo,
    WalletWriter,
    ledger_writer,
    mandate_of,
    owner_filter,
    reply,
    respond,
    wallet_writer,
)
from ledgerlink_wallet.commands import bulk, groups
from ledgerlink_wallet.commands import ledger as commands
from ledgerlink_wallet.commands.ledger import Mandate
from ledgerlink_wallet.queries import transfers as queries
from ledgerlink_wallet.queries import tree, visibility
from ledgerlink_wallet.queries.accounts import account_row
from ledgerlink_wallet.runtime import Runtime

router = APIRouter(prefix="/transfers", tags=["transfers"])

MetadataFilter = Annotated[
    list[str] | None,
    Query(
        alias="metadata", max_length=10, description="`key:value` that the transfer's metadata must hold; repeatable"
    ),
]


@router.post(
    "", name="post_transfer", status_code=201, response_model=TransferView, responses=TRIED | responses(404, 409)
)
async def post_transfer(
    order: TransferOrder,
    caller: WalletWriter,
    runtime: GivenRuntime,
    idempotency_key: IdempotencyKey = None,
    *,
    dry_run: DryRun = False,
) -> Response:
    """Post 1 to 100 postings, all or none. The same id (or key) again gives the same bytes.

    With ledger:write any party may be named; otherwise money moves from the caller's own wallets to wallets.
    """
    mandate = mandate_of(caller, idempotency_key)
    return respond(await commands.post_transfer(runtime, mandate, order, dry_run=dry_run))


async def post_transfer_hot(request: HotRequest) -> Reply:
    """Answer `post_transfer` where nothing but its body and key is given, which is nearly always."""
    caller = await request.caller(wallet_writer)
    order = read_body(TransferOrder, request.body)
    mandate = mandate_of(caller, request.header(b"idempotency-key"))
    return reply(await commands.post_transfer(request.runtime, mandate, order))


@router.post("/bulk", name="post_bulk", response_model=BulkView)
async def post_bulk(
    order: BulkOrder,
    caller: LedgerWriter,
    runtime: GivenRuntime,
    idempotency_key: IdempotencyKey = None,
    prefer: Annotated[str | None, Header(description="`return=minimal` leaves the transfers out of the answer")] = None,
) -> Response:
    """Post up to 1,000 transfers, each for itself, sharing a commit: the way to move many.

    The answer has one item for each, in order, with the status that it would have had alone; one refused does not touch
    its neighbors. Without ids of their own they get theirs from the Idempotency-Key: the same bulk again is the same
    transfers. `Prefer: return=minimal` (RFC 7240, section 4.2) answers with the ids alone.
    """
    mandate = mandate_of(caller, idempotency_key)
    return (await _bulk(runtime, mandate, order, prefer)).response()


async def post_bulk_hot(request: HotRequest) -> Reply:
    """Answer `post_bulk`."""
    caller = await request.caller(ledger_writer)
    order = read_body(BulkOrder, request.body)
    mandate = mandate_of(caller, request.header(b"idempotency-key"))
    return await _bulk(request.runtime, mandate, order, request.header(b"prefer"))


async def _bulk(runtime: Runtime, mandate: Mandate, order: BulkOrder, prefer: str | None) -> Reply:
    minimal = prefer is not None and "return=minimal" in prefer
    posted = await bulk.post_bulk(runtime, mandate, order)
    headers = ((b"preference-applied", b"return=minimal"),) if minimal else ()
    return Reply(200, bulk.write_bulk(posted, minimal=minimal), headers=headers)


HOT: Final = (HotRoute("POST", "/transfers", post_transfer_hot), HotRoute("POST", "/transfers/bulk", post_bulk_hot))


@router.post(
    "/groups",
    name="post_group",
    status_code=201,
    response_model=GroupView,
    responses=TRIED | responses(404, 409),
)
async def post_group(
    order: GroupOrder,
    caller: LedgerWriter,
    runtime: GivenRuntime,
    idempotency_key: IdempotencyKey = None,
    *,
    dry_run: DryRun = False,
) -> Response:
    """Carry out transfers, holds, captures and reversals in one commit, in order, all or none.

    When one is refused, so are all: the problem is that of the first (`item`), and `items` has one for each, the others
    `linked-refused`. The same group again gives the same bytes; an id that was used for anything else is refused.
    """
    mandate = mandate_of(caller, idempotency_key)
    return respond(await groups.post_group(runtime, mandate, order, dry_run=dry_run))


@router.get("", name="list_transfers", responses=responses(404))
async def list_transfers(  # noqa: PLR0913 - one parameter of the query each
    *,
    caller: AnyReader,
    runtime: GivenRuntime,
    kind: TransferKind | None = None,
    metadata: MetadataFilter = None,
    reverses: TransferId | None = None,
    account: Annotated[Party | None, Query(description="A wallet, account id or code; all its transfers")] = None,
    currency: Annotated[CurrencyCode | None, Query(description="Needed beside `account` unless that is an id")] = None,
    reference: Annotated[Text | None, Query(description="Exactly this reference")] = None,
    recorded_from: RecordedFrom = None,
    recorded_to: RecordedTo = None,
    effective_from: Annotated[Moment | None, Query(description="Effective at this moment or later")] = None,
    effective_to: Annotated[Moment | None, Query(description="Effective before this moment")] = None,
    limit: LedgerLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> TransferPage:
    """List transfers, newest first: all, by kind, metadata, reference, time, what they reverse, or of one account.

    A period of effective time (alone or with kind and recorded time) puts them in the order of effective time.

    Without ledger:read only the transfers of one's own wallets are listed, one wallet (`account`) at a time.
    """
    wanted = queries.TransferFilter(
        kind,
        _metadata(metadata),
        reverses and reverses.uuid,
        reference,
        recorded_from,
        recorded_to,
        effective_from,
        effective_to,
    )
    owner = owner_filter(caller)
    if account is not None and wanted._replace(recorded_from=None, recorded_to=None) != queries.TransferFilter():
        raise Refused(Kind.INVALID, "filters-apart", "`account` goes with `currency` and recorded time alone.")
    if account is None and owner is not None:
        raise Refused(
            Kind.INVALID, "account-needed", "Name one of your wallets as `account`; all transfers need ledger:read."
        )
    async with runtime.db.reading() as view:
        if account is None:
            return await queries.transfers(view, wanted, cursor=cursor, limit=limit)
        key = await visibility.account_for(view, account, currency, owner)
        found = await account_row(view, AccountId(key))
        return await queries.transfers_of_account(view, found, recorded_from, recorded_to, cursor=cursor, limit=limit)


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
    responses=TRIED | responses(404, 409),
)
async def reverse_transfer(
    transfer: TransferId,
    order: ReversalOrder,
    caller: LedgerWriter,
    runtime: GivenRuntime,
    idempotency_key: IdempotencyKey = None,
    *,
    dry_run: DryRun = False,
) -> Response:
    """Undo a transfer by an equal and opposite one, whole or in part."""
    mandate = mandate_of(caller, idempotency_key)
    return respond(await commands.reverse_transfer(runtime, mandate, transfer, order, dry_run=dry_run))
