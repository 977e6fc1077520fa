"""Passing a request on: its head in bytes, its body whole or streamed, and the answer back with backpressure."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

from starlette.types import Receive, Scope, Send

from ledgerlink_gateway.connectors.http1 import Connection, Exchange
from ledgerlink_gateway.connectors.upstream import IDEMPOTENT_METHODS, OutRequest, Upstream
from ledgerlink_gateway.domain.headers import RawHeaders, Seen, passed_answer
from ledgerlink_gateway.domain.refusals import ClientGone, EdgeRefusal, Reason
from ledgerlink_gateway.domain.route_table import Route, upstream_path
from ledgerlink_gateway.edge.bodies import BODY_S_MAX, read_start, refuse_card_data, too_large
from ledgerlink_gateway.edge.visit import Visit
from ledgerlink_kit.http_spans import answered, called
from ledgerlink_kit.telemetry import Span

_UNTRACED: Final[AbstractContextManager[None]] = nullcontext()
WATCH_AFTER_S: Final = 0.25
"""An exchange that takes longer is watched for the caller's leaving; most are over by then and need no watcher."""


@dataclass(frozen=True, slots=True)
class Edges:
    """The caller's side of a request: the server's two callables, and the headers that the gateway adds."""

    receive: Receive
    send: Send
    headers: tuple[tuple[bytes, bytes], ...]
    scope: Scope


async def forward(visit: Visit, seen: Seen, route: Route, path: str, upstream: Upstream, edges: Edges) -> None:
    """Pass one request to its upstream and the answer back.

    Raises `EdgeRefusal`, `UpstreamSilent` and `ClientGone`; after the head of an answer was sent, visit says so.
    """
    query = edges.scope["query_string"]
    has_body = seen.is_chunked or bool(seen.length)
    body, is_whole = await read_start(edges.receive, route) if has_body else (b"", True)
    if is_whole:
        visit.has_unread_body = False
        refuse_card_data(route, body, query)
    with _traced(visit, route, path, upstream) as span:
        trace = visit.traceparent if span is None else span.traceparent.encode("ascii")
        head = _head(visit, seen, route, path, upstream, query, trace)
        if is_whole:
            await _forward_whole(visit, seen, route, upstream, edges, head, body)
        else:
            await _forward_stream(visit, seen, route, upstream, edges, head, body)
        answered(span, visit.status)


def _traced(visit: Visit, route: Route, path: str, upstream: Upstream) -> AbstractContextManager[Span | None]:
    if visit.span is None:
        return _UNTRACED
    return called(visit.method, upstream.origin + upstream_path(route, path), peer=upstream.name)


async def _forward_whole(
    visit: Visit, seen: Seen, route: Route, upstream: Upstream, edges: Edges, head: bytes, body: bytes
) -> None:
    if body or visit.method not in IDEMPOTENT_METHODS:
        head += b"content-length: %d\r\n\r\n" % len(body)
    else:
        head += b"\r\n"
    request = OutRequest(
        method=visit.method,
        head=head,
        body=body,
        is_repeatable=visit.method in IDEMPOTENT_METHODS or seen.has_idempotency_key,
    )
    watcher = _Watcher(visit, edges.receive)
    try:
        exchange, _ = await upstream.send(request, route.timeout_s)
        await _answer(visit, exchange, edges, route.timeout_s)
    finally:
        watcher.stop()


