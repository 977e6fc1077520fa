"""Proves what passes through the gateway and how: methods, bodies, headers, both ways, over real sockets."""

import asyncio
import re

import orjson
import pytest

from ledgerlink_gateway.testing import (
    MakeStand,
    RawRequest,
    RawUpstream,
    Stand,
    ask,
    raw,
    read_reply,
    request,
)

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_get_reaches_its_service_under_its_own_path_with_its_query(stand: Stand) -> None:
    reply = await ask(stand.port, request("GET", "/api/v1/wallets/wal_1/balance?currency=GBP", token=stand.token))
    assert (reply.status, reply.body) == (200, b'{"upstream":"ok"}')
    seen = stand.upstream.requests[0]
    assert (seen.method, seen.target, seen.body) == ("GET", "/wallets/wal_1/balance?currency=GBP", b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_body_reaches_its_service_as_it_is(stand: Stand, method: str) -> None:
    body = b'{"amount_minor": 500, "currency": "GBP"}'
    reply = await ask(stand.port, request(method, "/api/v1/wallets", token=stand.token, body=body))
    assert reply.status == 200
    seen = stand.upstream.requests[0]
    assert (seen.method, seen.body, seen.header("content-length")) == (method, body, str(len(body)))


async def test_a_post_without_a_body_says_so(stand: Stand) -> None:
    await ask(stand.port, request("POST", "/api/v1/holds/hold_1/release", token=stand.token))
    assert stand.upstream.requests[0].header("content-length") == "0"


async def test_a_head_request_is_answered_without_a_body(stand: Stand) -> None:
    reply = await ask(stand.port, request("HEAD", "/api/v1/wallets", token=stand.token))
    assert (reply.status, reply.body, reply.header("content-length")) == (200, b"", "17")


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n", 304, b""),
        (b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", 201, b"hi"),
        (b"HTTP/1.1 409 Conflict\r\ncontent-length: 2\r\n\r\nno", 409, b"no"),
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 2\r\n\r\nno", 500, b"no"),
    ],
)
async def test_a_services_answer_passes_as_it_is(stand: Stand, answer: bytes, status: int, body: bytes) -> None:
    stand.upstream.answers = [raw(answer)]
    reply = await ask(stand.port, request("GET", "/api/v1/wallets", token=stand.token))
    assert (reply.status, reply.body, reply.is_whole) == (status, body, True)


async def test_an_answer_that_ends_with_its_connection_is_chunked_for_the_caller(stand: Stand) -> None:
    stand.upstream.answers = [raw(b"HTTP/1.1 200 OK\r\n\r\nto the end", close=True)]
    reply = await ask(stand.port, request("GET", "/api/v1/wallets", token=stand.token))
    assert (reply.body, reply.is_whole) == (b"to the end", True)


