"""Proves the guard at the moment of connecting: names are judged by their addresses, and strangers learn nothing.

The receivers are servers of the test's own on loopback, which the guard must be told to allow.
"""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.telemetry import request_context
from ledgerlink_kit.testing.spans import PARENT, recorded_spans
from ledgerlink_payments.connectors.outgoing import (
    SNIPPET_BYTES,
    AddressRefused,
    Found,
    GuardedResolver,
    GuardedSender,
    Try,
)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Answer], Awaitable[int]]
Send = Callable[..., Awaitable[Try]]


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    runners: list[web.AppRunner] = []

    async def start(answer: Answer) -> int:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner.addresses[0][1]

    yield start
    for runner in runners:
        await runner.cleanup()


async def send(url: str, *, allow_loopback: bool = True, resolver: AbstractResolver | None = None) -> Try:
    sender = GuardedSender(SystemClock(), allow_loopback=allow_loopback, resolver=resolver)
    try:
        return await sender.send(url, {"webhook-id": "evt_1"}, b'{"a":1}')
    finally:
        await sender.close()


async def test_a_message_arrives_with_its_headers_and_body(serve: Serve) -> None:
    heard: list[tuple[str, str, bytes, str]] = []

    async def answer(request: web.Request) -> web.Response:
        headers = request.headers
        heard.append((headers["webhook-id"], headers["Content-Type"], await request.read(), headers["Host"]))
        return web.Response(text="thanks\n\x00")

    port = await serve(answer)
    tried = await send(f"http://localhost:{port}/hook")
    assert heard == [("evt_1", "application/json", b'{"a":1}', f"localhost:{port}")]
    assert (tried.outcome.status, tried.outcome.success, tried.snippet) == (200, True, "thanks  ")


async def test_the_span_of_a_message_names_its_host_and_nothing_of_its_path(serve: Serve) -> None:
    heard: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append(request.headers["traceparent"])
        return web.Response(status=410)

    port = await serve(answer)
    with recorded_spans() as spans, request_context("req", PARENT):
        await send(f"http://localhost:{port}/hooks/T0/the-secret?token=another")
    described = spans.attributes("POST")
    assert described["url.full"] == f"http://localhost:{port}/"
    assert (described["http.response.status_code"], described["error.type"]) == (410, "410")
    assert "secret" not in spans.one("POST").to_json()
    assert "token" not in spans.one("POST").to_json()
    context = spans.one("POST").context
    assert context is not None
    assert heard == [f"{PARENT[:36]}{context.span_id:016x}-01"]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "127.1", "0x7f000001", "[::1]", "[::ffff:127.0.0.1]", "0"]
)
async def test_nobody_inside_is_called_however_the_address_is_written(serve: Serve, host: str) -> None:
    async def answer(_request: web.Request) -> web.Response:
        raise AssertionError("called from outside")

    tried = await send(f"http://{host}:{await serve(answer)}/", allow_loopback=False)
    assert tried.outcome.status is None
    assert tried.outcome.error is not None
    assert tried.outcome.error.endswith(("not public", "not a public address", "cannot be called"))


class Lying(AbstractResolver):
    """A name server that gives a public address first and our own on every later question."""

    def __init__(self) -> None:
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked += 1
        guard = GuardedResolver(allow_loopback=self.asked == 1)
        return await guard.resolve("127.0.0.1", port, family)

    async def close(self) -> None:
        """Nothing is open."""


async def test_a_name_is_asked_for_once_and_the_judged_address_is_called(serve: Serve) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    names = Lying()
    tried = await send(f"http://rebinding.test:{await serve(answer)}/", resolver=names)
    assert (tried.outcome.status, names.asked) == (200, 1)


async def test_one_inner_address_among_public_ones_refuses_the_name() -> None:
    with pytest.raises(AddressRefused):
        await GuardedResolver(allow_loopback=False).resolve("localhost", 443)
    found = await GuardedResolver(allow_loopback=True).resolve("127.0.0.1", 443)
    assert [place["host"] for place in found] == ["127.0.0.1"]


async def test_names_that_never_resolve_do_not_hold_up_those_that_do() -> None:
    answer, asked = threading.Event(), list[str]()

    def lookup(host: str, *rest: Any) -> Sequence[Found]:
        asked.append(host)
        if host.startswith("dead"):
            answer.wait(30)
            raise OSError("no answer")
        return socket.getaddrinfo("127.0.0.1", *rest)

    resolver = GuardedResolver(allow_loopback=True, lookup=lookup)
    dead = [asyncio.ensure_future(resolver.resolve(f"dead-{number % 100}", 443)) for number in range(400)]
    await asyncio.sleep(0.1)
    async with asyncio.timeout(20):
        assert [place["host"] for place in await resolver.resolve("living", 443)] == ["127.0.0.1"]
    assert len(asked) == 101, "a host is looked up once at a time"
    dead[0].cancel()
    answer.set()
    ended = await asyncio.gather(*dead, return_exceptions=True)
    assert {type(one) for one in ended} == {OSError, asyncio.CancelledError}
    await resolver.close()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(serve: Serve, status: int) -> None:
    visits: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        visits.append(request.path)
        return web.Response(status=status, headers={"Location": "/inside"})

    tried = await send(f"http://127.0.0.1:{await serve(answer)}/hook")
    assert (tried.outcome.status, tried.outcome.success, visits) == (status, False, ["/hook"])


async def test_an_endless_answer_is_read_up_to_a_snippet(serve: Serve) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"x" * 65536)
        return response

    tried = await send(f"http://127.0.0.1:{await serve(answer)}/")
    assert (tried.outcome.status, len(tried.snippet)) == (200, SNIPPET_BYTES)


async def test_a_compressed_answer_is_not_unpacked(serve: Serve) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b"\x1f\x8b broken", headers={"Content-Encoding": "gzip"})

    tried = await send(f"http://127.0.0.1:{await serve(answer)}/")
    assert tried.outcome.success


async def test_no_connection_is_kept_for_the_next_name(serve: Serve) -> None:
    peers: list[object] = []

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        return web.Response()

    port = await serve(answer)
    sender = GuardedSender(SystemClock(), allow_loopback=True)
    for _ in range(2):
        await sender.send(f"http://127.0.0.1:{port}/", {}, b"{}")
    await sender.close()
    assert len(set(map(str, peers))) == 2


async def test_retry_after_is_heard(serve: Serve) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "7"})

    tried = await send(f"http://127.0.0.1:{await serve(answer)}/")
    assert tried.outcome.retry_after is not None
    assert tried.outcome.retry_after.total_seconds() == 7


async def test_failures_are_named_without_telling_of_our_network(serve: Serve) -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(broken, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    errors = [
        (await send("http://127.0.0.1:9/")).outcome.error,
        (await send(f"http://127.0.0.1:{port}/")).outcome.error,
        (await send(f"https://127.0.0.1:{port}/")).outcome.error,
        (await send("http://no-such-name.invalid/")).outcome.error,
    ]
    server.close()
    assert errors == [
        "the connection was refused",
        "the connection broke",
        "the connection could not be made",
        "the name was not found",
    ]
