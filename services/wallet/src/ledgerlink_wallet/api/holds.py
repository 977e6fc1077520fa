"""Holds: place, read, capture, release. Other services place them; owners see them."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from ledgerlink_contracts.ids import HoldId, WalletId
from ledgerlink_contracts.wallet.models import (
    CaptureOrder,
    CaptureView,
    HoldOrder,
    HoldPage,
    HoldState,
    HoldView,
    Moment,
)
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.pagination import PAGE_DEFAULT, PageCursor
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api.callers import (
    TRIED,
    AnyReader,
    DryRun,
    GivenRuntime,
    IdempotencyKey,
    LedgerLimit,
    LedgerWriter,
    mandate_of,
    owner_filter,
    respond,
)
from ledgerlink_wallet.commands import ledger as commands
from ledgerlink_wallet.queries import holds as queries
from ledgerlink_wallet.queries import wallets

router = APIRouter(prefix="/holds", tags=["holds"])


@router.post("", name="place_hold", status_code=201, response_model=HoldView, responses=TRIED | responses(404, 409))
async def place_hold(
    order: HoldOrder,
    caller: LedgerWriter,
    runtime: GivenRuntime,
    idempotency_key: IdempotencyKey = None,
    *,
    dry_run: DryRun = False,
) -> Response:
    """Reserve funds in a wallet. The same id (or key) again gives the same bytes."""
    mandate = mandate_of(caller, idempotency_key)
    return respond(await commands.place_hold(runtime, mandate, order, dry_run=dry_run))


@router.get("", name="list_holds", responses=responses(404))
async def list_holds(
    caller: AnyReader,
    runtime: GivenRuntime,
    state: HoldState = HoldState.PLACED,
    wallet: WalletId | None = None,
    expires_before: Annotated[Moment | None, Query(description="Of placed holds, those that expire before")] = None,
    limit: LedgerLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> HoldPage:
    """List holds in one state, newest first; those of all wallets that expire before a moment: the next one first.

    Without ledger:read only the holds of one's own wallets are listed, one `wallet` at a time.
    """
    owner = owner_filter(caller)
    if owner is not None and wallet is None:
        raise Refused(Kind.INVALID, "wallet-needed", "Name one of your wallets; all holds need ledger:read.")
    if expires_before is not None and state is not HoldState.PLACED:
        raise Refused(Kind.INVALID, "filters-apart", "`expires_before` goes with placed holds; others have ended.")
    async with runtime.db.reading() as view:
        if wallet is not None:
            await wallets.wallet(view, wallet, owner)
        wanted = queries.HoldFilter(state, wallet, expires_before)
        return await queries.holds(view, wanted, cursor=cursor, limit=limit)


@router.get("/{hold}", name="get_hold", responses=responses(404))
async def get_hold(hold: HoldId, caller: AnyReader, runtime: GivenRuntime) -> HoldView:
    """Give a hold with its wallet's balances now."""
    async with runtime.db.reading() as view:
        found = await queries.hold(view, hold)
        owner = owner_filter(caller)
        if owner is not None and (await wallets.wallet(view, found.wallet, None)).owner != owner:
            raise queries.hold_not_found(hold)
        return found


@router.post(
    "/{hold}/capture",
    name="capture_hold",
    status_code=201,
    response_model=CaptureView,
    responses=TRIED | responses(404, 409),
)
async def capture_hold(
    hold: HoldId,
    order: CaptureOrder,
    caller: LedgerWriter,
    runtime: GivenRuntime,
    idempotency_key: IdempotencyKey = None,
    *,
    dry_run: DryRun = False,
) -> Response:
    """Collect a hold, whole or in part; a final capture (the default) releases the rest."""
    mandate = mandate_of(caller, idempotency_key)
    return respond(await commands.capture_hold(runtime, mandate, hold, order, dry_run=dry_run))


@router.post("/{hold}/release", name="release_hold", response_model=HoldView, responses=responses(404, 409))
async def release_hold(hold: HoldId, caller: LedgerWriter, runtime: GivenRuntime) -> Response:
    """Give back what is left of a hold. Needs no key: a released hold stays released."""
    return respond(await commands.release_hold(runtime, mandate_of(caller, None), hold))
