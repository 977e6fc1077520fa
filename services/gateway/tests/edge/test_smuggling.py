"""Proves, against the real server, that a request which two readers could frame differently is read by none."""

import asyncio
from contextlib import suppress

import pytest
from starlette.types import Receive, Scope, Send

from ledgerlink_gateway.edge import strict
from ledgerlink_gateway.testing import RawRequest, RawUpstream, Stand, ask, read_reply, request, serving

OK_HEAD = b"POST /api/v1/auth/token HTTP/1.1\r\nhost: a\r\n"
INNER = b"GET /api/v1/auth/token HTTP/1.1\r\nhost: a\r\n\r\n"

REFUSED = {
    "two different lengths": OK_HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "two equal lengths": OK_HEAD + b"content-length: 1\r\ncontent-length: 1\r\n\r\na",
    "a list of lengths": OK_HEAD + b"content-length: 1, 1\r\n\r\na",
    "a signed length": OK_HEAD + b"content-length: +1\r\n\r\na",
    "a hexadecimal length": OK_HEAD + b"content-length: 0x1\r\n\r\na",
    "an empty length": OK_HEAD + b"content-length: \r\n\r\n",
    "a length and chunks": OK_HEAD + b"content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + INNER,
    "chunks and a length": OK_HEAD + b"transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n" + INNER,
    "an unknown coding": OK_HEAD + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n" + INNER,
    "a coding after chunked": OK_HEAD + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two codings": OK_HEAD + b"transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
    "a coding in quotes": OK_HEAD + b'transfer-encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a space before the colon": OK_HEAD + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
    "a control character before the coding": OK_HEAD + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a folded header": OK_HEAD + b"x: a\r\n b\r\n\r\n",
    "a folded coding": OK_HEAD + b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "bare line feeds": b"GET /api/v1/auth/token HTTP/1.1\nhost: a\n\n",
    "a bare carriage return": b"GET /api/v1/auth/token HTTP/1.1\r\nhost: a\rx: b\r\n\r\n",
    "a NUL in a value": b"GET /api/v1/auth/token HTTP/1.1\r\nhost: a\r\nx: a\x00b\r\n\r\n",
    "a bad chunk size": OK_HEAD + b"transfer-encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk size with a prefix": OK_HEAD + b"transfer-encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    "a bare line feed after a chunk size": OK_HEAD + b"transfer-encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
    "a chunk longer than its size": OK_HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    "two hosts": b"GET /api/v1/auth/token HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "no host": b"GET /api/v1/auth/token HTTP/1.1\r\nx: y\r\n\r\n",
    "a host with a path": b"GET /api/v1/auth/token HTTP/1.1\r\nhost: a/b\r\n\r\n",
    "a host with a user": b"GET /api/v1/auth/token HTTP/1.1\r\nhost: a@b\r\n\r\n",
    "a host in the target": b"GET http://b/api/v1/auth/token HTTP/1.1\r\nhost: a\r\n\r\n",
    "a target without a slash": b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
    "a connect": b"CONNECT b:443 HTTP/1.1\r\nhost: a\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /api/v1/auth/token HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown version": b"GET /api/v1/auth/token HTTP/1.9\r\nhost: a\r\n\r\n",
    "an upgrade with a body": OK_HEAD + b"upgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 3\r\n\r\nabc",
    "a preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a double authorization": INNER[:-2] + b"authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n",
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 20,
    "a dot segment": b"GET /api/v1/auth/../wallets HTTP/1.1\r\nhost: a\r\n\r\n",
    "an encoded slash": b"GET /api/v1/auth%2ftoken HTTP/1.1\r\nhost: a\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_an_ambiguous_request_is_answered_400_and_never_passed_on(stand: Stand, name: str) -> None:
    reply = await ask(stand.port, REFUSED[name])
    assert reply.status in (400, 405), name
    assert reply.header("content-type") == "application/problem+json"
    await asyncio.sleep(0.02)
    assert stand.upstream.requests == [], name


async def test_an_old_version_is_refused(stand: Stand) -> None:
    reply = await ask(stand.port, b"GET /api/v1/auth/token HTTP/0.9\r\nhost: a\r\n\r\n")
    assert reply.status == 505
    assert stand.upstream.requests == []


@pytest.mark.parametrize("name", ["a length and chunks", "an unknown coding", "two different lengths"])
async def test_what_follows_a_refused_request_on_its_connection_is_never_read(stand: Stand, name: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    writer.write(REFUSED[name])
    assert (await read_reply(reader)).status == 400
    assert await reader.read() == b""
    assert stand.upstream.requests == []
    writer.close()


async def test_too_many_or_too_long_headers_are_answered_431(stand: Stand) -> None:
    many = b"GET / HTTP/1.1\r\nhost: a\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(200)) + b"\r\n"
    large = b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 40_000 + b"\r\n\r\n"
    endless = b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * (strict.HEAD_BYTES_MAX + 1)
    for sent in (many, large, endless):
        reply = await ask(stand.port, sent)
        assert (reply.status, reply.header("content-type")) == (431, "application/problem+json")


async def test_an_upgrade_without_a_body_is_answered_as_a_plain_request(stand: Stand) -> None:
    headers = [("upgrade", "websocket"), ("connection", "upgrade")]
    reply = await ask(stand.port, request("GET", "/.well-known/jwks.json", headers=headers))
    assert reply.status == 200
    assert stand.upstream.requests[0].header("upgrade") is None


async def test_a_plain_request_in_http_1_0_is_answered_and_its_connection_closed(stand: Stand) -> None:
    reply = await ask(stand.port, b"GET /.well-known/jwks.json HTTP/1.0\r\n\r\n")
    assert (reply.status, reply.header("connection")) == (200, "close")


class _Impatient(strict.StrictProtocol):
    head_s_max = 0.1


async def _quiet(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer nothing but the server's lifespan."""
    if scope["type"] == "lifespan":
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})


async def test_a_head_that_trickles_in_is_cut_off_in_time() -> None:
    async with serving(_quiet, _Impatient) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n")
        reply = await asyncio.wait_for(read_reply(reader), 5)
        assert (reply.status, reply.header("connection")) == (408, "close")
        writer.close()


async def test_a_connection_that_never_asks_is_closed_without_a_word() -> None:
    async with serving(_quiet, _Impatient) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_bad_chunk_inside_a_begun_answer_ends_the_connection(stand: Stand) -> None:
    async def begin(
        _request: RawRequest, _upstream: RawUpstream, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        await asyncio.sleep(30)

    stand.upstream.reads_bodies = False
    stand.upstream.answers = [begin]
    reader, writer = await asyncio.open_connection("127.0.0.1", stand.port)
    head = request("POST", "/api/v1/wallets", token=stand.token, headers=[("transfer-encoding", "chunked")])
    writer.write(head + b"fffe\r\n" + b"x" * 0xFFFE + b"\r\n5\r\nhello\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.write(b"not a chunk\r\n")
    rest = b""
    with suppress(ConnectionError):
        rest = await asyncio.wait_for(reader.read(), 5)
    assert b"HTTP/1.1" not in rest
    writer.close()