async def test_an_answer_that_is_cut_is_cut_for_the_caller_too(stand: Stand) -> None:
    stand.upstream.answers = [raw(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", close=True)]
    reply = await ask(stand.port, request("GET", "/api/v1/wallets", token=stand.token))
    assert (reply.status, reply.is_whole) == (200, False)


async def test_the_service_is_told_who_and_where_by_the_gateway_alone(stand: Stand) -> None:
    forged = [
        ("x-user-id", "usr_mallory"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=6.6.6.6"),
        ("x-real-ip", "6.6.6.6"),
        ("x_caller", "x"),
        ("connection", "x-secret"),
        ("x-secret", "1"),
        ("te", "trailers"),
        ("accept", "text/plain"),
    ]
    await ask(stand.port, request("GET", "/api/v1/wallets", token=stand.token, headers=forged))
    seen = stand.upstream.requests[0]
    assert seen.header("host") == stand.upstream.url.removeprefix("http://")
    assert seen.header("authorization") == f"Bearer {stand.token}"
    assert seen.header("x-forwarded-for") == "127.0.0.1"
    assert seen.header("x-forwarded-proto") == "http"
    assert seen.header("x-forwarded-host") == "gateway.test"
    assert seen.header("accept") == "text/plain"
    names = {name for name, _ in seen.headers}
    assert not names & {"x-user-id", "forwarded", "x-real-ip", "x_caller", "x-secret", "connection", "te"}


async def test_behind_a_trusted_proxy_its_word_on_the_client_is_passed_on(make_stand: MakeStand) -> None:
    stand = await make_stand(trusted_proxies="127.0.0.0/8")
    headers = [("x-forwarded-for", "6.6.6.6, 203.0.113.7")]
    await ask(stand.port, request("GET", "/api/v1/wallets", token=stand.token, headers=headers))
    assert stand.upstream.requests[0].header("x-forwarded-for") == "203.0.113.7"


async def test_transport_security_is_said_when_a_trusted_proxy_says_that_the_caller_came_by_tls(
    make_stand: MakeStand,
) -> None:
    behind, alone = await make_stand(trusted_proxies="127.0.0.1"), await make_stand()
    headers = [("x-forwarded-proto", "https")]
    reply = await ask(behind.port, request("GET", "/api/v1/wallets", token=behind.token, headers=headers))
    assert (reply.header("strict-transport-security") or "").startswith("max-age=")
    assert behind.upstream.requests[0].header("x-forwarded-proto") == "https"
    reply = await ask(alone.port, request("GET", "/api/v1/wallets", token=alone.token, headers=headers))
    assert reply.header("strict-transport-security") is None


async def test_ids_of_the_caller_are_kept_and_come_back(stand: Stand) -> None:
    headers = [("x-request-id", "req-1"), ("traceparent", TRACE), ("tracestate", "a=1")]
    reply = await ask(stand.port, request("GET", "/api/v1/wallets", token=stand.token, headers=headers))
    seen = stand.upstream.requests[0]
    assert (seen.header("x-request-id"), reply.header("x-request-id")) == ("req-1", "req-1")
    assert (seen.header("traceparent"), seen.header("tracestate")) == (TRACE, "a=1")


async def test_ids_are_made_where_the_callers_are_missing_or_unsound(stand: Stand) -> None:
    headers = [("x-request-id", "a b"), ("traceparent", "00-0-0-00"), ("tracestate", "a=1")]
    reply = await ask(stand.port, request("GET", "/api/v1/wallets", token=stand.token, headers=headers))
    seen = stand.upstream.requests[0]
    made = seen.header("x-request-id")
    assert made is not None
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert reply.header("x-request-id") == made
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", seen.header("traceparent") or "")
    assert seen.header("tracestate") is None


async def test_every_answer_carries_security_headers_once(stand: Stand) -> None:
    own = b"HTTP/1.1 200 OK\r\nx-content-type-options: nosniff\r\nserver: x\r\ncontent-length: 0\r\n\r\n"
    stand.upstream.answers = [raw(own)]
    for token in (stand.token, None):
        reply = await ask(stand.port, request("GET", "/api/v1/wallets", token=token))
        assert reply.header("x-content-type-options") == "nosniff"
        assert reply.header("x-frame-options") == "DENY"
        assert reply.header("content-security-policy") == "default-src 'none'; frame-ancestors 'none'"
        assert reply.header("server") is None


async def test_an_answer_is_nobodys_to_keep_unless_its_service_says_so(stand: Stand) -> None:
    stand.upstream.answers = [raw(b"HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 0\r\n\r\n")]
    replies = [await ask(stand.port, request("GET", "/.well-known/jwks.json")) for _ in range(2)]
    assert [reply.header("cache-control") for reply in replies] == ["max-age=60", "no-store"]


async def test_100_continue_is_answered_by_the_gateway_when_it_wants_the_body(stand: Stand) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    headers = [("content-length", "2"), ("expect", "100-continue")]
    head = request("POST", "/api/v1/wallets", token=stand.token, headers=headers)
    writer.write(head)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"{}")
    assert (await read_reply(reader)).status == 200
    seen = stand.upstream.requests[0]
    assert (seen.body, seen.header("expect")) == (b"{}", None)
    writer.close()


async def test_100_continue_is_not_answered_when_the_request_is_refused_by_its_head(stand: Stand) -> None:
    head = request("POST", "/api/v1/wallets", headers=[("content-length", "2"), ("expect", "100-continue")])
    assert (await ask(stand.port, head)).status == 401


async def test_a_chunked_body_reaches_its_service_whole(stand: Stand) -> None:
    head = request("POST", "/api/v1/wallets", token=stand.token, headers=[("transfer-encoding", "chunked")])
    reply = await ask(stand.port, head + b'3\r\n{"a\r\n4\r\n": 1\r\n1\r\n}\r\n0\r\nx-user-id: 1\r\n\r\n')
    assert reply.status == 200
    seen = stand.upstream.requests[0]
    assert seen.body == b'{"a": 1}'
    assert seen.header("x-user-id") is None


async def test_requests_in_one_packet_are_answered_in_their_order(stand: Stand) -> None:
    stand.upstream.answers = [raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n%d" % n) for n in range(3)]
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(request("GET", "/api/v1/wallets", token=stand.token) * 3)
    assert [(await read_reply(reader)).body for _ in range(3)] == [b"0", b"1", b"2"]
    writer.close()


async def test_a_large_body_streams_to_its_service_before_it_is_whole(make_stand: MakeStand) -> None:
    stand = await make_stand()
    size = 600_000
    first = asyncio.Event()

    async def taste(
        _request: RawRequest, _upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        received = len(await reader.read(10_000))
        first.set()
        while received < size:
            received += len(await reader.read(65536))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%d" % (len(str(received)), received))

    stand.upstream.reads_bodies = False
    stand.upstream.answers = [taste]
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(request("POST", "/api/v1/wallets", token=stand.token, headers=[("content-length", str(size))]))
    writer.write(b"x" * 100_000)
    async with asyncio.timeout(5):
        await first.wait()
    writer.write(b"x" * (size - 100_000))
    reply = await read_reply(reader)
    assert (reply.status, reply.body) == (200, str(size).encode())
    writer.close()


async def test_a_file_of_any_size_streams_to_its_import_no_faster_than_it_is_taken(make_stand: MakeStand) -> None:
    stand = await make_stand()
    size = 96 * 1024 * 1024
    go_on = asyncio.Event()

    async def take(
        _request: RawRequest, _upstream: RawUpstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await go_on.wait()
        received = 0
        while received < size:
            received += len(await reader.read(2**20))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    stand.upstream.reads_bodies = False
    stand.upstream.answers = [take]
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    headers = [("content-length", str(size)), ("content-type", "application/x-ndjson")]
    path = "/api/v1/imports/imp_1/lines?from_line=0"
    writer.write(request("POST", path, token=stand.token, headers=headers))
    sent = 0

    async def pour() -> None:
        nonlocal sent
        while sent < size:
            writer.write(b"x" * 2**20)
            sent += 2**20
            await writer.drain()

    pouring = asyncio.create_task(pour())
    await asyncio.sleep(1)
    held = sent
    go_on.set()
    reply = await asyncio.wait_for(read_reply(reader), 60)
    await pouring
    writer.close()

    assert (reply.status, reply.body) == (200, b"{}")
    # What the sockets' buffers and ours took while nobody read.
    assert held < size // 2
    assert stand.upstream.requests[0].target == "/imports/imp_1/lines?from_line=0"


async def test_a_large_answer_streams_to_its_caller_no_faster_than_it_reads(stand: Stand) -> None:
    size, sent = 64 * 1024 * 1024, 0

    async def pour(
        _request: RawRequest, _upstream: RawUpstream, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    stand.upstream.answers = [pour]
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(request("GET", "/api/v1/wallets", token=stand.token))
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(0.5)
    assert sent < size // 2  # kernel buffers and ours are full; the rest waits at its source
    received = 0
    while received < size:
        received += len(await reader.read(1 << 20))
    assert received == size
    writer.close()


async def test_an_answer_before_the_end_of_the_body_is_passed_on_at_once(stand: Stand) -> None:
    stand.upstream.reads_bodies = False
    stand.upstream.answers = [raw(b"HTTP/1.1 413 No\r\ncontent-length: 4\r\n\r\nstop")]
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(request("POST", "/api/v1/wallets", token=stand.token, headers=[("content-length", "500000")]))
    writer.write(b"x" * 100_000)
    reply = await read_reply(reader)
    assert (reply.status, reply.body, reply.header("connection")) == (413, b"stop", "close")
    writer.close()


async def test_a_caller_that_leaves_half_way_through_its_body_ends_the_exchange(stand: Stand) -> None:
    gone = asyncio.Event()

    async def read_to_the_end(
        _request: RawRequest, _upstream: RawUpstream, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter
    ) -> None:
        try:
            while await reader.read(65536):
                pass
        finally:
            gone.set()

    stand.upstream.reads_bodies = False
    stand.upstream.answers = [read_to_the_end]
    _, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(request("POST", "/api/v1/wallets", token=stand.token, headers=[("content-length", "500000")]))
    writer.write(b"x" * 100_000)
    await asyncio.wait_for(stand.upstream.asked.wait(), 5)
    writer.close()
    await asyncio.wait_for(gone.wait(), 5)
    assert gone.is_set()


async def test_a_caller_that_leaves_ends_the_exchange(stand: Stand) -> None:
    gone = asyncio.Event()

    async def wait_for_the_end(
        _request: RawRequest, _upstream: RawUpstream, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter
    ) -> None:
        if not await reader.read(1):
            gone.set()

    stand.upstream.answers = [wait_for_the_end]
    _, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(request("GET", "/api/v1/wallets", token=stand.token))
    await asyncio.sleep(0.1)
    writer.close()
    await asyncio.wait_for(gone.wait(), 3)
    assert gone.is_set()


async def test_two_hundred_requests_at_once_share_a_bounded_number_of_connections(make_stand: MakeStand) -> None:
    stand = await make_stand(in_flight_max=8)
    replies = await asyncio.gather(
        *(ask(stand.port, request("GET", f"/api/v1/wallets/{n}", token=stand.token)) for n in range(200))
    )
    assert {reply.status for reply in replies} == {200}
    assert stand.upstream.connections <= 8
    assert sorted(seen.target for seen in stand.upstream.requests) == sorted(f"/wallets/{n}" for n in range(200))


async def test_cors_is_off_unless_an_origin_is_named(make_stand: MakeStand) -> None:
    origin = [("origin", "https://app.example")]
    preflight = [*origin, ("access-control-request-method", "POST")]
    closed, opened = await make_stand(), await make_stand(cors_origins="https://app.example")
    reply = await ask(closed.port, request("OPTIONS", "/api/v1/wallets", headers=preflight))
    assert (reply.status, reply.header("access-control-allow-origin")) == (401, None)
    reply = await ask(opened.port, request("OPTIONS", "/api/v1/wallets", headers=preflight))
    assert (reply.status, reply.header("access-control-allow-origin")) == (204, "https://app.example")
    reply = await ask(opened.port, request("GET", "/api/v1/wallets", token=opened.token, headers=origin))
    assert reply.header("access-control-allow-origin") == "https://app.example"
    other = [("origin", "https://evil.example")]
    reply = await ask(opened.port, request("GET", "/api/v1/wallets", token=opened.token, headers=other))
    assert (reply.header("access-control-allow-origin"), reply.header("vary")) == (None, "Origin")


async def test_a_refusal_in_stripes_dialect_holds_its_error_object(stand: Stand) -> None:
    reply = await ask(stand.port, request("GET", "/v1/payment_intents"))
    body = orjson.loads(reply.body)
    assert (reply.status, body["code"]) == (401, "token-missing")
    assert body["error"] == {"type": "invalid_request_error", "code": "token-missing", "message": body["detail"]}
