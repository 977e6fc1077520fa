"""`/api/v1/healthz` and `/api/v1/readyz`: whether the gateway is alive, and which of the parts behind it are not."""

import asyncio
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Request, Response
from pydantic import Field

from ledgerlink_gateway.runtime import Runtime
from ledgerlink_kit.wire import ResponseModel

router = APIRouter(prefix="/api/v1", tags=["health"])


class Health(ResponseModel):
    """The process answers."""

    status: Literal["alive"]


class Readiness(ResponseModel):
    """Whether everything behind the gateway is ready, part by part: `ok`, or the reason why not."""

    status: Literal["ready", "not ready"]
    checks: Annotated[dict[str, str], Field(description="Each service; and `redis`, without which limits are local")]


@router.get("/healthz")
async def read_health() -> Health:
    """Say that the gateway is alive; it asks nothing of anybody."""
    return Health(status="alive")


@router.get("/readyz", responses={503: {"model": Readiness, "description": "A service is not ready"}})
async def read_readiness(request: Request, response: Response) -> Readiness:
    """Ask every service whether it is ready.

    Redis is shown but not needed: without it each rate limit does what its policy says, and requests pass on.
    """
    runtime = cast("Runtime", request.app.state.runtime)
    names = list(runtime.readiness)
    results = await asyncio.gather(*(runtime.readiness[name]() for name in names))
    checks = {name: "ok" if reason is None else reason for name, reason in zip(names, results, strict=True)}
    ready = all(reason == "ok" for name, reason in checks.items() if name not in runtime.optional_parts)
    response.status_code = 200 if ready else 503
    response.headers["cache-control"] = "no-store"
    return Readiness(status="ready" if ready else "not ready", checks=checks)
