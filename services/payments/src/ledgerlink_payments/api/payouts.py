"""`/v1/payouts`: create, retrieve, list. `Stripe-Account` names the merchant."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from pydantic import Field

from ledgerlink_contracts.ids import MerchantId
from ledgerlink_kit.idempotency import Reply, json_reply
from ledgerlink_kit.ids import InvalidId
from ledgerlink_kit.wire import Metadata, RequestModel
from ledgerlink_payments import queries
from ledgerlink_payments.api.callers import PaymentsPayer, PaymentsReader
from ledgerlink_payments.api.dialect import (
    Amount,
    Currency,
    IdempotencyKey,
    StripeAccount,
    actor_of,
    once,
    params,
    refusal_reply,
    takes,
)
from ledgerlink_payments.api.fields import LIMIT_DEFAULT, READ, WRITE, Cursor, Description, Limit
from ledgerlink_payments.commands import payouts as commands
from ledgerlink_payments.domain import objects, refusals
from ledgerlink_payments.domain.attempts import Payout

router = APIRouter(prefix="/v1/payouts", tags=["payouts"])
_URL: Final = "/v1/payouts"

BankAccount = Annotated[str, Field(pattern=r"^ba_[A-Za-z0-9_]{1,64}$", examples=["ba_main"])]
"""The provider's token of a bank account."""


class CreatePayout(RequestModel):
    """Parameters of a payout; without a destination it goes to the merchant's bank account."""

    amount: Amount
    currency: Currency
    destination: BankAccount | None = None
    description: Description | None = None
    metadata: Metadata = Field(default_factory=dict)


def _shown(payout: Payout) -> Reply:
    return json_reply(200, objects.payout(payout))


def merchant_of(account: str | None) -> MerchantId:
    """Read the `Stripe-Account` header. Refuses `parameter-missing` and `resource-missing`."""
    if account is None:
        raise refusals.absent("Stripe-Account")
    try:
        return MerchantId.parse(account)
    except InvalidId:
        raise refusals.missing("account", account[:80], "Stripe-Account") from None


@router.post("", responses=WRITE, openapi_extra=takes(CreatePayout))
async def create_payout(
    request: Request,
    caller: PaymentsPayer,
    stripe_account: StripeAccount = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Send a merchant's money to their bank."""
    asked = await params(request, CreatePayout)
    new = commands.NewPayout(
        merchant=merchant_of(stripe_account),
        amount_minor=asked.amount,
        currency=asked.currency,
        destination=asked.destination,
        description=asked.description,
        metadata=asked.metadata,
    )
    key = once(request, caller, idempotency_key, asked, stripe_account)
    reply = await commands.create(request.app.state.runtime, key, actor_of(caller), new, _shown, refusal_reply)
    return reply.to_response()


@router.get("/{payout}", responses=READ)
async def retrieve_payout(request: Request, payout: str, caller: PaymentsReader) -> Response:
    """Give one payout of a merchant of the caller's."""
    shown = await queries.retrieve(request.app.state.runtime, queries.PAYOUTS, actor_of(caller), payout)
    return json_reply(200, shown).to_response()


@router.get("", responses=READ)
async def list_payouts(
    request: Request,
    caller: PaymentsReader,
    limit: Limit = LIMIT_DEFAULT,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
    stripe_account: StripeAccount = None,
) -> Response:
    """List payouts, newest first; with `Stripe-Account` those of one merchant."""
    window = queries.Window(limit, starting_after, ending_before)
    filters = {} if stripe_account is None else {"merchant_id": merchant_of(stripe_account).uuid}
    rt, actor = request.app.state.runtime, actor_of(caller)
    return json_reply(200, await queries.listing(rt, queries.PAYOUTS, actor, window, filters, _URL)).to_response()
