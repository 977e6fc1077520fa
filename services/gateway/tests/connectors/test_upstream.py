"""Proves the upstream client against a server that misbehaves: what is read, refused, and sent twice."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio

from ledgerlink_gateway.connectors.http1 import ANSWER_BYTES_BUFFERED, UpstreamSilent
from ledgerlink_gateway.connectors.upstream import OutRequest, Upstream, UpstreamRule
from ledgerlink_gateway.domain.breaker import BreakerRule, Circuit
from ledgerlink_gateway.domain.refusals import EdgeRefusal, Reason
from ledgerlink_gateway.testing import RawRequest, RawUpstream, answer_ok, raw, raw_upstream
from ledgerlink_kit.clock import SystemClock

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BREAKER = BreakerRule(outcomes_min=1000)


@pytest_asyncio.fixture
async def server() -> AsyncGenerator[RawUpstream]:
    async with raw_upstream() as upstream:
        yield upstream


def _upstream(server: RawUpstream, rule: UpstreamRule | None = None) -> Upstream:
    return Upstream("store", server.url, rule or UpstreamRule(breaker=BREAKER), SystemClock())


def _request(method: str = "GET", *, body: bytes | None = b"", is_repeatable: bool | None = None) -> OutRequest:
    framing = b"content-length: %d\r\n" % len(body) if body else b""
    return OutRequest(
        method=method,
        head=b"%b /x HTTP/1.1\r\nhost: store\r\n%b\r\n" % (method.encode(), framing),
        body=body,
        is_repeatable=method == "GET" if is_repeatable is None else is_repeatable,
    )


async def _fetch(upstream: Upstream, request: OutRequest | None = None, timeout_s: float = 2.0) -> tuple[int, bytes]:
    exchange, _ = await upstream.send(request or _request(), timeout_s)
    body = b""
    while (chunk := await exchange.chunk(timeout_s)) is not None:
        body += chunk
    return exchange.status, body


async def _silence(upstream: Upstream, request: OutRequest | None = None, timeout_s: float = 2.0) -> UpstreamSilent:
    with pytest.raises(UpstreamSilent) as caught:
        await _fetch(upstream, request, timeout_s)
    return caught.value


@pytest.mark.parametrize(
    ("answer", "closes", "expected"),
    [
        (OK, False, (200, b"ok")),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK, False, (200, b"ok")),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, (204, b"")),
        (b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n", False, (304, b"")),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n",
            False,
            (200, b"ok"),
        ),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n\r\n", False, (200, b"ok")),
        (b"HTTP/1.1 200 OK\r\n\r\nok", True, (200, b"ok")),
        (b"HTTP/1.0 200 OK\r\n\r\nok", True, (200, b"ok")),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", True, (200, b"ok")),
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", False, (500, b"")),
    ],
)
async def test_every_sound_framing_of_an_answer_is_read(
    server: RawUpstream, answer: bytes, closes: Any, expected: tuple[int, bytes]
) -> None:
    server.answers = [raw(answer, close=closes)]
    upstream = _upstream(server)
    assert await _fetch(upstream) == expected
    assert await _fetch(upstream) == (200, b'{"upstream":"ok"}')
    assert upstream.in_flight == 0


@pytest.mark.parametrize(
    ("answer", "closes", "reason"),
    [
        (b"", True, Reason.UPSTREAM_LOST),
        (b"HTTP/1.1 200", True, Reason.UPSTREAM_LOST),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", True, Reason.UPSTREAM_LOST),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n", True, Reason.UPSTREAM_LOST),
        (b"SSH-2.0-x\r\n", False, Reason.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok", False, Reason.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n", False, Reason.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok", True, Reason.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\ncontent-length: 2\n\nok", False, Reason.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", False, Reason.UPSTREAM_INVALID),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", False, Reason.UPSTREAM_INVALID),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20, False, Reason.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 300 + b"\r\n", False, Reason.UPSTREAM_INVALID),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, False, Reason.UPSTREAM_INVALID),
    ],
)
async def test_an_answer_that_is_cut_or_unsound_is_no_answer(
    server: RawUpstream, answer: bytes, closes: Any, reason: Reason
) -> None:
    server.otherwise = raw(answer, close=closes)
    upstream = _upstream(server)
    silence = await _silence(upstream)
    assert silence.reason is reason
    assert silence.was_sent
    assert upstream.in_flight == 0
    server.otherwise = answer_ok
    assert (await _fetch(upstream))[0] == 200


async def test_a_head_request_has_no_body_and_keeps_its_connection(server: RawUpstream) -> None:
    upstream = _upstream(server)
    for _ in range(3):
        assert await _fetch(upstream, _request("HEAD")) == (200, b"")
    assert server.connections == 1


async def test_connections_are_kept_and_used_again(server: RawUpstream) -> None:
    upstream = _upstream(server)
    for _ in range(5):
        await _fetch(upstream)
    assert server.connections == 1


async def test_an_idle_connection_is_closed_after_its_time(server: RawUpstream) -> None:
    upstream = _upstream(server, UpstreamRule(idle_s=0.05))
    await _fetch(upstream)
    await asyncio.sleep(0.2)
    await _fetch(upstream)
    assert server.connections == 2


async def test_a_second_answer_that_nobody_asked_for_is_never_given_to_the_next_request(server: RawUpstream) -> None:
    poisoned = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
    server.answers = [raw(OK + poisoned)]
    upstream = _upstream(server)
    assert await _fetch(upstream) == (200, b"ok")
    assert await _fetch(upstream) == (200, b'{"upstream":"ok"}')
    assert server.connections == 2


async def test_bytes_on_an_idle_connection_close_it(server: RawUpstream) -> None:
    async def answer_and_add(
        request: RawRequest, upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await answer_ok(request, upstream, reader, writer)
        await asyncio.sleep(0.05)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")

    server.answers = [answer_and_add]
    upstream = _upstream(server)
    await _fetch(upstream)
    await asyncio.sleep(0.2)
    assert await _fetch(upstream) == (200, b'{"upstream":"ok"}')


async def _go_stale(server: RawUpstream, upstream: Upstream) -> None:
    """Leave a pooled connection on which the server will end the next request without a byte."""
    await _fetch(upstream)
    server.answers = [raw(b"", close=True)]


async def test_a_repeatable_request_on_a_stale_connection_is_sent_once_more(server: RawUpstream) -> None:
    upstream = _upstream(server)
    await _go_stale(server, upstream)
    assert (await _fetch(upstream))[0] == 200
    assert len(server.requests) == 3


async def test_a_post_with_an_idempotency_key_is_repeatable_with_its_body(server: RawUpstream) -> None:
    upstream = _upstream(server)
    await _go_stale(server, upstream)
    assert (await _fetch(upstream, _request("POST", body=b"{}", is_repeatable=True)))[0] == 200
    assert [seen.body for seen in server.requests[1:]] == [b"{}", b"{}"]


async def test_a_post_without_one_is_never_sent_twice(server: RawUpstream) -> None:
    upstream = _upstream(server)
    await _go_stale(server, upstream)
    silence = await _silence(upstream, _request("POST", body=b"{}"))
    assert silence.reason is Reason.UPSTREAM_LOST
    assert silence.was_sent
    assert len(server.requests) == 2


async def test_a_request_is_repeated_once_only(server: RawUpstream) -> None:
    upstream = _upstream(server)
    await _go_stale(server, upstream)
    server.answers = [raw(b"", close=True), raw(b"", close=True), raw(b"", close=True)]
    assert (await _silence(upstream)).reason is Reason.UPSTREAM_LOST
    assert len(server.requests) == 3


async def test_nothing_is_repeated_on_a_fresh_connection(server: RawUpstream) -> None:
    server.answers = [raw(b"", close=True)]
    assert (await _silence(_upstream(server))).reason is Reason.UPSTREAM_LOST
    assert len(server.requests) == 1


async def test_nothing_is_repeated_once_a_byte_of_the_answer_was_there(server: RawUpstream) -> None:
    upstream = _upstream(server)
    await _fetch(upstream)
    server.answers = [raw(b"HTTP/1.1 200", close=True)]
    assert (await _silence(upstream)).was_answered
    assert len(server.requests) == 2


async def test_an_upstream_that_listens_nowhere_was_sent_nothing() -> None:
    async with raw_upstream() as gone:
        pass
    silence = await _silence(_upstream(gone))
    assert (silence.reason, silence.was_sent) == (Reason.UPSTREAM_UNAVAILABLE, False)


async def test_an_answer_that_is_late_ends_the_exchange_and_the_connection(server: RawUpstream) -> None:
    server.answers = [raw(OK, wait_s=1.0)]
    upstream = _upstream(server)
    silence = await _silence(upstream, timeout_s=0.05)
    assert (silence.reason, silence.was_sent) == (Reason.UPSTREAM_TIMEOUT, True)
    assert (await _fetch(upstream))[0] == 200
    assert server.connections == 2


async def test_an_answer_that_stops_half_way_times_out_between_pieces(server: RawUpstream) -> None:
    server.answers = [raw(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")]
    assert (await _silence(_upstream(server), timeout_s=0.1)).reason is Reason.UPSTREAM_TIMEOUT


async def test_cancelling_a_request_closes_its_connection(server: RawUpstream) -> None:
    server.answers = [raw(OK, wait_s=5.0)]
    upstream = _upstream(server)
    task = asyncio.create_task(_fetch(upstream))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert upstream.in_flight == 0
    assert (await _fetch(upstream))[0] == 200
    assert server.connections == 2


async def test_a_slow_reader_holds_the_upstream_back(server: RawUpstream) -> None:
    size = 32 * 1024 * 1024
    sent = 0

    async def pour(
        _request: RawRequest, _upstream: RawUpstream, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    server.answers = [pour]
    exchange, _ = await _upstream(server).send(_request(), 2.0)
    await asyncio.sleep(0.3)
    held = sent
    assert held < 16 * 1024 * 1024  # what the kernel's buffers take; the rest waits at its source
    received, largest = 0, 0
    while (chunk := await exchange.chunk(2.0)) is not None:
        received += len(chunk)
        largest = max(largest, len(chunk))
    assert received == size
    assert largest <= ANSWER_BYTES_BUFFERED + 256 * 1024


async def test_no_more_requests_are_in_flight_than_the_rule_allows(server: RawUpstream) -> None:
    busiest, running = 0, 0

    async def slow(
        request: RawRequest, upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal busiest, running
        running += 1
        busiest = max(busiest, running)
        await asyncio.sleep(0.02)
        running -= 1
        await answer_ok(request, upstream, reader, writer)

    server.otherwise = slow
    upstream = _upstream(server, UpstreamRule(in_flight_max=3))
    replies = await asyncio.gather(*(_fetch(upstream) for _ in range(12)))
    assert {status for status, _ in replies} == {200}
    assert busiest == 3
    assert upstream.in_flight == 0


async def test_a_request_that_finds_no_place_in_time_is_refused_as_busy(server: RawUpstream) -> None:
    server.otherwise = raw(OK, wait_s=0.5)
    upstream = _upstream(server, UpstreamRule(in_flight_max=1, waiting_max=1, wait_s=0.05))
    first = asyncio.create_task(_fetch(upstream))
    await asyncio.sleep(0.02)
    results = await asyncio.gather(*(_fetch(upstream) for _ in range(3)), return_exceptions=True)
    assert [each.reason for each in results if isinstance(each, EdgeRefusal)] == [Reason.UPSTREAM_BUSY] * 3
    assert (await first)[0] == 200
    assert upstream.in_flight == 0


async def test_an_upstream_that_never_answers_is_left_alone_and_tried_again(server: RawUpstream) -> None:
    rule = UpstreamRule(breaker=BreakerRule(outcomes_min=5, rest_s=0.2))
    server.otherwise = raw(b"", close=True)
    upstream = _upstream(server, rule)
    for _ in range(5):
        await _silence(upstream)
    assert upstream.breaker.state is Circuit.OPEN
    with pytest.raises(EdgeRefusal) as refused:
        await _fetch(upstream)
    assert refused.value.reason is Reason.UPSTREAM_CIRCUIT_OPEN
    assert len(server.requests) == 5
    server.otherwise = answer_ok
    await asyncio.sleep(0.25)
    assert (await _fetch(upstream))[0] == 200
    assert upstream.breaker.state is Circuit.CLOSED


async def test_an_answered_error_does_not_open_the_circuit(server: RawUpstream) -> None:
    server.otherwise = raw(b"HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n")
    upstream = _upstream(server, UpstreamRule(breaker=BreakerRule(outcomes_min=5)))
    for _ in range(10):
        assert (await _fetch(upstream))[0] == 503
    assert upstream.breaker.state is Circuit.CLOSED


@pytest.mark.parametrize("url", ["ftp://a", "http://", "http://a/path", "http://a?x=1", "a:80"])
def test_an_upstream_is_a_scheme_a_host_and_a_port(url: str) -> None:
    with pytest.raises(ValueError, match="nothing more"):
        Upstream("store", url, UpstreamRule(), SystemClock())


async def _pour(server: RawUpstream, size: int, *, pause_s: float, timeout_s: float) -> tuple[float, bytes | None]:
    """Stream a body of ``size`` to a service that reads it after a pause; gives how long the writing took."""

    async def read_late(
        _request: RawRequest, _upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await asyncio.sleep(pause_s)
        received = 0
        while received < size:
            received += len(await reader.read(1 << 20))
        writer.write(OK)

    server.reads_bodies = False
    server.answers = [read_late]
    head = b"POST /x HTTP/1.1\r\nhost: store\r\ncontent-length: %d\r\n\r\n" % size
    request = OutRequest(method="POST", head=head, body=None, is_repeatable=False)
    exchange, connection = await _upstream(server).send(request, 2.0)
    started = asyncio.get_running_loop().time()
    for _ in range(size // 65536):
        await connection.write(b"x" * 65536, timeout_s)
    connection.end()
    took = asyncio.get_running_loop().time() - started
    await exchange.head(10.0)
    return took, await exchange.chunk(2.0)


async def test_a_slow_service_holds_the_caller_back(server: RawUpstream) -> None:
    took, body = await _pour(server, 64 * 1024 * 1024, pause_s=0.3, timeout_s=10.0)
    assert took >= 0.25
    assert body == b"ok"


async def test_a_service_that_takes_no_more_of_a_body_times_out(server: RawUpstream) -> None:
    with pytest.raises(UpstreamSilent) as silence:
        await _pour(server, 64 * 1024 * 1024, pause_s=1.0, timeout_s=0.2)
    assert silence.value.reason is Reason.UPSTREAM_TIMEOUT
