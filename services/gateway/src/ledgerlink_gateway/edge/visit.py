"""What the edge knows of one request while it serves it: the material of its access log line and of its answer."""

import os
import time
from typing import Final

from ledgerlink_gateway.domain.route_table import Route
from ledgerlink_kit.auth import Caller
from ledgerlink_kit.http_spans import served
from ledgerlink_kit.telemetry import Span, entry, is_tracing, traceparent

CLIENT_GONE: Final = 499
"""The status that the log and the metrics give a request whose caller left before an answer; never sent."""


class Visit:
    """One request. Mutable, and alive as long as the request."""

    __slots__ = (
        "answered_bytes",
        "caller",
        "client",
        "has_unread_body",
        "is_gone",
        "limit_headers",
        "method",
        "path",
        "reason",
        "request_id",
        "route",
        "scheme",
        "span",
        "started",
        "status",
        "traceparent",
    )

    def __init__(self, method: str, path: str) -> None:
        """Begin with ids of our own; the caller's replace them once its headers are found sound."""
        ids = os.urandom(40).hex()
        self.method = method
        self.path = path
        self.request_id = ids[:32].encode()
        self.traceparent = f"00-{ids[32:64]}-{ids[64:80]}-00".encode()
        self.span: Span | None = None
        self.started = time.perf_counter()
        self.route: Route | None = None
        self.caller: Caller | None = None
        self.client = ""
        self.scheme = "http"
        self.status = 0
        self.reason: str | None = None
        self.limit_headers: tuple[tuple[bytes, bytes], ...] = ()
        self.has_unread_body = False
        self.is_gone = False
        self.answered_bytes = 0

    def trace(self, *, given: bool) -> None:
        """Begin the request's span, under the caller's context when it has ``given`` one; nothing without tracing.

        Whatever is done in this task from here on belongs to it. It is not left again: a request has its own task.
        """
        if is_tracing():
            parent = self.traceparent.decode("ascii") if given else ""
            self.span = entry(self.request_id.decode("ascii"), parent, self.method, "server").__enter__()
            self.traceparent = traceparent().encode("ascii")

    def end_trace(self) -> None:
        """End the request's span, if it is recorded."""
        if self.span is not None:
            route = None if self.route is None else self.route.prefix
            served(self.span, self.method, self.scheme, self.path, route, self.status)
            if self.reason is not None:
                self.span.set({"ledgerlink.reason": self.reason})
            self.span.end()

    @property
    def is_answered(self) -> bool:
        """Whether the head of an answer was sent, so that no other can be."""
        return self.status != 0

    @property
    def route_name(self) -> str:
        """The row that the request matched, or `unmatched`: a bounded set, fit for a metric's label."""
        return "unmatched" if self.route is None else self.route.name
