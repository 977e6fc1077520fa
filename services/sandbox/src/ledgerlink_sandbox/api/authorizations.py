"""Authorizations and their captures."""

from fastapi import APIRouter, Response

from ledgerlink_kit import problem
from ledgerlink_sandbox import queries
from ledgerlink_sandbox.api.access import KEY_HOLDERS, Provider
from ledgerlink_sandbox.api.answering import LOOKUP_STATUSES, WRITE_STATUSES, answer, own_fault, perform
from ledgerlink_sandbox.api.schemas import AuthorizationBody, AuthorizationModel, CaptureBody, CaptureModel, KeyInPath
from ledgerlink_sandbox.commands import orders
from ledgerlink_sandbox.domain.authorizations import AuthorizationRequest
from ledgerlink_sandbox.domain.faults import Operation
from ledgerlink_sandbox.domain.movements import CaptureRequest
from ledgerlink_sandbox.domain.notices import describe_authorization, describe_capture

router = APIRouter(tags=["authorizations"], dependencies=KEY_HOLDERS)


@router.post(
    "/authorizations",
    status_code=201,
    response_model=AuthorizationModel,
    responses=problem.responses(*WRITE_STATUSES),
)
async def create_authorization(provider: Provider, body: AuthorizationBody) -> Response:
    """Ask for money on a card. A decline is an answer like any other: 201 with its code."""
    request = AuthorizationRequest(
        body.key, body.amount, body.currency, body.payment_method, body.capture, dict(body.metadata)
    )
    own = own_fault(request.metadata, request.payment_method)
    return await perform(
        provider,
        Operation.AUTHORIZATION,
        body.key,
        lambda: orders.authorize(provider, request),
        describe_authorization,
        own,
    )


@router.get("/authorizations/{key}", response_model=AuthorizationModel, responses=problem.responses(*LOOKUP_STATUSES))
async def get_authorization(provider: Provider, key: KeyInPath) -> Response:
    """Look up an authorization as it now stands."""
    return answer(describe_authorization(await queries.authorization(provider, key)))


@router.post(
    "/authorizations/{key}/captures",
    status_code=201,
    response_model=CaptureModel,
    responses=problem.responses(404, *WRITE_STATUSES),
)
async def create_capture(provider: Provider, key: KeyInPath, body: CaptureBody) -> Response:
    """Collect part or all of an authorization."""
    request = CaptureRequest(body.key, key, body.amount, body.final)
    return await perform(
        provider, Operation.CAPTURE, body.key, lambda: orders.capture(provider, request), describe_capture
    )


@router.get("/captures/{key}", response_model=CaptureModel, responses=problem.responses(*LOOKUP_STATUSES))
async def get_capture(provider: Provider, key: KeyInPath) -> Response:
    """Look up a capture."""
    return answer(describe_capture(await queries.capture(provider, key)))


@router.post(
    "/authorizations/{key}/void",
    status_code=201,
    response_model=AuthorizationModel,
    responses=problem.responses(404, *WRITE_STATUSES),
)
async def void_authorization(provider: Provider, key: KeyInPath) -> Response:
    """Release what is left of an authorization; done twice, it is done once."""
    return await perform(provider, Operation.VOID, key, lambda: orders.void(provider, key), describe_authorization)
