"""Proves that health asks nobody, that readiness names the parts that are not, and what is counted and logged."""

import asyncio

import orjson
import pytest

from ledgerlink_gateway.testing import MakeStand, Stand, ask, raw, raw_upstream, request


async def test_health_is_alive_whatever_is_down(make_stand: MakeStand) -> None:
    async with raw_upstream() as gone:
        pass
    stand = await make_stand(identity_url=gone.url, wallet_url=gone.url, payments_url=gone.url, risk_url=gone.url)
    for path in ("/api/v1/healthz", "/healthz"):
        reply = await ask(stand.port, request("GET", path))
        assert (reply.status, orjson.loads(reply.body)) == (200, {"status": "alive"})


async def test_readiness_is_green_when_every_service_is(make_stand: MakeStand, redis_url: str) -> None:
    stand = await make_stand(redis_url=redis_url)
    reply = await ask(stand.port, request("GET", "/api/v1/readyz"))
    expected = dict.fromkeys(("identity", "wallet", "payments", "risk", "redis"), "ok")
    assert (reply.status, orjson.loads(reply.body)) == (200, {"status": "ready", "checks": expected})


async def test_readiness_names_the_service_that_is_not_and_why(make_stand: MakeStand) -> None:
    async with raw_upstream() as gone:
        pass
    stand = await make_stand(risk_url=gone.url)
    stand.upstream.otherwise = raw(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\n{}")
    reply = await ask(stand.port, request("GET", "/api/v1/readyz"))
    checks = orjson.loads(reply.body)["checks"]
    assert (reply.status, checks["risk"], checks["wallet"]) == (503, "upstream-unavailable", "answered-503")
    assert (await ask(stand.port, request("GET", "/readyz"))).status == 503


async def test_without_redis_the_gateway_is_ready_and_says_what_it_lacks(stand: Stand) -> None:
    reply = await ask(stand.port, request("GET", "/api/v1/readyz"))
    assert reply.status == 200
    assert orjson.loads(reply.body)["checks"]["redis"].startswith("lost")


async def test_probes_are_never_limited(make_stand: MakeStand) -> None:
    stand = await make_stand(limit_scale=0.01)
    replies = [await ask(stand.port, request("GET", "/api/v1/healthz")) for _ in range(20)]
    assert {reply.status for reply in replies} == {200}


async def test_requests_refusals_and_upstreams_are_counted(stand: Stand) -> None:
    await ask(stand.port, request("GET", "/api/v1/wallets", token=stand.token))
    await ask(stand.port, request("GET", "/api/v1/wallets"))
    text = (await ask(stand.port, request("GET", "/metrics"))).body.decode()
    for expected in (
        'ledgerlink_http_requests_total{method="GET",route="wallets",status="200"}',
        'ledgerlink_http_requests_total{method="GET",route="wallets",status="401"}',
        'ledgerlink_gateway_refusals_total{reason="token-missing",route="wallets"}',
        'ledgerlink_gateway_upstream_in_flight{upstream="wallet"} 0.0',
        'ledgerlink_gateway_upstream_circuit{upstream="wallet"} 0.0',
    ):
        assert expected in text


async def test_each_request_leaves_one_line_with_its_reason_and_no_secret(
    stand: Stand, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    await ask(stand.port, request("GET", "/api/v1/wallets?password=hunter2", token=stand.token))
    await ask(stand.port, request("GET", "/nowhere/4242424242424242", headers=[("x-request-id", "r-2")]))
    await asyncio.sleep(0.15)
    captured = capfdbinary.readouterr().out
    lines = [orjson.loads(line) for line in captured.splitlines() if b'"event":"request"' in line]
    assert [(line["status"], line["route"], line["reason"]) for line in lines] == [
        (200, "wallets", None),
        (404, "unmatched", "unknown-path"),
    ]
    assert lines[0]["caller"] == "usr_alice"
    assert (lines[1]["path"], lines[1]["request_id"]) == ("/nowhere/[card]", "r-2")
    assert b"hunter2" not in captured
    assert stand.token.encode() not in captured
