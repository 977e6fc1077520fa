"""Proves that spans come over the wire as they were sent, and that a trace is drawn with its parents and its order."""

from __future__ import annotations

import gzip
import urllib.error
import urllib.request

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1 import trace_pb2

from ledgerlink_stack.traces.command import port_of
from ledgerlink_stack.traces.receiver import SeenSpan, receiving
from ledgerlink_stack.traces.tree import drawn, outline
from ledgerlink_stack.trouble import Trouble

TRACE = "0af7651916cd43dd8448eb211c80319c"


def exported() -> bytes:
    """One failed client span of the gateway, as an exporter writes it."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    service = resource.resource.attributes.add()
    service.key, service.value.string_value = "service.name", "gateway"
    span = resource.scope_spans.add().spans.add()
    span.trace_id, span.span_id, span.parent_span_id = bytes.fromhex(TRACE), b"\x01" * 8, b"\x02" * 8
    span.name, span.kind = "POST", trace_pb2.Span.SPAN_KIND_CLIENT
    span.start_time_unix_nano, span.end_time_unix_nano = 1_000, 2_000
    span.status.code = trace_pb2.Status.STATUS_CODE_ERROR
    status = span.attributes.add()
    status.key, status.value.int_value = "http.response.status_code", 402
    span.links.add().span_id = b"\x03" * 8
    return request.SerializeToString()


def post(url: str, body: bytes, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, named), timeout=5) as answer:  # noqa: S310 - ours
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("packed", [False, True])
def test_a_span_is_received_as_it_was_sent(*, packed: bool) -> None:
    with receiving() as receiver:
        body, headers = (gzip.compress(exported()), {"Content_Encoding": "gzip"}) if packed else (exported(), {})
        assert post(f"{receiver.url}/v1/traces", body, **headers) == 200
        assert post(f"{receiver.url}/v1/metrics", b"") == 404
        (span,) = receiver.trace(TRACE)
        assert receiver.trace("0" * 32) == []
    assert span == SeenSpan(
        trace_id=TRACE,
        span_id="01" * 8,
        parent_id="02" * 8,
        service="gateway",
        name="POST",
        kind="client",
        started_ns=1_000,
        ended_ns=2_000,
        failed=True,
        attributes={"http.response.status_code": 402},
        links=("03" * 8,),
    )


def test_a_webhook_is_kept_with_its_headers() -> None:
    with receiving() as receiver:
        assert post(receiver.webhook_url, b"{}", traceparent="00-1") == 200
        ((headers, body),) = receiver.webhooks
    assert (headers["traceparent"], body) == ("00-1", b"{}")


def span(id_: str, parent: str, start: int, end: int, kind: str = "internal", *, failed: bool = False) -> SeenSpan:
    return SeenSpan(TRACE, id_, parent, "wallet", f"work {id_}", kind, start * 10**6, end * 10**6, failed, {})


def test_a_tree_shows_what_was_waited_for_in_its_order_and_then_what_followed() -> None:
    spans = [
        span("d", "a", 20, 30, "consumer"),
        span("e", "a", 12, 14, "client"),
        span("c", "a", 5, 9, failed=True),
        span("b", "a", 1, 4, "client"),
        span("f", "b", 2, 3),
        span("a", "the client's own", 0, 10, "server"),
    ]
    assert outline(spans).splitlines() == [
        "wallet · server · work a",
        "  wallet · client · work b",
        "    wallet · internal · work f",
        "  wallet · internal · work c · ERROR",
        "  wallet · consumer · work d",
        "  wallet · client · work e",
    ]
    assert drawn(spans).splitlines()[1:4] == [
        "      0.0     10.0  wallet · server · work a",
        "      1.0      3.0  ├─ wallet · client · work b",
        "      2.0      1.0  │  └─ wallet · internal · work f",
    ]


def test_traces_that_go_to_another_machine_are_looked_at_there() -> None:
    assert port_of("http://localhost:4318") == 4318
    with pytest.raises(Trouble, match=r"sends its traces to http://collector:4318"):
        port_of("http://collector:4318")
