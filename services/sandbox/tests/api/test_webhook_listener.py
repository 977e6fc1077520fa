"""Proves that events leave signed as Standard Webhooks has it, and that every failure of the listener is named."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest
import pytest_asyncio
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from ledgerlink_sandbox.connectors.listener import WebhookListener

SECRET = "whsec_c2FuZGJveC10ZXN0LXNlY3JldC0zMi1ieXRlcyE="
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Answer], Awaitable[str]]


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []

    async def start(answer: Answer) -> str:
        app = web.Application()
        app.router.add_post("/hook", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/hook"

    yield start
    for runner in runners:
        await runner.cleanup()


async def test_the_official_library_verifies_what_is_sent(serve: Serve) -> None:
    heard: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        heard.append(Webhook(SECRET).verify(body, dict(request.headers)))
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(body + b" ", dict(request.headers))
        return web.Response(status=204)

    listener = WebhookListener(await serve(answer), SECRET)
    assert await listener.tell("evt_1", '{"type": "payout.paid", "städt": 1}'.encode(), datetime.now(UTC)) is None
    assert heard == [{"type": "payout.paid", "städt": 1}]
    await listener.close()


@pytest.mark.parametrize("status", [302, 400, 500])
async def test_anything_but_a_2xx_is_not_heard(serve: Serve, status: int) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:9/"})

    listener = WebhookListener(await serve(answer), SECRET)
    assert await listener.tell("evt_1", b"{}", datetime.now(UTC)) == f"answered {status}"
    await listener.close()


async def test_a_listener_that_is_away_is_not_heard() -> None:
    # Port 9 (discard) has no listener on any machine that runs tests.
    listener = WebhookListener("http://127.0.0.1:9/hook", SECRET)
    assert await listener.tell("evt_1", b"{}", datetime.now(UTC)) == "ClientConnectorError"
    await listener.close()
