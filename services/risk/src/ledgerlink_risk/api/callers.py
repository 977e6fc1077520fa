"""Who may call what: a route's parameter type is its permission."""

from typing import Annotated

from fastapi import Depends, Request

from ledgerlink_kit.auth import Caller, authenticated, requires
from ledgerlink_risk.runtime import Runtime

RiskDecider = Annotated[Caller, requires("risk:decide")]
RiskReader = Annotated[Caller, requires("risk:read")]
RiskReviewer = Annotated[Caller, requires("risk:review")]
AnyCaller = Annotated[Caller, Depends(authenticated)]
"""Any caller with a token; the route says itself what they may see."""


# Async though it awaits nothing: FastAPI would run a plain function in a thread, once per request.
async def runtime_of(request: Request) -> Runtime:
    """Give the app's runtime."""
    runtime: Runtime = request.app.state.runtime
    return runtime


GivenRuntime = Annotated[Runtime, Depends(runtime_of)]
