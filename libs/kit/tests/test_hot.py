"""Proves that a hot route answers as the declared route that it stands for, which answers where there is a query."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import orjson
import pytest
import pytest_asyncio
from fastapi import APIRouter, Depends, Header
from starlette.requests import ClientDisconnect
from starlette.types import Message

from ledgerlink_kit.auth import Caller, Requirement
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.hot import HotApp, HotRequest, HotRoute, Reply
from ledgerlink_kit.http_app import create_app
from ledgerlink_kit.limits import BODY_BYTES_MAX
from ledgerlink_kit.money import AmountMinor
from ledgerlink_kit.problem import read_body
from ledgerlink_kit.settings import ServiceSettings
from ledgerlink_kit.testing import TokenMint, client_for
from ledgerlink_kit.wire import RequestModel

writer = Requirement(("things:write",))
router = APIRouter()


class Order(RequestModel):
    """A body for tests."""

    amount_minor: AmountMinor


def made(order: Order, caller: Caller, word: str | None) -> dict[str, Any]:
    if order.amount_minor == 7:
        raise Refused(Kind.CONFLICT, "seven", "Seven is refused.", amount_minor=7)
    if order.amount_minor == 13:
        raise RuntimeError("the secret crash")
    return {"amount_minor": order.amount_minor, "caller": caller.subject, "word": word}


@router.post("/things", status_code=201)
async def make(
    order: Order, caller: Annotated[Caller, Depends(writer)], x_word: Annotated[str | None, Header()] = None
) -> dict[str, Any]:
    return made(order, caller, x_word)


async def make_hot(request: HotRequest) -> Reply:
    caller = await request.caller(writer)
    order = read_body(Order, request.body)
    return Reply(201, orjson.dumps(made(order, caller, request.header(b"x-word"))))


@pytest_asyncio.fixture
async def client(mint: TokenMint) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        title="Things",
        version="1",
        settings=ServiceSettings(environment="test"),
        routers=[router],
        verifier=mint.verifier(),
        readiness={},
        runtime=None,
        hot=[HotRoute("POST", "/things", make_hot)],
    )
    async with client_for(app, token=mint.token("usr_1", ["things:write"])) as client:
        yield client


JSON = {"Content-Type": "application/json"}
GOOD = b'{"amount_minor":1}'


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (GOOD, JSON, 201),
        (GOOD, {**JSON, "X-Word": "a"}, 201),
        (b'{"amount_minor":7}', JSON, 409),
        (b'{"amount_minor":13}', JSON, 500),
        (b'{"amount_minor":"1"}', JSON, 422),
        (b'{"amount_minor":1,"more":1}', JSON, 422),
        (b'{"amount_minor":1', JSON, 400),
        (b'{"amount_minor":0}', JSON, 422),
        (b"", JSON, 422),
        (GOOD, {"Content-Type": "text/plain"}, 415),
        (GOOD, {}, 415),
        (GOOD, {**JSON, "Authorization": "Bearer nonsense"}, 401),
        (GOOD, {**JSON, "Authorization": "Basic nonsense"}, 401),
        (b" " * (BODY_BYTES_MAX + 1), JSON, 413),
    ],
)
async def test_both_ways_answer_the_same(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    asked = {**headers, "X-Request-ID": "r"}
    hot = await client.post("/things", content=content, headers=asked)
    declared = await client.post("/things?declared=1", content=content, headers=asked)
    assert hot.status_code == declared.status_code == status
    assert hot.json() == declared.json()
    assert hot.headers == declared.headers


async def test_a_caller_without_the_scope_is_told_which(client: httpx.AsyncClient, mint: TokenMint) -> None:
    token = {"Authorization": f"Bearer {mint.token('usr_1', ['things:read'])}"}
    answer = await client.post("/things", content=GOOD, headers=JSON | token)
    assert (answer.status_code, answer.json()["missing"]) == (403, ["things:write"])


async def test_of_several_headers_with_one_name_the_first_counts(client: httpx.AsyncClient) -> None:
    headers = [("Content-Type", "application/json"), ("X-Word", "first"), ("X-Word", "second")]
    answers = [await client.post(path, content=GOOD, headers=headers) for path in ("/things", "/things?declared=1")]
    assert [answer.json()["word"] for answer in answers] == ["first", "first"]


async def test_a_body_in_pieces_is_put_together_and_cut_off_at_the_limit(client: httpx.AsyncClient) -> None:
    async def pieces(count: int) -> AsyncIterator[bytes]:
        yield b'{"amount_minor":'
        for _ in range(count):
            yield b" " * 100_000
        yield b"1}"

    assert (await client.post("/things", content=pieces(2), headers=JSON)).status_code == 201
    assert (await client.post("/things", content=pieces(20), headers=JSON)).status_code == 413


async def test_other_methods_are_the_frameworks_to_answer(client: httpx.AsyncClient) -> None:
    assert (await client.get("/things")).status_code == 405


async def test_metrics_name_the_route(client: httpx.AsyncClient) -> None:
    await client.post("/things", content=GOOD, headers=JSON)
    text = (await client.get("/metrics")).text
    assert 'ledgerlink_http_requests_total{method="POST",route="/things",status="201"}' in text


async def test_whoever_goes_away_before_the_body_has_come_is_not_served(mint: TokenMint) -> None:
    app = create_app(
        title="Things",
        version="1",
        settings=ServiceSettings(environment="test"),
        routers=[],
        verifier=mint.verifier(),
        readiness={},
        runtime=None,
    )
    messages: list[Message] = [
        {"type": "http.request", "body": b"{", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(_message: Message) -> None:
        raise AssertionError("nobody is there to be answered")

    hot = HotApp(HotRoute("POST", "/things", make_hot), app, BODY_BYTES_MAX)
    with pytest.raises(ClientDisconnect):
        await hot({"type": "http", "headers": [], "state": {}}, receive, send)
