"""Scheduled transfers: once at a moment to come, or again and again."""

from fastapi import APIRouter, Response

from ledgerlink_contracts.ids import ScheduleId, WalletId
from ledgerlink_contracts.wallet.schedules import (
    OccurrencePage,
    ScheduleOrder,
    SchedulePage,
    ScheduleState,
    ScheduleView,
)
from ledgerlink_kit.idempotency import OnceHeader
from ledgerlink_kit.pagination import PAGE_DEFAULT, PageCursor, PageLimit
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api.callers import AnyReader, GivenRuntime, WalletWriter, mandate_of, owner_filter
from ledgerlink_wallet.commands import schedules as commands
from ledgerlink_wallet.queries import schedules as queries
from ledgerlink_wallet.queries.wallets import wallet as visible_wallet

router = APIRouter(tags=["scheduled transfers"])


@router.post(
    "/wallets/{wallet}/scheduled-transfers",
    name="create_scheduled_transfer",
    status_code=201,
    response_model=ScheduleView,
    responses=responses(404, 409),
)
async def create_scheduled_transfer(
    wallet: WalletId, order: ScheduleOrder, caller: WalletWriter, once: OnceHeader, runtime: GivenRuntime
) -> Response:
    """Schedule transfers to another wallet. They are the owner's spending when they are carried out: limits hold then.

    An occurrence that lacks funds is tried again after 1, 3 and 8 more hours, unless the next one is due by then.
    """
    return (await commands.create_schedule(runtime, mandate_of(caller, None), once, wallet, order)).to_response()


@router.get("/wallets/{wallet}/scheduled-transfers", name="list_scheduled_transfers", responses=responses(404))
async def list_scheduled_transfers(
    wallet: WalletId,
    caller: AnyReader,
    runtime: GivenRuntime,
    state: ScheduleState | None = None,
    limit: PageLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> SchedulePage:
    """List a wallet's scheduled transfers, ended ones too, newest first."""
    async with runtime.db.reading() as view:
        await visible_wallet(view, wallet, owner_filter(caller))
        return await queries.schedules(view, wallet, state, cursor=cursor, limit=limit)


@router.get("/scheduled-transfers/{schedule}", name="get_scheduled_transfer", responses=responses(404))
async def get_scheduled_transfer(schedule: ScheduleId, caller: AnyReader, runtime: GivenRuntime) -> ScheduleView:
    """Give a scheduled transfer with the occurrence that comes next."""
    async with runtime.db.reading() as view:
        return await queries.schedule(view, schedule, owner_filter(caller))


@router.get("/scheduled-transfers/{schedule}/occurrences", name="list_occurrences", responses=responses(404))
async def list_occurrences(
    schedule: ScheduleId,
    caller: AnyReader,
    runtime: GivenRuntime,
    limit: PageLimit = PAGE_DEFAULT,
    cursor: PageCursor = None,
) -> OccurrencePage:
    """List what became of the occurrences that have ended, newest first: a transfer each, or why there is none."""
    async with runtime.db.reading() as view:
        return await queries.occurrences(view, schedule, owner_filter(caller), cursor=cursor, limit=limit)


@router.post("/scheduled-transfers/{schedule}/pause", name="pause_scheduled_transfer", responses=responses(404, 409))
async def pause_scheduled_transfer(schedule: ScheduleId, caller: WalletWriter, runtime: GivenRuntime) -> ScheduleView:
    """Carry out nothing until it is resumed. Needs no key: a paused one stays paused."""
    return await commands.pause_schedule(runtime, mandate_of(caller, None), schedule)


@router.post("/scheduled-transfers/{schedule}/resume", name="resume_scheduled_transfer", responses=responses(404, 409))
async def resume_scheduled_transfer(schedule: ScheduleId, caller: WalletWriter, runtime: GivenRuntime) -> ScheduleView:
    """Go on with what is still to come; what was due in the pause is skipped, not made up for. Needs no key."""
    return await commands.resume_schedule(runtime, mandate_of(caller, None), schedule)


@router.post("/scheduled-transfers/{schedule}/cancel", name="cancel_scheduled_transfer", responses=responses(404, 409))
async def cancel_scheduled_transfer(schedule: ScheduleId, caller: WalletWriter, runtime: GivenRuntime) -> ScheduleView:
    """End it for good: once this is answered, nothing more is carried out. Needs no key: a canceled one stays so."""
    return await commands.cancel_schedule(runtime, mandate_of(caller, None), schedule)
