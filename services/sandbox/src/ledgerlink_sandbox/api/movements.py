"""Refunds and payouts."""

from fastapi import APIRouter, Response

from ledgerlink_kit import problem
from ledgerlink_sandbox import queries
from ledgerlink_sandbox.api.access import KEY_HOLDERS, Provider
from ledgerlink_sandbox.api.answering import LOOKUP_STATUSES, WRITE_STATUSES, answer, own_fault, perform
from ledgerlink_sandbox.api.schemas import KeyInPath, PayoutBody, PayoutModel, RefundBody, RefundModel
from ledgerlink_sandbox.commands import orders
from ledgerlink_sandbox.domain.faults import Operation
from ledgerlink_sandbox.domain.movements import PayoutRequest, RefundRequest
from ledgerlink_sandbox.domain.notices import describe_payout, describe_refund

router = APIRouter(tags=["movements"], dependencies=KEY_HOLDERS)


@router.post("/refunds", status_code=201, response_model=RefundModel, responses=problem.responses(404, *WRITE_STATUSES))
async def create_refund(provider: Provider, body: RefundBody) -> Response:
    """Give captured money back."""
    request = RefundRequest(body.key, body.authorization, body.amount, dict(body.metadata))
    own = own_fault(request.metadata)
    return await perform(
        provider, Operation.REFUND, body.key, lambda: orders.refund(provider, request), describe_refund, own
    )


@router.get("/refunds/{key}", response_model=RefundModel, responses=problem.responses(*LOOKUP_STATUSES))
async def get_refund(provider: Provider, key: KeyInPath) -> Response:
    """Look up a refund as it now stands."""
    return answer(describe_refund(await queries.refund(provider, key)))


@router.post("/payouts", status_code=201, response_model=PayoutModel, responses=problem.responses(*WRITE_STATUSES))
async def create_payout(provider: Provider, body: PayoutBody) -> Response:
    """Send money to a bank account."""
    request = PayoutRequest(body.key, body.amount, body.currency, body.destination, dict(body.metadata))
    own = own_fault(request.metadata)
    return await perform(
        provider, Operation.PAYOUT, body.key, lambda: orders.pay_out(provider, request), describe_payout, own
    )


@router.get("/payouts/{key}", response_model=PayoutModel, responses=problem.responses(*LOOKUP_STATUSES))
async def get_payout(provider: Provider, key: KeyInPath) -> Response:
    """Look up a payout as it now stands."""
    return answer(describe_payout(await queries.payout(provider, key)))
