"""Proves what is recorded of a piece of work, for whom, and that no attribute holds what a caller wrote."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import pytest
import sqlalchemy as sa
from fastapi import APIRouter, FastAPI
from fastapi.params import Query
from opentelemetry.sdk.trace import ReadableSpan
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database, Tx
from ledgerlink_kit.errors import Kind, Refused, Unavailable
from ledgerlink_kit.hot import HotRequest, HotRoute, Reply
from ledgerlink_kit.http_app import create_app
from ledgerlink_kit.http_client import HttpClient, HttpReply
from ledgerlink_kit.http_spans import plain_path
from ledgerlink_kit.inbox import Consumer, Envelope
from ledgerlink_kit.outbox import Event, Relay, record
from ledgerlink_kit.redis_client import connect_redis
from ledgerlink_kit.settings import ServiceSettings
from ledgerlink_kit.sql_spans import Watched, summary_of
from ledgerlink_kit.telemetry import (
    begin,
    entry,
    is_recorded,
    new_traceparent,
    recorded_traceparent,
    request_context,
    shared_span,
    span,
    traceparent,
)
from ledgerlink_kit.testing import TokenMint, client_for
from ledgerlink_kit.testing.spans import PARENT, TRACE_ID, Spans, recorded_spans

CLOCK = SystemClock()
UNRECORDED = PARENT[:-2] + "00"
SECRETS = ("correct horse battery", "4242424242424242", "ada@example.com", "eyJhbGciOiJFUzI1NiJ9")


@pytest.fixture
def spans() -> Iterator[Spans]:
    with recorded_spans() as found:
        yield found


def id_of(found: ReadableSpan) -> str:
    assert found.context is not None
    return f"{found.context.span_id:016x}"


def parent_of(found: ReadableSpan) -> str:
    return "" if found.parent is None else f"{found.parent.span_id:016x}"


def test_work_stands_under_the_work_that_asked_for_it(spans: Spans) -> None:
    with request_context("req", PARENT), span("outer", lines=3), span("inner"):
        inner = traceparent()
    outer = spans.one("outer")
    assert parent_of(outer) == PARENT[36:52]
    assert parent_of(spans.one("inner")) == id_of(outer)
    assert inner == f"00-{TRACE_ID}-{id_of(spans.one('inner'))}-01"
    assert spans.attributes("outer") == {"ledgerlink.lines": 3}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Refused(Kind.CONFLICT, "too-little", "ada@example.com has too little."), "too-little"),
        (ValueError("4242424242424242"), "ValueError"),
    ],
)
def test_a_failure_is_named_and_its_text_is_not_kept(spans: Spans, error: Exception, kind: str) -> None:
    with pytest.raises(type(error)), request_context("req", PARENT), span("work"):
        raise error
    found = spans.one("work")
    assert (found.status.is_ok, spans.attributes("work")["error.type"]) == (False, kind)
    assert str(error) not in found.to_json()


@pytest.mark.parametrize("above", ["", UNRECORDED])
def test_nothing_is_recorded_for_a_trace_that_nobody_records(spans: Spans, above: str) -> None:
    with request_context("req", above), span("work") as found:
        assert (found, traceparent(), recorded_traceparent()) == (None, above, None)
        assert begin("later", "client") is None
    assert spans.names() == []


def test_without_tracing_the_context_travels_and_no_span_is_made() -> None:
    with entry("req", PARENT, "GET", "server") as found, span("work") as inner:
        assert (found, inner, traceparent()) == (None, None, PARENT)
    with entry("req", "", "GET", "server"):
        assert not is_recorded(traceparent())
        assert len(traceparent()) == len(PARENT)


@pytest.mark.parametrize(
    ("sampler", "share", "parent", "is_kept"),
    [
        ("parentbased_always_on", 1, "", True),
        ("parentbased_always_on", 1, UNRECORDED, False),
        ("parentbased_always_off", 1, PARENT, True),
        ("parentbased_always_off", 1, "", False),
        ("parentbased_traceidratio", 0, "", False),
        ("parentbased_traceidratio", 0, PARENT, True),
        ("parentbased_traceidratio", 1, "", True),
        ("traceidratio", 0, PARENT, False),
        ("traceidratio", 1, UNRECORDED, True),
        ("always_off", 1, PARENT, False),
        ("always_on", 1, UNRECORDED, True),
    ],
)
def test_the_sampler_of_the_standards_settings_decides(sampler: str, share: int, parent: str, *, is_kept: bool) -> None:
    with recorded_spans(traces_sampler=sampler, traces_sampler_arg=share) as found:
        with entry("req", parent, "GET", "server") as made:
            assert (made is not None) is is_kept
            assert is_recorded(traceparent()) is is_kept
            assert not parent or traceparent()[3:35] == TRACE_ID
        assert (found.names() == ["GET"]) is is_kept


def test_work_done_for_several_stands_under_the_first_and_is_linked_with_the_others(spans: Spans) -> None:
    asked = [begin(name, "internal", parent=PARENT) for name in ("first", "second", "third")]
    known = [one for one in asked if one is not None]
    with shared_span("commit", known, commands=3):
        pass
    for one in known:
        one.end()
    commit = spans.one("commit")
    assert parent_of(commit) == id_of(spans.one("first"))
    others = [id_of(spans.one("second")), id_of(spans.one("third"))]
    assert [f"{link.context.span_id:016x}" for link in commit.links] == others
    for name in ("second", "third"):
        assert [f"{link.context.span_id:016x}" for link in spans.one(name).links] == [id_of(commit)]
    with shared_span("nobody's", []) as found:
        assert found is None


async def test_each_statement_is_a_span_without_its_parameters(kit_db: Database, spans: Spans) -> None:
    with request_context("req", PARENT):
        async with kit_db.transaction() as tx:
            await tx.execute(sa.text("INSERT INTO effects VALUES (:id, 1)"), {"id": SECRETS[0]})
            await tx.execute(sa.text("SELECT n FROM effects WHERE id = :id"), {"id": SECRETS[2]})
        with pytest.raises(IntegrityError):
            async with kit_db.transaction() as tx:
                await tx.execute(sa.text("INSERT INTO effects (id) VALUES (:id)"), {"id": SECRETS[0]})
    assert spans.names() == ["INSERT effects", "SELECT effects", "COMMIT", "INSERT effects"]
    first, broken = spans.all()[0], spans.all()[3]
    described = dict(first.attributes or {})
    assert described["db.system.name"] == "postgresql"
    assert (described["db.operation.name"], described["db.collection.name"]) == ("INSERT", "effects")
    assert str(described["db.namespace"]).startswith("test_")
    assert dict(broken.attributes or {})["error.type"] == "23505"
    assert not broken.status.is_ok
    assert not [one for one in spans.all() for secret in SECRETS if secret in one.to_json()]


async def test_statements_of_others_are_not_recorded(kit_db: Database, spans: Spans) -> None:
    async with kit_db.transaction() as tx:
        await tx.execute(sa.text("INSERT INTO effects VALUES ('a', 1)"))
    assert spans.names() == []


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("SELECT 1", ("SELECT", "")),
        ("SELECT a FROM unnest($1) JOIN LATERAL (SELECT b FROM accounts) x ON true FOR UPDATE", ("SELECT", "accounts")),
        ("WITH due AS (SELECT o.seq FROM outbox o) UPDATE outbox SET a = 1 FROM due", ("UPDATE", "outbox")),
        ("INSERT INTO a (b) VALUES (1) ON CONFLICT DO UPDATE SET b = 1", ("INSERT", "a")),
        ("delete from a where b = 1", ("DELETE", "a")),
        ("UPDATE accounts AS x SET a = 1", ("UPDATE", "accounts")),
        ("COPY entries FROM STDIN", ("COPY", "entries")),
        ("COMMIT", ("COMMIT", "")),
        ("", ("SELECT", "")),
    ],
)
def test_a_statement_is_called_by_what_it_changes_or_reads(statement: str, summary: tuple[str, str]) -> None:
    assert summary_of(statement) == summary


async def test_a_batchs_connection_is_watched_statement_by_statement(spans: Spans) -> None:
    class Plain:
        async def fetch(self, statement: str, *values: Any) -> Any:
            return values

        execute = fetch

        async def copy_to_table(self, table: str, **how: Any) -> Any:
            raise TimeoutError(SECRETS[0])

    watched = Watched(Plain(), "wallet")
    with request_context("req", PARENT):
        assert await watched.fetch("SELECT a FROM b", SECRETS[0]) == (SECRETS[0],)
        await watched.execute("UPDATE b SET a = 1")
        with pytest.raises(TimeoutError):
            await watched.copy_to_table("entries", source=SECRETS[1])
    assert spans.names() == ["SELECT b", "UPDATE b", "COPY entries"]
    assert spans.attributes("COPY entries")["error.type"] == "TimeoutError"
    assert not [one for one in spans.all() for secret in SECRETS if secret in one.to_json()]


class Happened(Event):
    """An event for tests."""

    event_type: ClassVar[str] = "test.thing.happened"
    word: str


async def test_an_event_goes_on_in_the_trace_of_its_effect(kit_db: Database, redis_url: str, spans: Spans) -> None:
    redis: Any = connect_redis(redis_url)
    heard: list[str] = []

    async def handle(_tx: Tx, envelope: Envelope) -> None:
        heard.append(envelope.traceparent)
        if len(heard) == 2:
            raise ValueError(SECRETS[0])

    relay = Relay(kit_db, redis, service="test", clock=CLOCK, readers=("listener",))
    consumer = Consumer(kit_db, redis, service="listener", streams=["test"], handlers={Happened.event_type: handle})
    for trace in (PARENT, PARENT, new_traceparent()):
        with request_context("req", trace):
            async with kit_db.transaction() as tx:
                await record(tx, Happened(word=SECRETS[1]), aggregate="thing_1", now=CLOCK.now())
    await relay.run_once()
    with capture_logs() as logs:
        await consumer.run_once()
    await redis.aclose()
    sent = [one for one in spans.all() if one.name == "send events:test"]
    processed = [one for one in spans.all() if one.name == "process events:test"]
    assert [(parent_of(one), one.kind.name) for one in sent] == [(PARENT[36:52], "PRODUCER")] * 2
    assert [parent_of(one) for one in processed] == [id_of(one) for one in sent]
    assert [one.kind.name for one in processed] == ["CONSUMER"] * 2
    assert [one.status.is_ok or one.status.status_code.name == "UNSET" for one in processed] == [True, False]
    described = dict(processed[0].attributes or {})
    assert described["messaging.destination.name"] == "events:test"
    assert described["messaging.consumer.group.name"] == "listener"
    assert described["cloudevents.event_type"] == "test.thing.happened"
    assert [parent_of(one) for one in spans.all() if one.name == "INSERT inbox"] == [id_of(one) for one in processed]
    assert [line["event"] for line in logs] == ["event_handled", "event_failed", "event_handled"]
    assert not [one for one in spans.all() for secret in SECRETS if secret in one.to_json()]


router = APIRouter()


@router.get("/things/{thing}")
async def read(thing: str, word: Annotated[str | None, Query()] = None) -> dict[str, str]:
    if thing == "thg_refused":
        raise Refused(Kind.NOT_FOUND, "no-thing", "There is none.")
    if thing == "thg_broken":
        raise RuntimeError(SECRETS[0])
    with span("read"):
        await asyncio.sleep(0)
    return {"thing": thing}


@router.post("/things")
async def make() -> dict[str, str]:
    return {}


async def make_hot(_request: HotRequest) -> Reply:
    return Reply(201, b"{}")


@pytest.fixture
def app(mint: TokenMint) -> FastAPI:
    return create_app(
        title="Things",
        version="1",
        settings=ServiceSettings(environment="test"),
        routers=[router],
        verifier=mint.verifier(),
        readiness={},
        runtime=None,
        hot=[HotRoute("POST", "/things", make_hot)],
    )


async def test_a_request_is_a_server_span_named_by_its_route(app: FastAPI, spans: Spans) -> None:
    async with client_for(app) as client:
        answer = await client.get(f"/things/thg_1?word={SECRETS[3]}", headers={"traceparent": PARENT})
        assert answer.status_code == 200
    served = spans.one("GET /things/{thing}")
    assert (parent_of(served), served.kind.name) == (PARENT[36:52], "SERVER")
    assert spans.attributes("GET /things/{thing}") == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/things/{thing}",
        "url.path": "/things/thg_1",
        "url.scheme": "http",
    }
    assert parent_of(spans.one("read")) == id_of(served)


async def test_a_hot_route_is_a_server_span_too(app: FastAPI, spans: Spans) -> None:
    async with client_for(app) as client:
        await client.post("/things", json={}, headers={"traceparent": PARENT})
    assert spans.attributes("POST /things")["http.response.status_code"] == 201


@pytest.mark.parametrize(("path", "status", "failed"), [("thg_refused", 404, False), ("thg_broken", 500, True)])
async def test_a_defect_is_a_failure_of_the_server_and_a_refusal_is_not(
    app: FastAPI, spans: Spans, path: str, status: int, *, failed: bool
) -> None:
    async with client_for(app) as client:
        assert (await client.get(f"/things/{path}", headers={"traceparent": PARENT})).status_code == status
    served = spans.one("GET /things/{thing}")
    assert (served.status.status_code.name == "ERROR") is failed
    assert spans.attributes("GET /things/{thing}").get("error.type") == ("500" if failed else None)
    assert SECRETS[0] not in served.to_json()


async def test_a_request_without_a_context_begins_a_trace_and_probes_do_not(app: FastAPI, spans: Spans) -> None:
    async with client_for(app) as client:
        for path in ("/things/thg_1", "/healthz", "/readyz", "/metrics"):
            await client.get(path)
    assert parent_of(spans.one("GET /things/{thing}")) == ""
    assert set(spans.names()) == {"GET /things/{thing}", "read"}


@pytest.mark.parametrize("secret", SECRETS)
async def test_what_a_caller_writes_into_a_path_is_not_recorded(app: FastAPI, spans: Spans, secret: str) -> None:
    async with client_for(app) as client:
        for path in (f"/things/{secret}", f"/nowhere/{secret}/x"):
            await client.get(path, headers={"traceparent": PARENT})
    assert not [one for one in spans.all() if secret in one.to_json() or secret.replace(" ", "%20") in one.to_json()]


def test_a_path_keeps_words_and_ids_and_nothing_else() -> None:
    kept = "/v1/payment_intents/pi_3pzawb70k3hsqaa2m3qzw0x5nj/capture"
    assert plain_path(kept) == kept
    assert plain_path("/auth/ada@example.com/4242424242424242/eyJhbGciOiJFUzI1NiJ9/x") == "/auth/*/*/*/x"


class Answering:
    """A transport that answers, and keeps the headers that it was sent."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.headers: dict[str, str] = {}

    async def send(self, method: str, url: str, *, headers: Any, body: bytes | None, timeout_s: float) -> HttpReply:
        self.headers = dict(headers)
        if self.status == 0:
            raise ConnectionRefusedError(SECRETS[0])
        return HttpReply(self.status, {}, b"{}")

    async def close(self) -> None: ...


