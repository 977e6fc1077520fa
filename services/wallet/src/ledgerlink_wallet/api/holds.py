"""Holds: place, read, capture, release. Other services place them; owners see them."""

from fastapi import APIRouter, Response

from ledgerlink_contracts.ids import HoldId
from ledgerlink_contracts.wallet.models import CaptureOrder, CaptureView, HoldOrder, HoldView
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api.callers import (
    TRIED,
    AnyReader,
    DryRun,
    GivenRuntime,
    IdempotencyKey,
    LedgerWriter,
    mandate_of,
    owner_filter,
    respond,
)
from ledgerlink_wallet.commands import ledger as commands
from ledgerlink_wallet.queries import transfers as queries
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
