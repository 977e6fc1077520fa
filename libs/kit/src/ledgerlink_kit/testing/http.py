"""HTTP to an app in process, without a socket."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import httpx
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from starlette.types import ASGIApp

from ledgerlink_kit.http_client import HttpReply


@asynccontextmanager
async def client_for(app: FastAPI, *, token: str | None = None) -> AsyncGenerator[httpx.AsyncClient]:
    """Start ``app`` (its lifespan too) and give a client that speaks to it, with ``token`` on every request."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with LifespanManager(app, startup_timeout=30, shutdown_timeout=30) as started:
        transport = httpx.ASGITransport(app=started.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers) as client:
            yield client


class AsgiTransport:
    """A transport for `HttpClient` that calls an app in process."""

    def __init__(self, app: ASGIApp) -> None:
        """Call ``app``; its lifespan must be running."""
        self._client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app, raise_app_exceptions=False))

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpReply:
        """Send one request."""
        answer = await self._client.request(method, url, headers=dict(headers), content=body, timeout=timeout_s)
        return HttpReply(
            answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, answer.content
        )

    async def close(self) -> None:
        """Close the client."""
        await self._client.aclose()