@pytest.mark.parametrize(("status", "kind"), [(200, None), (402, "402"), (503, "503"), (0, "ConnectionRefusedError")])
async def test_a_call_is_a_client_span_whose_context_is_sent(spans: Spans, status: int, kind: str | None) -> None:
    transport = Answering(status)
    client = HttpClient("http://wallet:8082", name="wallet", transport=transport)
    with request_context("req", PARENT):
        try:
            await client.request("GET", "/wallets/wal_1", params={"token": SECRETS[3]}, json={"password": SECRETS[0]})
        except Unavailable:
            assert status in {0, 503}
    called = spans.one("GET")
    assert transport.headers["traceparent"] == f"00-{TRACE_ID}-{id_of(called)}-01"
    assert (called.kind.name, parent_of(called)) == ("CLIENT", PARENT[36:52])
    described = spans.attributes("GET")
    assert described["url.full"] == "http://wallet:8082/wallets/wal_1"
    assert (described["server.address"], described["server.port"]) == ("wallet", 8082)
    assert (described["service.peer.name"], described.get("error.type")) == ("wallet", kind)
    assert not [secret for secret in SECRETS if secret in called.to_json()]


async def test_a_log_line_carries_the_ids_of_request_trace_and_span(
    app: FastAPI, spans: Spans, capsys: pytest.CaptureFixture[str]
) -> None:
    from ledgerlink_kit import telemetry  # noqa: PLC0415 - its processor alone, which no other test may see changed

    with entry("req-1", PARENT, "GET", "server"):
        line = telemetry._add_ids(None, "info", {"event": "x"})
        assert line["span_id"] == traceparent()[36:52] != PARENT[36:52]
    assert (line["request_id"], line["trace_id"]) == ("req-1", TRACE_ID)
