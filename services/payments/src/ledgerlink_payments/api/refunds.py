"""`/v1/refunds`: create, retrieve, list."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from ledgerlink_contracts.ids import IntentId
from ledgerlink_kit.idempotency import Reply, json_reply
from ledgerlink_kit.ids import InvalidId
from ledgerlink_kit.wire import Metadata, RequestModel
from ledgerlink_payments import queries
from ledgerlink_payments.api.callers import PaymentsReader, Refunder
from ledgerlink_payments.api.dialect import Amount, IdempotencyKey, actor_of, once, params, refusal_reply, takes
from ledgerlink_payments.api.fields import LIMIT_DEFAULT, READ, WRITE, Cursor, ExchangeParams, Limit
from ledgerlink_payments.commands import refunds as commands
from ledgerlink_payments.domain import objects, refusals
from ledgerlink_payments.domain.attempts import Refund

router = APIRouter(prefix="/v1/refunds", tags=["refunds"])
_URL: Final = "/v1/refunds"


class CreateRefund(RequestModel):
    """Parameters of a refund; without an amount all that is left goes back."""

    payment_intent: IntentId
    amount: Amount | None = None
    reason: commands.RefundReason | None = None
    exchange: ExchangeParams | None = None
    metadata: Metadata = Field(default_factory=dict)


def _shown(refund: Refund) -> Reply:
    return json_reply(200, objects.refund(refund))


@router.post("", responses=WRITE, openapi_extra=takes(CreateRefund))
async def create_refund(request: Request, caller: Refunder, idempotency_key: IdempotencyKey = None) -> Response:
    """Give part or all of a payment back to its payer."""
    asked = await params(request, CreateRefund)
    new = commands.NewRefund(
        intent=asked.payment_intent,
        amount_minor=asked.amount,
        exchange=asked.exchange.read() if asked.exchange else None,
        reason=asked.reason,
        metadata=asked.metadata,
    )
    key = once(request, caller, idempotency_key, asked)
    reply = await commands.create(request.app.state.runtime, key, actor_of(caller), new, _shown, refusal_reply)
    return reply.to_response()


@router.get("/{refund}", responses=READ)
async def retrieve_refund(request: Request, refund: str, caller: PaymentsReader) -> Response:
    """Give one refund of an intent that the caller may see."""
    shown = await queries.retrieve(request.app.state.runtime, queries.REFUNDS, actor_of(caller), refund)
    return json_reply(200, shown).to_response()


@router.get("", responses=READ)
async def list_refunds(
    request: Request,
    caller: PaymentsReader,
    limit: Limit = LIMIT_DEFAULT,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
    payment_intent: Annotated[str | None, Query(max_length=64, description="Only this intent's refunds")] = None,
) -> Response:
    """List refunds, newest first."""
    window = queries.Window(limit, starting_after, ending_before)
    filters = {} if payment_intent is None else {"intent_id": _intent(payment_intent).uuid}
    rt, actor = request.app.state.runtime, actor_of(caller)
    return json_reply(200, await queries.listing(rt, queries.REFUNDS, actor, window, filters, _URL)).to_response()


def _intent(text: str) -> IntentId:
    try:
        return IntentId.parse(text)
    except InvalidId:
        raise refusals.missing("payment_intent", text, "payment_intent") from None
