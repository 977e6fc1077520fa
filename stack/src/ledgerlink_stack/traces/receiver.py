"""A small OTLP/HTTP receiver: takes spans as any collector does (POST /v1/traces, protobuf) and keeps them in memory.

It takes webhooks too, at `/webhook`: so that a payment of which somebody is told can be followed to its end.
"""

from __future__ import annotations

import gzip
import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, cast

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1 import trace_pb2

from ledgerlink_stack.ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Generator

SPANS_MAX: Final = 100_000
"""Spans that are kept; the oldest go first."""
WEBHOOKS_MAX: Final = 1_000
BODY_BYTES_MAX: Final = 64 * 1024 * 1024
TRACES_PATH: Final = "/v1/traces"
WEBHOOK_PATH: Final = "/webhook"

_KINDS: Final = {
    trace_pb2.Span.SPAN_KIND_INTERNAL: "internal",
    trace_pb2.Span.SPAN_KIND_SERVER: "server",
    trace_pb2.Span.SPAN_KIND_CLIENT: "client",
    trace_pb2.Span.SPAN_KIND_PRODUCER: "producer",
    trace_pb2.Span.SPAN_KIND_CONSUMER: "consumer",
}


@dataclass(frozen=True, slots=True)
class SeenSpan:
    """A span as it came over the wire; ids in hexadecimal, moments in nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    started_ns: int
    ended_ns: int
    failed: bool
    attributes: dict[str, str | int]
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Receiver:
    """What has come: spans of all traces, and webhooks with their headers (names in lower case)."""

    url: str
    spans: deque[SeenSpan] = field(default_factory=lambda: deque[SeenSpan](maxlen=SPANS_MAX))
    webhooks: deque[tuple[dict[str, str], bytes]] = field(
        default_factory=lambda: deque[tuple[dict[str, str], bytes]](maxlen=WEBHOOKS_MAX)
    )

    @property
    def webhook_url(self) -> str:
        """Where webhooks are taken."""
        return self.url + WEBHOOK_PATH

    def trace(self, trace_id: str) -> list[SeenSpan]:
        """Return the spans of one trace that have come."""
        return [span for span in list(self.spans) if span.trace_id == trace_id]


def decoded(body: bytes) -> list[SeenSpan]:
    """Read the body of an export. Raises `google.protobuf.message.DecodeError` for one that is none."""
    request = ExportTraceServiceRequest()
    request.ParseFromString(body)
    found: list[SeenSpan] = []
    for resource in request.resource_spans:
        service = next(
            (each.value.string_value for each in resource.resource.attributes if each.key == "service.name"), ""
        )
        for scope in resource.scope_spans:
            found += [_seen(span, service) for span in scope.spans]
    return found


def _seen(span: trace_pb2.Span, service: str) -> SeenSpan:
    return SeenSpan(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        service=service,
        name=span.name,
        kind=_KINDS.get(span.kind, "unspecified"),
        started_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        attributes={
            each.key: each.value.int_value if each.value.HasField("int_value") else each.value.string_value
            for each in span.attributes
        },
        links=tuple(link.span_id.hex() for link in span.links),
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    receiver: Receiver


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Take an export or a webhook."""
        receiver = cast("_Server", self.server).receiver
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self._answer(HTTPStatus.BAD_REQUEST, b"")
            self.close_connection = True
            return
        body = self.rfile.read(int(length))
        if self.path == WEBHOOK_PATH:
            receiver.webhooks.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self._answer(HTTPStatus.OK, b"")
        elif self.path == TRACES_PATH:
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            receiver.spans.extend(decoded(body))
            self._answer(HTTPStatus.OK, ExportTraceServiceResponse().SerializeToString())
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"")

    def _answer(self, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of each request."""


@contextmanager
def receiving(port: int = 0) -> Generator[Receiver]:
    """Receive on `port` of this machine, a free one for 0. Raises OSError when somebody else has it."""
    with _Server((LOOPBACK, port), _Handler) as server:
        receiver = Receiver(f"http://{LOOPBACK}:{server.server_address[1]}")
        server.receiver = receiver
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="otlp", daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
