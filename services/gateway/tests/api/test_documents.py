"""Proves that the documentation is what the services serve now, and that its page needs nobody else's server."""

import asyncio
import re
from typing import Any

import orjson

from ledgerlink_gateway.testing import Answer, MakeStand, RawRequest, RawUpstream, Stand, ask, raw_upstream, request

SCHEMA: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "x", "version": "1"},
    "paths": {
        "/wallets": {"post": {"operationId": "open_wallet", "responses": {"201": {"description": "Opened"}}}},
        "/auth/token": {"post": {"operationId": "token", "responses": {"200": {"description": "OK"}}}},
        "/v1/payment_intents": {"get": {"operationId": "list", "responses": {"200": {"description": "OK"}}}},
        "/secret": {"get": {"operationId": "secret", "responses": {}}},
    },
}


def _documented() -> Answer:
    async def answer(
        seen: RawRequest, _upstream: RawUpstream, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        body = orjson.dumps(SCHEMA) if seen.target == "/openapi.json" else b"{}"
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    return answer


async def test_one_document_shows_all_services_under_their_public_paths(stand: Stand) -> None:
    stand.upstream.otherwise = _documented()
    document = orjson.loads((await ask(stand.port, request("GET", "/openapi.json"))).body)
    assert document["openapi"] == "3.1.0"
    assert {"/api/v1/wallets", "/api/v1/auth/token", "/v1/payment_intents", "/api/v1/overview"} <= set(
        document["paths"]
    )
    assert "/secret" not in document["paths"]
    assert {part["state"] for part in document["x-ledgerlink-parts"].values()} == {"served"}


async def test_the_document_is_asked_for_once_by_many_readers(stand: Stand) -> None:
    stand.upstream.otherwise = _documented()
    await asyncio.gather(*(ask(stand.port, request("GET", "/openapi.json")) for _ in range(10)))
    assert len(stand.upstream.requests) == 4


async def test_a_service_that_is_away_is_named_and_the_rest_is_shown(make_stand: MakeStand) -> None:
    async with raw_upstream() as gone:
        pass
    stand = await make_stand(payments_url=gone.url)
    stand.upstream.otherwise = _documented()
    document = orjson.loads((await ask(stand.port, request("GET", "/openapi.json"))).body)
    assert document["x-ledgerlink-parts"]["payments"] == {"state": "unavailable", "reason": "upstream-unavailable"}
    assert "payments" in document["info"]["description"]
    assert "/api/v1/wallets" in document["paths"]
    assert "/v1/payment_intents" not in document["paths"]


async def test_the_page_loads_everything_from_here_and_nothing_inline(stand: Stand) -> None:
    page = await ask(stand.port, request("GET", "/docs"))
    assert page.status == 200
    assert "script-src 'self'" in (page.header("content-security-policy") or "")
    text = page.body.decode()
    links = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert re.search(r"<script>|\sstyle=|\son\w+=", text) is None
    assert len(links) == 3
    for link in links:
        assert link.startswith("/docs/")
        asset = await ask(stand.port, request("GET", link))
        assert (asset.status, len(asset.body) > 0, asset.header("x-content-type-options")) == (200, True, "nosniff")


async def test_no_other_file_is_given_out(stand: Stand) -> None:
    for name in ("LICENSE", "..", "%2e%2e", "x/y", "oauth2-redirect"):
        assert (await ask(stand.port, request("GET", f"/docs/{name}"))).status in (400, 404)
