"""Proves the shell of every service: problems for what goes wrong, ids and traces kept, limits held, health told."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import orjson
import pytest
import pytest_asyncio
from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import Field, SecretStr

from ledgerlink_kit.auth import Caller, requires
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Defect, Kind, Refused, Unavailable
from ledgerlink_kit.http_app import StreamedRoute, create_app
from ledgerlink_kit.http_client import HttpClient, HttpReply
from ledgerlink_kit.idempotency import OnceHeader, json_reply, once_for, run_once
from ledgerlink_kit.money import AmountMinor, CurrencyCode
from ledgerlink_kit.settings import ServiceSettings, StoredSettings, env_prefix
from ledgerlink_kit.testing import AsgiTransport, TokenMint, assert_every_route_is_guarded, client_for
from ledgerlink_kit.wire import Metadata, RequestModel

Writer = Annotated[Caller, requires("things:write")]
router = APIRouter()
away: list[bool] = []


class Order(RequestModel):
    """A body for tests."""

    amount_minor: AmountMinor
    currency: CurrencyCode
    metadata: Metadata = Field(default_factory=dict)


@router.post("/things", status_code=201)
async def make(order: Order, caller: Writer, once: OnceHeader) -> dict[str, Any]:
    return {"caller": caller.subject, "amount_minor": order.amount_minor, "key": once.key}


@router.get("/errors/{name}")
async def fail(name: str) -> None:
    raise {
        "refused": Refused(Kind.CONFLICT, "insufficient-funds", "Too little.", available_minor=7),
        "away": Unavailable("bank-unavailable", "Away.", 5),
        "defect": Defect("the secret reason"),
        "crash": RuntimeError("the secret crash"),
    }[name]


@router.post("/streams/{name}")
async def count_bytes(name: str, _caller: Writer, request: Request) -> dict[str, Any]:
    pieces = [len(piece) async for piece in request.stream()]
    return {"name": name, "bytes": sum(pieces)}


async def check_part() -> None:
    if away:
        raise Unavailable("part-unavailable", "The part is away.")


def app_of(mint: TokenMint) -> FastAPI:
    return create_app(
        title="Things",
        version="1",
        settings=ServiceSettings(environment="test"),
        routers=[router],
        verifier=mint.verifier(),
        readiness={"part": check_part},
        runtime=None,
        streamed=[StreamedRoute("POST", re.compile(r"/streams/[^/]+"), "application/x-ndjson")],
    )


@pytest_asyncio.fixture
async def client(mint: TokenMint) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(app_of(mint), token=mint.token("usr_1", ["things:write"])) as client:
        yield client


GOOD = {"amount_minor": 1, "currency": "gbp"}
KEY = {"Idempotency-Key": "k"}


async def test_a_good_request_is_served_and_keeps_its_request_id(client: httpx.AsyncClient) -> None:
    answer = await client.post("/things", json=GOOD, headers={**KEY, "X-Request-ID": "req-1"})
    assert (answer.status_code, answer.json()) == (201, {"caller": "usr_1", "amount_minor": 1, "key": "k"})
    assert answer.headers["x-request-id"] == "req-1"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({**GOOD, "amount_minor": "1"}, "body.amount_minor"),
        ({**GOOD, "amount_minor": 1.0}, "body.amount_minor"),
        ({**GOOD, "amount_minor": -1}, "body.amount_minor"),
        ({**GOOD, "amount_minor": 2**53}, "body.amount_minor"),
        ({**GOOD, "currency": "XXX"}, "body.currency"),
        ({**GOOD, "more": 1}, "body.more"),
        ({"currency": "GBP"}, "body.amount_minor"),
        ({**GOOD, "metadata": {"nul": "\x00"}}, "body.metadata.nul"),
    ],
)
async def test_a_bad_field_is_named_and_its_value_not_repeated(
    client: httpx.AsyncClient, body: dict[str, Any], path: str
) -> None:
    answer = await client.post("/things", json=body, headers=KEY)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid-request")
    assert answer.headers["content-type"] == "application/problem+json"
    assert path in [error["path"] for error in problem["errors"]]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b'{"amount_minor": 1,', 400, "malformed-body"),
        (b"[" * 100_000, 400, "malformed-body"),
        (b'{"amount_minor":' + b"9" * 5000 + b',"currency":"GBP"}', 400, "malformed-body"),
        (b'{"amount_minor": NaN, "currency": "GBP"}', 422, "invalid-request"),
        (b'{"amount_minor": 1, "currency": "GBP", "metadata": {"a": "\\ud800"}}', 422, "invalid-request"),
        (b"\xff\xfe", 400, "malformed-body"),
        (b" " * (1024 * 1024 + 1), 413, "body-too-large"),
    ],
)
async def test_a_broken_body_is_the_callers_fault(
    client: httpx.AsyncClient, content: bytes, status: int, code: str
) -> None:
    answer = await client.post("/things", content=content, headers={**KEY, "Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_large_body_without_a_length_is_cut_off(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    headers = {**KEY, "Content-Type": "application/json"}
    answer = await client.post("/things", content=endless(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "unknown-path"),
        ("DELETE", "/things", {}, 405, "method-not-allowed"),
        ("POST", "/things", {"Content-Type": "text/xml"}, 415, "unsupported-media-type"),
        ("POST", "/things", {"Content-Type": "application/json"}, 400, "idempotency-key-missing"),
        (
            "POST",
            "/things",
            {**KEY, "Authorization": "Bearer x", "Content-Type": "application/json"},
            401,
            "token-invalid",
        ),
        ("POST", "/things", {**KEY, "Authorization": "", "Content-Type": "application/json"}, 401, "token-missing"),
    ],
)
async def test_a_request_that_leads_nowhere_is_told_why(
    client: httpx.AsyncClient, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await client.request(
        method, path, headers=headers, content=orjson.dumps(GOOD) if method == "POST" else None
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_token_without_the_scope_is_told_which(client: httpx.AsyncClient, mint: TokenMint) -> None:
    headers = {**KEY, "Authorization": f"Bearer {mint.token('usr_2', ['things:read'])}"}
    answer = await client.post("/things", json=GOOD, headers=headers)
    assert (answer.status_code, answer.json()["missing"]) == (403, ["things:write"])


async def test_the_three_families_of_error_have_their_statuses(client: httpx.AsyncClient) -> None:
    refused, gone, defect, crash = [await client.get(f"/errors/{n}") for n in ("refused", "away", "defect", "crash")]
    assert (refused.status_code, refused.json()["available_minor"]) == (409, 7)
    assert (gone.status_code, gone.headers["retry-after"]) == (503, "5")
    for broken in (defect, crash):
        assert (broken.status_code, broken.json()["code"]) == (500, "internal-error")
        assert "secret" not in broken.text
        assert broken.json()["request_id"] == broken.headers["x-request-id"]


async def test_readiness_names_the_part_that_is_away(client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).status_code == 200
    away.append(True)
    answer = await client.get("/readyz")
    assert 'ledgerlink_ready{part="part"} 0.0' in (await client.get("/metrics")).text
    away.clear()
    await client.get("/readyz")
    assert 'ledgerlink_ready{part="part"} 1.0' in (await client.get("/metrics")).text
    assert (answer.status_code, answer.json()["checks"]) == (503, {"part": "The part is away."})
    assert (await client.get("/healthz")).json() == {"status": "alive"}


async def test_metrics_count_by_route_and_not_by_path(client: httpx.AsyncClient) -> None:
    await client.get("/errors/refused")
    text = (await client.get("/metrics")).text
    assert 'ledgerlink_http_requests_total{method="GET",route="/errors/{name}",status="409"}' in text


async def test_the_openapi_documents_what_any_route_may_answer(client: httpx.AsyncClient) -> None:
    schema = (await client.get("/openapi.json")).json()
    make_thing = schema["paths"]["/things"]["post"]
    assert {"201", "400", "401", "403", "413", "415", "422", "503"} <= set(make_thing["responses"])
    assert make_thing["security"] == [{"bearer": []}]
    assert "security" not in schema["paths"]["/errors/{name}"]["get"]


def test_the_walk_finds_a_route_without_a_guard(mint: TokenMint) -> None:
    app = app_of(mint)
    assert_every_route_is_guarded(app, {"/errors/{name}"})
    with pytest.raises(AssertionError, match="without a guard"):
        assert_every_route_is_guarded(app, set())
    with pytest.raises(AssertionError, match="called public"):
        assert_every_route_is_guarded(app, {"/errors/{name}", "/things"})


async def test_a_call_gives_back_the_refusal_that_the_upstream_meant(mint: TokenMint) -> None:
    upstream = HttpClient("http://bank", name="bank", transport=AsgiTransport(app_of(mint)))
    with pytest.raises(Refused) as refused:
        await upstream.call("GET", "/errors/refused")
    assert (refused.value.kind, refused.value.code) == (Kind.CONFLICT, "insufficient-funds")
    assert refused.value.members["available_minor"] == 7
    with pytest.raises(Unavailable, match="bank-unavailable") as gone:
        await upstream.call("GET", "/errors/crash")
    assert gone.value.outcome_unknown
    await upstream.close()


class Broken:
    """A transport that fails as told."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def send(self, *_: Any, **__: Any) -> HttpReply:
        raise self._error

    async def close(self) -> None:
        return


