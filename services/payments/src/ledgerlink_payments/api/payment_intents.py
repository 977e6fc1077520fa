"""`/v1/payment_intents`: create, confirm, capture, cancel, retrieve, list."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from ledgerlink_contracts.ids import IntentId, UserId
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.idempotency import Reply, json_reply
from ledgerlink_kit.ids import InvalidId
from ledgerlink_kit.wire import Metadata, RequestModel
from ledgerlink_payments import queries
from ledgerlink_payments.api.callers import PaymentsReader, PaymentsWriter
from ledgerlink_payments.api.dialect import (
    Amount,
    Currency,
    Flag,
    IdempotencyKey,
    actor_of,
    once,
    params,
    refusal_reply,
    takes,
)
from ledgerlink_payments.api.fields import (
    LIMIT_DEFAULT,
    READ,
    WRITE,
    Cursor,
    Description,
    ExchangeParams,
    Limit,
    Party,
    PaymentMethod,
)
from ledgerlink_payments.commands import intents as commands
from ledgerlink_payments.domain import objects, refusals
from ledgerlink_payments.domain.intents import CancellationReason, CaptureMethod, Intent
from ledgerlink_payments.domain.machines import IntentState

router = APIRouter(prefix="/v1/payment_intents", tags=["payment_intents"])
_URL: Final = "/v1/payment_intents"


class TransferData(RequestModel):
    """Who receives."""

    destination: Party


class CreateIntent(RequestModel):
    """Parameters of a new intent. `payment_method_types` is taken from Stripe's users; the method decides its type."""

    amount: Amount
    currency: Currency
    transfer_data: TransferData
    payment_method: PaymentMethod | None = None
    payment_method_types: Annotated[list[str], Field(max_length=10)] | None = None
    capture_method: CaptureMethod = CaptureMethod.AUTOMATIC
    confirm: Flag = False
    customer: UserId | None = None
    description: Description | None = None
    exchange: ExchangeParams | None = None
    metadata: Metadata = Field(default_factory=dict)


class ConfirmIntent(RequestModel):
    """Parameters of a confirmation."""

    payment_method: PaymentMethod | None = None


class CaptureIntent(RequestModel):
    """Parameters of a capture; without an amount all that can be captured is."""

    amount_to_capture: Amount | None = None


class CancelIntent(RequestModel):
    """Parameters of a cancellation."""

    cancellation_reason: CancellationReason | None = None


def _intent_id(text: str) -> IntentId:
    try:
        return IntentId.parse(text)
    except InvalidId:
        raise refusals.missing("payment_intent", text[:80], "intent") from None


def _shown(intent: Intent) -> Reply:
    return json_reply(200, objects.payment_intent(intent))


def _paid(intent: Intent) -> Reply:
    """Show an intent, or the decline that its attempt came to."""
    if intent.state is IntentState.REQUIRES_PAYMENT_METHOD and intent.last_error:
        return _declined(intent)
    return _shown(intent)


def _declined(intent: Intent) -> Reply:
    error = dict(intent.last_error or {})
    code = str(error["code"]).replace("_", "-")
    refusal = Refused(Kind.DECLINED, code, str(error["message"]))
    return refusal_reply(refusal, **error, payment_intent=objects.payment_intent(intent))


def _captured(intent: Intent) -> Reply:
    """Show what a capture came to: done, on its way, refused, or too late."""
    if intent.state is IntentState.REQUIRES_CAPTURE and intent.last_error:
        return _declined(intent)
    if intent.state is IntentState.CANCELED:
        detail = "The authorization has run out; nothing was captured."
        refusal = Refused(Kind.INVALID, "charge-expired-for-capture", detail)
        return refusal_reply(refusal, payment_intent=objects.payment_intent(intent))
    return _shown(intent)


def _canceled(intent: Intent) -> Reply:
    """Show what a cancellation came to; a provider may have collected the money before we asked."""
    if intent.state is IntentState.REQUIRES_CAPTURE and intent.last_error:
        return _declined(intent)
    if intent.state is IntentState.SUCCEEDED:
        refusal = refusals.unexpected_state("payment_intent", intent.state, "canceled")
        return refusal_reply(refusal, payment_intent=objects.payment_intent(intent))
    return _shown(intent)


