"""The server's side of HTTP/1.1, stricter than the server alone: bounds on the head, and problems for what is no HTTP.

The parser (llhttp, strict) already refuses conflicting lengths, bare line feeds, folded headers and control characters.
Added here: a bound on the bytes of a head before it is whole, a bound on the time it may take, and the origin form of
the target only, so that no second host can stand in the request line.
"""

import asyncio
import os
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ledgerlink_gateway.domain.refusals import EdgeRefusal, Reason
from ledgerlink_gateway.domain.route_table import Dialect
from ledgerlink_gateway.edge.answers import SECURITY_HEADERS, problem

HEAD_BYTES_MAX: Final = 48 * 1024
"""Bytes of one request's head, the request line included; past it 431."""
HEAD_S_MAX: Final = 10.0
"""Seconds that one request's head may take from the connection's opening, or from its own first byte; past it 408."""

_PHRASES: Final = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class StrictProtocol(HttpToolsProtocol):
    """One client connection."""

    head_s_max = HEAD_S_MAX

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what the server gives its protocol."""
        super().__init__(*args, **options)
        self._head_bytes = 0
        self._is_in_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Open; from now on the clock of the first head runs."""
        super().connection_made(transport)
        self._start_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and count what comes before a head is whole."""
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
                detail = f"At most {HEAD_BYTES_MAX} bytes of request line and headers are accepted."
                self._refuse(EdgeRefusal(Reason.HEADERS_TOO_LARGE, detail))

    def on_message_begin(self) -> None:
        """Start a head."""
        super().on_message_begin()
        self._start_head()

    def on_headers_complete(self) -> None:
        """End a head. A target that is not a path is refused: an absolute one names a host for a second time."""
        self._is_in_head = False
        self._stop_timer()
        if not self.url.startswith(b"/"):
            message = "the target is not in origin form"
            raise ValueError(message)
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refuses. Inside a begun answer nothing can be said; the connection ends."""
        cycle = self.cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:  # pyright: ignore[reportUnnecessaryComparison]
            self.transport.abort()
            return
        self._refuse(EdgeRefusal(Reason.FRAMING_INVALID, f"This is not HTTP/1.1 as RFC 9112 has it. {msg}"))

    def _start_head(self) -> None:
        self._head_bytes = 0
        self._is_in_head = True
        self._stop_timer()
        self._head_timer = self.loop.call_later(self.head_s_max, self._late)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self) -> None:
        if self.transport.is_closing():
            return
        if self._head_bytes == 0:
            self.transport.close()  # a connection that never asked anything needs no answer
            return
        self._refuse(EdgeRefusal(Reason.HEAD_SLOW, f"The head did not arrive within {self.head_s_max:g} s."))

    def _refuse(self, refusal: EdgeRefusal) -> None:
        self._stop_timer()
        request_id = os.urandom(16).hex().encode()
        headers, body = problem(refusal, request_id, Dialect.PROBLEM)
        status = refusal.reason.status
        self.logger.info("edge_refused reason=%s request_id=%s", refusal.reason.code, request_id.decode())
        lines = [b"HTTP/1.1 %d %b\r\n" % (status, _PHRASES.get(status, b"Refused"))]
        lines += [b"%b: %b\r\n" % pair for pair in (*headers, *SECURITY_HEADERS)]
        lines += [b"x-request-id: %b\r\nconnection: close\r\n\r\n" % request_id, body]
        self.transport.write(b"".join(lines))
        self.transport.close()