@pytest.mark.parametrize(
    ("error", "unknown"),
    [(ConnectionRefusedError(), False), (TimeoutError(), True), (ConnectionResetError(), True)],
)
async def test_only_a_refused_connection_is_known_to_have_done_nothing(error: Exception, *, unknown: bool) -> None:
    client = HttpClient("http://bank", name="bank", transport=Broken(error))
    with pytest.raises(Unavailable) as away_error:
        await client.request("POST", "/")
    assert away_error.value.outcome_unknown is unknown


async def test_a_call_to_nowhere_over_the_real_transport_is_refused_at_once() -> None:
    client = HttpClient("http://127.0.0.1:1", name="bank")
    with pytest.raises(Unavailable, match="cannot be reached"):
        await client.request("GET", "/")
    await client.close()


async def test_a_call_inside_a_transaction_is_a_defect(kit_db: Database) -> None:
    client = HttpClient("http://127.0.0.1:1", name="bank")
    async with kit_db.transaction():
        with pytest.raises(Defect, match="network call to bank"):
            await client.request("GET", "/")


async def test_a_replay_says_so_in_its_header(kit_db: Database) -> None:
    async def work(_tx: Any) -> int:
        return 1

    async def ask() -> Response:
        reply = await run_once(kit_db, once_for("u", "o", "k", {}), work, lambda n: json_reply(201, {"n": n}))
        return reply.to_response()

    first, again = await ask(), await ask()
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert first.body == again.body


