"""One HTTP/1.1 connection to an upstream, on asyncio and httptools; it carries one exchange at a time.

The parser is llhttp in its strict mode: conflicting lengths, bare line feeds and folded headers in an answer are
errors. Reading pauses while the caller is slow (`ANSWER_BYTES_BUFFERED`), writing waits while the upstream is slow.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

import httptools

from ledgerlink_gateway.domain.headers import RawHeaders
from ledgerlink_gateway.domain.refusals import EdgeRefusal, Reason

ANSWER_BYTES_BUFFERED: Final = 64 * 1024
"""Bytes of an answer that are held for a slow caller before reading from the upstream pauses."""
ANSWER_HEADER_BYTES_MAX: Final = 64 * 1024
ANSWER_HEADERS_MAX: Final = 200
INTERIM_ANSWERS_MAX: Final = 8
"""1xx answers that are skipped before an upstream counts as broken."""

_NO_BODY: Final = frozenset({204, 304})
_FIRST_FINAL_STATUS: Final = 200
_SWITCHING_PROTOCOLS: Final = 101


class UpstreamSilent(Exception):
    """An upstream gave no whole, valid, timely answer.

    ``reason`` says how; ``was_sent`` whether any byte of the request had been written, so that it may have had its
    effect; ``was_answered`` whether any byte came back.
    """

    def __init__(self, reason: Reason, detail: str, *, was_sent: bool, was_answered: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.was_sent = was_sent
        self.was_answered = was_answered

    def refusal(self, upstream: str) -> EdgeRefusal:
        """Give what the caller is told. The detail names the service, never its address."""
        return EdgeRefusal(
            self.reason,
            f"{upstream}: {self.detail}",
            retry_after_s=1,
            outcome_unknown=self.was_sent,
            upstream=upstream,
        )


class Exchange:
    """One request's answer as it arrives: a status, headers (names in lower case), then pieces of the body."""

    __slots__ = (
        "_buffered",
        "_chunks",
        "_connection",
        "_error",
        "_on_end",
        "_waiter",
        "headers",
        "is_complete",
        "status",
    )

    def __init__(self, connection: "Connection", on_end: Callable[[bool | None], None]) -> None:
        """``on_end`` is called once: True for a whole answer, False for none, None if we ended it ourselves."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_complete = False
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._waiter: asyncio.Future[None] | None = None
        self._error: UpstreamSilent | None = None
        self._connection = connection
        self._on_end: Callable[[bool | None], None] | None = on_end

    @property
    def has_head(self) -> bool:
        """Whether status and headers are there."""
        return self.status != 0

    async def head(self, timeout_s: float) -> None:
        """Wait for status and headers. Raises `UpstreamSilent`; cancellation closes the connection."""
        if self.status == 0:
            await self._wait(timeout_s)

    async def chunk(self, timeout_s: float) -> bytes | None:
        """Give the next piece of the body, or None at its end. Raises `UpstreamSilent`."""
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.is_complete:
                return None
            await self._wait(timeout_s)
        chunk = self._chunks.popleft() if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if not self.is_complete:
            self._connection.resume_reading()
        return chunk

    def whole(self) -> bytes | None:
        """Give the whole body if all of it is here already, else None: the common case of a small answer."""
        return b"".join(self._chunks) if self.is_complete else None

    def abandon(self) -> None:
        """End the exchange before its end: the connection is closed and is never used again."""
        if not self.is_complete and self._error is None:
            self._finish(was_answered=True if self.has_head else None)
            self._error = UpstreamSilent(Reason.UPSTREAM_LOST, "abandoned", was_sent=True)
            self._connection.abort()

    # What the connection tells.

    def head_arrived(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Take status and headers."""
        self.status = status
        self.headers = headers
        self._wake()

    def chunk_arrived(self, chunk: bytes) -> bool:
        """Take a piece of the body; tells whether enough is held for now."""
        self._chunks.append(chunk)
        self._buffered += len(chunk)
        if self._waiter is not None:
            self._wake()
        return self._buffered > ANSWER_BYTES_BUFFERED

    def ended(self) -> None:
        """Take the end of a whole answer."""
        self.is_complete = True
        self._finish(was_answered=True)
        self._wake()

    def fail(self, error: UpstreamSilent) -> None:
        """Take the end of an answer that is not whole."""
        if self.is_complete or self._error is not None:
            return
        self._error = error
        self._finish(was_answered=False)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
            self._waiter = None

    def _finish(self, *, was_answered: bool | None) -> None:
        on_end = self._on_end
        if on_end is not None:
            self._on_end = None
            on_end(was_answered)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    async def _wait(self, timeout_s: float) -> None:
        if self._error is not None:
            raise self._error
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(timeout_s, self._late, timeout_s)
        try:
            await waiter
        except asyncio.CancelledError:
            self.abandon()
            raise
        finally:
            timer.cancel()

    def _late(self, timeout_s: float) -> None:
        self._connection.fail(Reason.UPSTREAM_TIMEOUT, f"no answer within {timeout_s:g} s")


