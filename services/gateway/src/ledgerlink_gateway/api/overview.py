"""`GET /api/v1/overview`: what a caller has, in one answer."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request

from ledgerlink_gateway.queries.overview import Overview, overview
from ledgerlink_gateway.runtime import Runtime
from ledgerlink_kit import problem
from ledgerlink_kit.auth import Caller, authenticated

router = APIRouter(prefix="/api/v1", tags=["overview"])

_PASSED = frozenset({b"authorization", b"x-request-id", b"tracestate"})


@router.get("/overview", responses=problem.responses(429))
async def read_overview(request: Request, _caller: Annotated[Caller, Depends(authenticated)]) -> Overview:
    """Give profile, wallets with balances, recent transfers and open payment intents, as far as they can be had.

    The parts are asked with the caller's own token, so each service decides what may be seen. A part that is not there
    is null and marked with its reason.
    """
    runtime = cast("Runtime", request.app.state.runtime)
    headers = tuple(pair for pair in request.scope["headers"] if pair[0] in _PASSED)
    return await overview(runtime.upstreams, headers)