class ThingSettings(StoredSettings):
    """Settings for tests."""

    model_config = env_prefix("THING_")


def test_settings_are_printed_without_their_secrets() -> None:
    settings = ThingSettings(
        database_url=SecretStr("postgresql://u:hush@h/d"), redis_url="redis://:hush@h", client_secret=SecretStr("hush")
    )
    assert "hush" not in str(settings.redacted())
    assert "hush" not in repr(settings.database_url)


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_streamed_routes_body_has_no_limit_of_the_shells(client: httpx.AsyncClient, is_chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 1024 * 1024

    content = pieces() if is_chunked else b"x" * 3 * 1024 * 1024
    answer = await client.post("/streams/a", content=content, headers={"Content-Type": "application/x-ndjson"})
    assert (answer.status_code, answer.json()) == (200, {"name": "a", "bytes": 3 * 1024 * 1024})


@pytest.mark.parametrize(
    ("path", "media_type", "status"),
    [
        ("/streams/a", "application/json", 415),
        ("/streams/a/b", "application/x-ndjson", 415),
        ("/things", "application/x-ndjson", 415),
        ("/streams/a/b", "application/json", 404),
    ],
)
async def test_only_the_streamed_route_reads_its_media_type(
    client: httpx.AsyncClient, path: str, media_type: str, status: int
) -> None:
    answer = await client.post(path, content=b"{}", headers={"Content-Type": media_type})
    assert answer.status_code == status


async def test_beside_a_streamed_route_the_limit_holds(client: httpx.AsyncClient) -> None:
    body = b" " * (1024 * 1024 + 1)
    answers = [
        await client.request(method, path, content=body, headers={"Content-Type": "application/x-ndjson"})
        for method, path in (("POST", "/streams"), ("POST", "/streams/a/b"), ("PUT", "/streams/a"))
    ]
    assert [answer.status_code for answer in answers] == [413, 413, 413]