@router.post("", responses=WRITE, openapi_extra=takes(CreateIntent))
async def create_payment_intent(
    request: Request, caller: PaymentsWriter, idempotency_key: IdempotencyKey = None
) -> Response:
    """Create an intent and, with `confirm`, pay it in the same call."""
    asked = await params(request, CreateIntent)
    new = commands.NewIntent(
        amount_minor=asked.amount,
        currency=asked.currency,
        destination=asked.transfer_data.destination,
        capture_method=asked.capture_method,
        payment_method=asked.payment_method,
        exchange=asked.exchange.read() if asked.exchange else None,
        customer=str(asked.customer) if asked.customer else None,
        description=asked.description,
        metadata=asked.metadata,
        confirm=asked.confirm,
    )
    key = once(request, caller, idempotency_key, asked)
    rt = request.app.state.runtime
    return (await commands.create(rt, key, actor_of(caller), new, _paid, refusal_reply)).to_response()


@router.post("/{intent}/confirm", responses=WRITE, openapi_extra=takes(ConfirmIntent))
async def confirm_payment_intent(
    request: Request, intent: str, caller: PaymentsWriter, idempotency_key: IdempotencyKey = None
) -> Response:
    """Pay an intent."""
    asked = await params(request, ConfirmIntent)
    key = once(request, caller, idempotency_key, asked)
    rt, actor = request.app.state.runtime, actor_of(caller)
    reply = await commands.confirm(rt, key, actor, _intent_id(intent), asked.payment_method, _paid, refusal_reply)
    return reply.to_response()


@router.post("/{intent}/capture", responses=WRITE, openapi_extra=takes(CaptureIntent))
async def capture_payment_intent(
    request: Request, intent: str, caller: PaymentsWriter, idempotency_key: IdempotencyKey = None
) -> Response:
    """Collect what is reserved, all or part; the rest is released."""
    asked = await params(request, CaptureIntent)
    key = once(request, caller, idempotency_key, asked)
    rt, actor, amount = request.app.state.runtime, actor_of(caller), asked.amount_to_capture
    reply = await commands.capture(rt, key, actor, _intent_id(intent), amount, _captured, refusal_reply)
    return reply.to_response()


@router.post("/{intent}/cancel", responses=WRITE, openapi_extra=takes(CancelIntent))
async def cancel_payment_intent(
    request: Request, intent: str, caller: PaymentsWriter, idempotency_key: IdempotencyKey = None
) -> Response:
    """Give an intent up; what is reserved goes back."""
    asked = await params(request, CancelIntent)
    key = once(request, caller, idempotency_key, asked)
    rt, actor, reason = request.app.state.runtime, actor_of(caller), asked.cancellation_reason
    reply = await commands.cancel(rt, key, actor, _intent_id(intent), reason, _canceled, refusal_reply)
    return reply.to_response()


@router.get("/{intent}", responses=READ)
async def retrieve_payment_intent(request: Request, intent: str, caller: PaymentsReader) -> Response:
    """Give one intent that the caller pays, receives, or may audit."""
    shown = await queries.retrieve(request.app.state.runtime, queries.INTENTS, actor_of(caller), intent)
    return json_reply(200, shown).to_response()


@router.get("", responses=READ)
async def list_payment_intents(
    request: Request,
    caller: PaymentsReader,
    limit: Limit = LIMIT_DEFAULT,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
    customer: Annotated[str | None, Query(max_length=64, description="Who pays")] = None,
) -> Response:
    """List intents, newest first."""
    window = queries.Window(limit, starting_after, ending_before)
    filters = {"owner": customer} if customer is not None else {}
    rt, actor = request.app.state.runtime, actor_of(caller)
    shown = await queries.listing(rt, queries.INTENTS, actor, window, filters, _URL)
    return json_reply(200, shown).to_response()