class Connection(asyncio.Protocol):
    """A connection that is either idle or carries one exchange. Made by the pool, gives itself back when reusable."""

    __slots__ = (
        "_answered",
        "_exchange",
        "_head_bytes",
        "_header_list",
        "_interim",
        "_is_head",
        "_is_written",
        "_parser",
        "_reading_paused",
        "_reads_to_end",
        "_release",
        "_transport",
        "_write_waiter",
        "_writing_paused",
        "idle_since",
    )

    def __init__(self, release: Callable[["Connection"], None]) -> None:
        """``release`` is called when an exchange has ended and the connection can carry another."""
        self._release = release
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._header_list: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._interim = 0
        self._answered = False
        self._is_head = False
        self._is_written = True
        self._reads_to_end = False
        self._reading_paused = False
        self._writing_paused = False
        self._write_waiter: asyncio.Future[None] | None = None
        self.idle_since = 0.0

    @property
    def is_usable(self) -> bool:
        """Whether the connection is open and idle."""
        return self._transport is not None and not self._transport.is_closing() and self._exchange is None

    def begin(self, data: bytes, *, is_head: bool, is_whole: bool, on_end: Callable[[bool | None], None]) -> Exchange:
        """Start an exchange by writing its head, with the body if ``is_whole``; else `write` and `end` follow."""
        transport = self._open_transport()
        exchange = self._exchange = Exchange(self, on_end)
        self._answered = False
        self._is_head = is_head
        self._is_written = is_whole
        self._interim = 0
        transport.write(data)
        return exchange

    async def write(self, data: bytes, timeout_s: float) -> None:
        """Write a piece of a streamed body, and wait while the upstream is slow. Raises `UpstreamSilent`."""
        if self._transport is None or self._transport.is_closing():
            raise UpstreamSilent(Reason.UPSTREAM_LOST, "ended the connection during the request", was_sent=True)
        self._transport.write(data)
        if not self._writing_paused:
            return
        loop = asyncio.get_running_loop()
        waiter = self._write_waiter = loop.create_future()
        timer = loop.call_later(timeout_s, self.fail, Reason.UPSTREAM_TIMEOUT, f"took no data for {timeout_s:g} s")
        try:
            await waiter
        finally:
            timer.cancel()
            self._write_waiter = None

    def end(self, data: bytes = b"") -> None:
        """Say that the request is whole, after a last piece of framing."""
        if data and self._transport is not None:
            self._transport.write(data)
        self._is_written = True

    def resume_reading(self) -> None:
        """Read on after a pause."""
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once; whatever is unsent is dropped."""
        self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    def fail(self, reason: Reason, detail: str) -> None:
        """End the exchange with an error and close."""
        exchange, error = self._exchange, UpstreamSilent(reason, detail, was_sent=True, was_answered=self._answered)
        if exchange is not None:
            self._exchange = None
            exchange.fail(error)
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_exception(error)
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the open transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse what the upstream sends. Bytes that belong to no exchange close the connection."""
        exchange = self._exchange
        if exchange is None:
            self.abort()
            return
        self._answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail(Reason.UPSTREAM_INVALID, "switched protocols unasked")
        except httptools.HttpParserError:
            self.fail(Reason.UPSTREAM_INVALID, "sent what is not HTTP/1.1")
        else:
            if exchange.status == 0:
                self._head_bytes += len(data)
                if self._head_bytes > ANSWER_HEADER_BYTES_MAX:
                    self.fail(Reason.UPSTREAM_INVALID, "sent too many bytes of headers")

    def eof_received(self) -> None:
        """Take the upstream's end of sending; a body without a stated length ends here."""
        exchange = self._exchange
        if exchange is not None and exchange.status and self._reads_to_end:
            self._exchange = None
            exchange.ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take the end of the connection."""
        self.eof_received()
        self.fail(Reason.UPSTREAM_LOST, "ended the connection without a whole answer")
        self._transport = None

    def pause_writing(self) -> None:
        """Take that the upstream is slow to read."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """Take that the upstream has read on."""
        self._writing_paused = False
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_result(None)

    # httptools callbacks; an exception raised here ends the exchange as invalid.

    def on_message_begin(self) -> None:
        """Start an answer; one that nobody waits for is a smuggled one."""
        if self._exchange is None:
            message = "an answer without a request"
            raise ValueError(message)
        self._header_list = []
        self._head_bytes = 0
        self._reads_to_end = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer, which is dropped."""
        if self._exchange is None or self._exchange.status:
            return
        self._head_bytes += len(name) + len(value)
        if len(self._header_list) >= ANSWER_HEADERS_MAX or self._head_bytes > ANSWER_HEADER_BYTES_MAX:
            message = "too many headers"
            raise ValueError(message)
        self._header_list.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Take the end of the head and tell how the body ends."""
        status = self._parser.get_status_code()
        exchange = self._exchange
        if exchange is None:
            return
        if status < _FIRST_FINAL_STATUS:
            self._interim += 1
            if status == _SWITCHING_PROTOCOLS or self._interim > INTERIM_ANSWERS_MAX:
                message = "an interim answer that was not asked for"
                raise ValueError(message)
            return
        self._reads_to_end = status not in _NO_BODY and not self._is_head and not _has_framing(self._header_list)
        exchange.head_arrived(status, self._header_list)
        if self._is_head:
            # The parser cannot be told that this answer has no body: take it as ended and start a new parser.
            is_kept = self._parser.should_keep_alive() and _has_framing(self._header_list)
            self._parser = httptools.HttpResponseParser(self)
            self._end_exchange(exchange, is_kept=is_kept)

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body and pause if the caller is slow."""
        exchange = self._exchange
        if exchange is None:
            message = "a body without an answer"
            raise ValueError(message)
        if exchange.chunk_arrived(body) and self._transport is not None and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Take the end of an answer; an interim one is not the end."""
        exchange = self._exchange
        if exchange is not None and exchange.status:
            self._end_exchange(exchange, is_kept=self._parser.should_keep_alive())

    def _end_exchange(self, exchange: Exchange, *, is_kept: bool) -> None:
        self._exchange = None
        self.resume_reading()
        exchange.ended()
        # An upstream that answered before the whole request was written would take the rest for the next request.
        if is_kept and self._is_written:
            self._release(self)
        else:
            self._open_transport().close()

    def _open_transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise UpstreamSilent(Reason.UPSTREAM_LOST, "ended the connection", was_sent=False)
        return self._transport


def _has_framing(headers: RawHeaders) -> bool:
    """Tell whether an answer states where its body ends.

    Raises ValueError for a transfer coding other than chunked, whose bytes could not be passed on.
    """
    found = False
    for name, value in headers:
        if name == b"transfer-encoding":
            if value.strip().lower() != b"chunked":
                message = "a transfer coding that is not passed on"
                raise ValueError(message)
            found = True
        elif name == b"content-length":
            found = True
    return found