class _Watcher:
    """Ends a long exchange when its caller leaves, so that nothing streams into the void."""

    __slots__ = ("_receive", "_task", "_timer", "_visit", "_watched")

    def __init__(self, visit: Visit, receive: Receive) -> None:
        self._visit = visit
        self._receive = receive
        self._watched = asyncio.current_task()
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_S, self._start)

    def stop(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if self._watched is not None and not self._watched.done():
            self._visit.is_gone = True
            self._watched.cancel()


async def _forward_stream(
    visit: Visit, seen: Seen, route: Route, upstream: Upstream, edges: Edges, head: bytes, start: bytes
) -> None:
    framing = b"transfer-encoding: chunked" if seen.length is None else b"content-length: %d" % seen.length
    request = OutRequest(method=visit.method, head=head + framing + b"\r\n\r\n", body=None, is_repeatable=False)
    exchange, connection = await upstream.send(request, route.timeout_s)
    loop = asyncio.get_running_loop()
    pump = loop.create_task(_pump(seen, route, edges.receive, connection, exchange, start))
    answer = loop.create_task(exchange.head(route.upload_s_max))
    try:
        await asyncio.wait({pump, answer}, return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            await pump  # raises why the body ended early
            await asyncio.wait({answer}, timeout=route.timeout_s)
            if not answer.done():
                connection.fail(Reason.UPSTREAM_TIMEOUT, f"no answer within {route.timeout_s:g} s")
        await answer
        # An answer before the end of the body: the rest of it is not wanted, and the connection ends with this.
        visit.has_unread_body = not pump.done()
        await _answer(visit, exchange, edges, route.timeout_s)
    finally:
        for task in (pump, answer):
            task.cancel()
        await asyncio.gather(pump, answer, return_exceptions=True)
        exchange.abandon()


async def _pump(
    seen: Seen, route: Route, receive: Receive, connection: Connection, exchange: Exchange, start: bytes
) -> None:
    """Write the caller's body to the upstream as it comes, no faster than the upstream reads."""
    size = 0
    piece, has_more = start, True
    while not exchange.has_head:
        size += len(piece)
        if size > route.body_bytes_max:
            raise too_large(route)
        if piece:
            framed = piece if seen.length is not None else b"%x\r\n%b\r\n" % (len(piece), piece)
            await connection.write(framed, route.timeout_s)
        if not has_more:
            connection.end(b"" if seen.length is not None else b"0\r\n\r\n")
            return
        try:
            async with asyncio.timeout(BODY_S_MAX):
                message = await receive()
        except TimeoutError:
            raise EdgeRefusal(Reason.BODY_SLOW, f"No more of the body came within {BODY_S_MAX:g} s.") from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece, has_more = message.get("body", b""), message.get("more_body", False)


async def _answer(visit: Visit, exchange: Exchange, edges: Edges, timeout_s: float) -> None:
    send = edges.send
    headers = passed_answer(exchange.headers)
    headers += edges.headers
    headers += visit.limit_headers
    headers.append((b"x-request-id", visit.request_id))
    if not any(name == b"cache-control" for name, _ in headers):
        headers.append((b"cache-control", b"no-store"))  # what concerns one caller's money is nobody's to keep
    if visit.has_unread_body:
        headers.append((b"connection", b"close"))
    visit.status = exchange.status
    try:
        await send({"type": "http.response.start", "status": exchange.status, "headers": headers})
        whole = exchange.whole()
        if whole is not None:
            visit.answered_bytes = len(whole)
            await send({"type": "http.response.body", "body": whole})
            return
        while (chunk := await exchange.chunk(timeout_s)) is not None:
            visit.answered_bytes += len(chunk)
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        exchange.abandon()  # does nothing after a whole answer


def _head(visit: Visit, seen: Seen, route: Route, path: str, upstream: Upstream, query: bytes, trace: bytes) -> bytes:
    """Write the head as it goes to the upstream, up to but without the framing and the blank line."""
    target = upstream_path(route, path).encode("ascii")
    if query:
        target += b"?" + query
    lines = [
        b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (visit.method.encode("ascii"), target, upstream.authority),
        *[b"%b: %b\r\n" % pair for pair in _with_trace(visit, seen)],
        b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n"
        % (visit.client.encode("ascii"), visit.scheme.encode("ascii")),
        b"x-forwarded-host: %b\r\n" % seen.host if seen.host else b"",
        b"x-request-id: %b\r\ntraceparent: %b\r\n" % (visit.request_id, trace),
    ]
    return b"".join(lines)


def _with_trace(visit: Visit, seen: Seen) -> Sequence[tuple[bytes, bytes]] | RawHeaders:
    """Drop the caller's tracestate with its traceparent: alone it means nothing."""
    if seen.traceparent is not None and seen.traceparent[3:35] == visit.traceparent[3:35]:
        return seen.passed
    return [pair for pair in seen.passed if pair[0] != b"tracestate"]
