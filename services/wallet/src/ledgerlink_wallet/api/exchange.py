"""Exchange: rates, quotes, and accepting one."""

from fastapi import APIRouter, Response

from ledgerlink_contracts.ids import QuoteId
from ledgerlink_contracts.wallet.exchange import QuoteOrder, QuoteView, RatesOrder, RatesView
from ledgerlink_contracts.wallet.models import TransferView
from ledgerlink_kit.idempotency import OnceHeader
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api.callers import (
    AnyReader,
    GivenRuntime,
    LedgerWriter,
    WalletWriter,
    mandate_of,
    owner_filter,
    respond,
)
from ledgerlink_wallet.commands import exchange as commands
from ledgerlink_wallet.queries import exchange as queries

router = APIRouter(prefix="/exchange", tags=["exchange"])


@router.get("/rates", name="get_rates")
async def get_rates(_caller: AnyReader, runtime: GivenRuntime) -> RatesView:
    """Give all rates, stale ones too."""
    async with runtime.db.reading() as view:
        return await queries.rates(view)


@router.put("/rates", name="set_rates")
async def set_rates(order: RatesOrder, _caller: LedgerWriter, runtime: GivenRuntime) -> RatesView:
    """Set the rates, in place of all there were; quotes that were given stay as they are."""
    return await commands.set_rates(runtime, order)


@router.post("/quotes", name="create_quote", status_code=201, response_model=QuoteView, responses=responses(404, 409))
async def create_quote(order: QuoteOrder, caller: WalletWriter, once: OnceHeader, runtime: GivenRuntime) -> Response:
    """Offer to exchange money between two currencies of a wallet, for 30 seconds."""
    return (await commands.give_quote(runtime, mandate_of(caller, None), once, order)).to_response()


@router.get("/quotes/{quote}", name="get_quote", responses=responses(404))
async def get_quote(quote: QuoteId, caller: AnyReader, runtime: GivenRuntime) -> QuoteView:
    """Give a quote and what became of it."""
    async with runtime.db.reading() as view:
        return await queries.quote(view, quote, owner_filter(caller), runtime.clock.now())


@router.post(
    "/quotes/{quote}/accept",
    name="accept_quote",
    status_code=201,
    response_model=TransferView,
    responses=responses(404, 409),
)
async def accept_quote(quote: QuoteId, caller: WalletWriter, runtime: GivenRuntime) -> Response:
    """Carry a quote out. Needs no key: a quote is answered once, and then the same again."""
    return respond(await commands.accept_quote(runtime, mandate_of(caller, None), quote))
