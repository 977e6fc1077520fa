"""For tests and benchmarks: an upstream that misbehaves on demand, a real server on a free port, and a bare client.

Nothing here knows HTTP beyond bytes, so that it can say what no sound HTTP library would.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

from ledgerlink_gateway.edge.strict import StrictProtocol
from ledgerlink_kit.testing.tokens import TokenMint

RawHeaders = list[tuple[str, str]]
Answer = Callable[["RawRequest", "RawUpstream", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as the upstream saw it, header names in lower case."""

    method: str
    target: str
    headers: RawHeaders
    body: bytes

    def header(self, name: str) -> str | None:
        """Give a header's only value, None without it. Raises AssertionError for a double one."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name} stands {len(values)} times"
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class RawReply:
    """An answer as the client saw it; ``is_whole`` says whether its framing was fulfilled."""

    status: int
    headers: RawHeaders
    body: bytes
    is_whole: bool = True

    def header(self, name: str) -> str | None:
        """Give a header's only value, None without it. Raises AssertionError for a double one."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, f"{name} stands {len(values)} times"
        return values[0] if values else None


async def answer_ok(
    request: RawRequest, _upstream: "RawUpstream", _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer 200 with a small JSON object, and keep the connection."""
    body = b'{"upstream":"ok"}'
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body))
    if request.method != "HEAD":
        writer.write(body)
    await writer.drain()


def raw(data: bytes, *, close: bool = False, wait_s: float = 0.0) -> Answer:
    """Make an answer of exactly these bytes, perhaps late, perhaps followed by the end of the connection."""

    async def answer(
        _request: RawRequest, _upstream: "RawUpstream", _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await asyncio.sleep(wait_s)
        writer.write(data)
        await writer.drain()
        if close:
            writer.close()

    return answer


@dataclass
class RawUpstream:
    """A server that reads requests and answers each with the next of ``answers``, then with ``otherwise``.

    ``reads_bodies`` False leaves bodies in the socket, as a slow or broken service does.
    """

    otherwise: Answer = answer_ok
    answers: list[Answer] = field(default_factory=list[Answer])
    requests: list[RawRequest] = field(default_factory=list[RawRequest])
    reads_bodies: bool = True
    connections: int = 0
    port: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _writers: set[asyncio.StreamWriter] = field(default_factory=set[asyncio.StreamWriter])

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self.port}"

    def cut_connections(self) -> None:
        """End every open connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def end(self) -> None:
        """End every connection and what answers on it."""
        self.cut_connections()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while not writer.is_closing():
                request = await _read_request(reader, reads_body=self.reads_bodies)
                self.requests.append(request)
                self.asked.set()
                answer = self.answers.pop(0) if self.answers else self.otherwise
                await answer(request, self, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()


@asynccontextmanager
async def raw_upstream(otherwise: Answer = answer_ok) -> AsyncGenerator[RawUpstream]:
    """Run a `RawUpstream` on a free port."""
    upstream = RawUpstream(otherwise)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    upstream.port = int(server.sockets[0].getsockname()[1])
    try:
        yield upstream
    finally:
        server.close()
        await upstream.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await server.wait_closed()


@dataclass
class Stand:
    """A gateway on a free port, with one raw upstream behind all four names, and a mint whose tokens it accepts."""

    port: int
    upstream: RawUpstream
    mint: TokenMint
    token: str


MakeStand = Callable[..., Awaitable[Stand]]
"""Makes a `Stand`; takes settings by keyword, and ``table``, ``jwks``, ``clock``."""


@asynccontextmanager
async def serving(app: ASGIApp, protocol: type[StrictProtocol] = StrictProtocol) -> AsyncGenerator[int]:
    """Serve ``app`` as in production, with its lifespan, on a free port; gives the port."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        http=protocol,
        ws="none",
        proxy_headers=False,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - without its signal handlers
    while not server.started:
        await asyncio.sleep(0.005)
        if task.done():
            task.result()
    port = int(server.servers[0].sockets[0].getsockname()[1])
    try:
        yield port
    finally:
        server.should_exit = True
        await task


async def ask(port: int, data: bytes, *, timeout_s: float = 10.0) -> RawReply:
    """Send bytes on a fresh connection and read one final answer."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(data)
            await writer.drain()
            return await read_reply(reader, is_head=data.startswith(b"HEAD "))
        finally:
            writer.close()


def request(
    method: str, target: str, *, token: str | None = None, body: bytes | None = None, headers: RawHeaders | None = None
) -> bytes:
    """Write a sound request, JSON if it has a body."""
    lines = [f"{method} {target} HTTP/1.1", "host: gateway.test"]
    if token is not None:
        lines.append(f"authorization: Bearer {token}")
    given = headers or []
    if body is not None:
        lines.append(f"content-length: {len(body)}")
        if not any(name == "content-type" for name, _ in given):
            lines.append("content-type: application/json")
    lines += [f"{name}: {value}" for name, value in given]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


async def read_reply(reader: asyncio.StreamReader, *, is_head: bool = False) -> RawReply:
    """Read one final answer; interim ones are skipped."""
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(head.split(" ", 2)[1])
        if status >= 200:
            break
    headers = _headers(head)
    fields = dict(headers)
    if is_head or status in (204, 304):
        return RawReply(status, headers, b"")
    body, is_whole = await _read_body(reader, fields, to_end=True)
    return RawReply(status, headers, body, is_whole)


async def _read_request(reader: asyncio.StreamReader, *, reads_body: bool) -> RawRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
    headers = _headers(head)
    body, _ = await _read_body(reader, dict(headers), to_end=False) if reads_body else (b"", True)
    return RawRequest(method, target, headers, body)


def _headers(head: str) -> RawHeaders:
    lines = head.split("\r\n")[1:-2]
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


async def _read_body(reader: asyncio.StreamReader, fields: dict[str, str], *, to_end: bool) -> tuple[bytes, bool]:
    if fields.get("transfer-encoding") == "chunked":
        return await _read_chunks(reader)
    if "content-length" in fields:
        try:
            return await reader.readexactly(int(fields["content-length"])), True
        except asyncio.IncompleteReadError as cut:
            return cut.partial, False
    return (await reader.read(), True) if to_end else (b"", True)


async def _read_chunks(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    body = b""
    try:
        while True:
            size = int((await reader.readline()).split(b";")[0], 16)
            body += await reader.readexactly(size)
            await reader.readexactly(2)
            if size == 0:
                return body, True
    except (asyncio.IncompleteReadError, ValueError, ConnectionError):
        return body, False
