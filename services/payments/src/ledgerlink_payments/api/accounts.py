"""`/v1/accounts` and `/v1/balance`: merchants, and what we owe them."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from pydantic import Field

from ledgerlink_kit.idempotency import Reply, json_reply
from ledgerlink_kit.wire import Metadata, RequestModel
from ledgerlink_payments import queries
from ledgerlink_payments.api.callers import PaymentsReader, PaymentsWriter
from ledgerlink_payments.api.dialect import (
    Currency,
    IdempotencyKey,
    StripeAccount,
    actor_of,
    once,
    params,
    refusal_reply,
    takes,
)
from ledgerlink_payments.api.fields import LIMIT_DEFAULT, READ, WRITE, Cursor, Limit
from ledgerlink_payments.api.payouts import BankAccount
from ledgerlink_payments.commands import merchants as commands
from ledgerlink_payments.domain import objects, refusals
from ledgerlink_payments.domain.merchants import Merchant

router = APIRouter(tags=["accounts"])
_URL: Final = "/v1/accounts"

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$", examples=["GB"])]


class BusinessProfile(RequestModel):
    """What a merchant is called."""

    name: Name | None = None


class CreateAccount(RequestModel):
    """Parameters of a merchant. `type` is accepted for Stripe's users; there is one."""

    type: Annotated[str, Field(pattern="^(standard|express|custom)$")] | None = None
    country: Country = "GB"
    default_currency: Currency = "GBP"
    email: Annotated[str, Field(max_length=320, pattern=r"^[^@\s\x00]+@[^@\s\x00]+$")] | None = None
    business_profile: BusinessProfile | None = None
    external_account: BankAccount = "ba_main"
    metadata: Metadata = Field(default_factory=dict)


def _shown(merchant: Merchant) -> Reply:
    return json_reply(200, objects.account(merchant))


@router.post("/v1/accounts", responses=WRITE, openapi_extra=takes(CreateAccount))
async def create_account(request: Request, caller: PaymentsWriter, idempotency_key: IdempotencyKey = None) -> Response:
    """Create a merchant; the caller owns it."""
    asked = await params(request, CreateAccount)
    new = commands.NewMerchant(
        country=asked.country,
        default_currency=asked.default_currency,
        external_account=asked.external_account,
        name=asked.business_profile.name if asked.business_profile else None,
        email=asked.email,
        metadata=asked.metadata,
    )
    key = once(request, caller, idempotency_key, asked)
    reply = await commands.create(request.app.state.runtime, key, actor_of(caller), new, _shown, refusal_reply)
    return reply.to_response()


@router.get("/v1/accounts/{account}", responses=READ)
async def retrieve_account(request: Request, account: str, caller: PaymentsReader) -> Response:
    """Give one merchant of the caller's."""
    shown = await queries.retrieve(request.app.state.runtime, queries.ACCOUNTS, actor_of(caller), account)
    return json_reply(200, shown).to_response()


@router.get("/v1/accounts", responses=READ)
async def list_accounts(
    request: Request,
    caller: PaymentsReader,
    limit: Limit = LIMIT_DEFAULT,
    starting_after: Cursor = None,
    ending_before: Cursor = None,
) -> Response:
    """List merchants, newest first."""
    window = queries.Window(limit, starting_after, ending_before)
    rt, actor = request.app.state.runtime, actor_of(caller)
    return json_reply(200, await queries.listing(rt, queries.ACCOUNTS, actor, window, {}, _URL)).to_response()


@router.get("/v1/balance", responses=READ)
async def retrieve_balance(request: Request, caller: PaymentsReader, stripe_account: StripeAccount = None) -> Response:
    """Give what we owe a merchant, per currency, from the ledger."""
    if stripe_account is None:
        raise refusals.absent("Stripe-Account")
    shown = await queries.balance(request.app.state.runtime, actor_of(caller), stripe_account)
    return json_reply(200, shown).to_response()
