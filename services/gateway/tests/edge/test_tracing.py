"""Proves which spans the edge makes: one of the request, one of the call that it becomes, no word of a caller's."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from ledgerlink_gateway.testing import MakeStand, Stand, ask, raw, request
from ledgerlink_kit.testing.spans import PARENT, TRACE_ID, Spans, recorded_spans

GIVEN = ("traceparent", PARENT)
SERVED = "GET /api/v1/wallets"


@pytest.fixture
def spans() -> Iterator[Spans]:
    with recorded_spans() as found:
        yield found


def id_of(found: ReadableSpan) -> str:
    assert found.context is not None
    return f"{found.context.span_id:016x}"


def parent_of(found: ReadableSpan) -> str:
    return "" if found.parent is None else f"{found.parent.span_id:016x}"


async def test_a_request_is_a_server_span_over_the_call_that_it_becomes(stand: Stand, spans: Spans) -> None:
    headers = [GIVEN, ("tracestate", "a=1")]
    path = "/api/v1/wallets/wal_1/balance?currency=GBP"
    reply = await ask(stand.port, request("GET", path, token=stand.token, headers=headers))
    assert reply.status == 200
    served, called = spans.one(SERVED), spans.one("GET")
    assert (served.kind.name, parent_of(served)) == ("SERVER", PARENT[36:52])
    assert (called.kind.name, parent_of(called)) == ("CLIENT", id_of(served))
    described = spans.attributes(SERVED)
    assert described["http.route"] == "/api/v1/wallets"
    assert described["url.path"] == "/api/v1/wallets/wal_1/balance"
    assert (described["http.response.status_code"], described["url.scheme"]) == (200, "http")
    assert spans.attributes("GET")["service.peer.name"] == "wallet"
    seen = stand.upstream.requests[0]
    assert seen.header("traceparent") == f"00-{TRACE_ID}-{id_of(called)}-01"
    assert seen.header("tracestate") == "a=1"


async def test_limits_are_a_span_that_says_when_redis_was_not_asked(stand: Stand, spans: Spans) -> None:
    await ask(stand.port, request("GET", "/api/v1/wallets", token=stand.token, headers=[GIVEN]))
    limits = spans.attributes("EVALSHA")
    assert (limits["db.system.name"], limits["error.type"]) == ("redis", "redis-lost")
    assert parent_of(spans.one("EVALSHA")) == id_of(spans.one(SERVED))


async def test_without_a_context_a_trace_begins_at_the_edge(stand: Stand, spans: Spans) -> None:
    await ask(stand.port, request("GET", "/api/v1/wallets", token=stand.token, headers=[("tracestate", "a=1")]))
    assert parent_of(spans.one(SERVED)) == ""
    assert stand.upstream.requests[0].header("tracestate") is None


async def test_a_trace_that_nobody_records_passes_under_its_own_id(stand: Stand, spans: Spans) -> None:
    unrecorded = PARENT[:-2] + "00"
    await ask(stand.port, request("GET", "/api/v1/wallets", token=stand.token, headers=[("traceparent", unrecorded)]))
    passed = stand.upstream.requests[0].header("traceparent") or ""
    assert (passed[3:35], passed[-2:]) == (TRACE_ID, "00")
    assert spans.names() == []


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [("/nowhere/ada@example.com", 404, "unknown-path"), ("/api/v1/wallets", 401, "token-missing")],
)
async def test_a_refusal_is_a_span_with_its_reason_and_no_failure(
    stand: Stand, spans: Spans, path: str, status: int, reason: str
) -> None:
    reply = await ask(stand.port, request("GET", path, headers=[GIVEN]))
    assert reply.status == status
    (served,) = [span for span in spans.all() if span.kind.name == "SERVER"]
    described = dict(served.attributes or {})
    assert (described["ledgerlink.reason"], described["http.response.status_code"]) == (reason, status)
    assert served.status.status_code.name == "UNSET"
    assert "ada@example.com" not in served.to_json()


async def test_a_service_that_falls_silent_fails_the_call_and_the_request(stand: Stand, spans: Spans) -> None:
    stand.upstream.answers = [raw(b"", close=True)]
    reply = await ask(stand.port, request("POST", "/api/v1/wallets", token=stand.token, headers=[GIVEN], body=b"{}"))
    assert reply.status == 502
    assert spans.attributes("POST")["error.type"] == "upstream-lost"
    assert spans.attributes("POST /api/v1/wallets")["error.type"] == "502"


async def test_an_answer_of_the_gateways_own_is_one_server_span_over_what_it_asks(
    make_stand: MakeStand, spans: Spans
) -> None:
    stand = await make_stand()
    await ask(stand.port, request("GET", "/api/v1/overview", token=stand.token, headers=[GIVEN]))
    (served,) = [span for span in spans.all() if span.kind.name == "SERVER"]
    assert (served.name, parent_of(served)) == ("GET /api/v1/overview", PARENT[36:52])
    calls = [span for span in spans.all() if span.kind.name == "CLIENT"]
    assert calls
    assert {parent_of(span) for span in calls} == {id_of(served)}
    sent = {seen.header("traceparent") for seen in stand.upstream.requests if seen.header("traceparent")}
    assert sent == {f"00-{TRACE_ID}-{id_of(span)}-01" for span in calls}
