"""Proves what callers of the provider see: answers, problems, who may call, and each fault as it is published."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from ledgerlink_kit.http_app import KIT_ROUTES, api_routes
from ledgerlink_kit.testing import client_for
from ledgerlink_sandbox.app import build_app
from ledgerlink_sandbox.connectors.recording import RecordingListener
from ledgerlink_sandbox.runtime import Runtime


@pytest_asyncio.fixture
async def client(provider: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(build_app(provider), token=provider.settings.api_key.get_secret_value()) as client:
        yield client


async def authorize(client: httpx.AsyncClient, **fields: object) -> httpx.Response:
    body = {"key": "a1", "amount": 1000, "currency": "gbp", "payment_method": "pm_card_visa", **fields}
    return await client.post("/authorizations", json=body)


async def test_a_payment_runs_from_authorization_over_capture_to_refund(client: httpx.AsyncClient) -> None:
    made = await authorize(client)
    assert (made.status_code, made.json()["status"], made.json()["currency"]) == (201, "authorized", "GBP")
    captured = await client.post("/authorizations/a1/captures", json={"key": "c1", "amount": 600, "final": True})
    assert (captured.status_code, captured.json()["status"]) == (201, "succeeded")
    refunded = await client.post("/refunds", json={"key": "r1", "authorization": "a1", "amount": 100})
    assert (refunded.status_code, refunded.json()["status"]) == (201, "succeeded")
    found = (await client.get("/authorizations/a1")).json()
    assert (found["status"], found["amount_captured"], found["amount_released"], found["amount_refunded"]) == (
        "captured",
        600,
        400,
        100,
    )
    assert (await client.get("/captures/c1")).json() == captured.json()
    assert (await client.get("/refunds/r1")).json() == refunded.json()


async def test_a_replay_is_answered_byte_for_byte_and_says_so(client: httpx.AsyncClient) -> None:
    first, second = await authorize(client), await authorize(client)
    assert first.content == second.content
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"


async def test_a_key_used_for_another_request_is_a_conflict_that_says_what_differs(client: httpx.AsyncClient) -> None:
    await authorize(client)
    other = await authorize(client, amount=5)
    assert (other.status_code, other.json()["code"], other.json()["differs"]) == (409, "key-reused", ["amount"])


async def test_a_decline_is_an_answer_and_not_an_error(client: httpx.AsyncClient) -> None:
    declined = await authorize(client, payment_method="pm_card_chargeDeclinedInsufficientFunds")
    assert declined.status_code == 201
    assert (declined.json()["status"], declined.json()["decline"]) == (
        "declined",
        {"code": "insufficient_funds", "soft": True},
    )


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"amount": 0}, 422, "invalid-request"),
        ({"amount": -5}, 422, "invalid-request"),
        ({"amount": 1.5}, 422, "invalid-request"),
        ({"amount": "10"}, 422, "invalid-request"),
        ({"amount": 2**53}, 422, "invalid-request"),
        ({"currency": "XXQ"}, 422, "invalid-request"),
        ({"key": "with/slash"}, 422, "invalid-request"),
        ({"extra": 1}, 422, "invalid-request"),
        ({"payment_method": "pm_card_nobody"}, 422, "payment-method-unknown"),
        ({"metadata": {"sandbox_fault": "earthquake"}}, 422, "fault-unknown"),
    ],
)
async def test_a_request_that_does_not_fit_is_refused(
    client: httpx.AsyncClient, change: dict[str, object], status: int, code: str
) -> None:
    refused = await authorize(client, **change)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.headers["content-type"] == "application/problem+json"


async def test_a_body_that_is_no_json_is_refused(client: httpx.AsyncClient) -> None:
    broken = await client.post("/payouts", content=b"{", headers={"content-type": "application/json"})
    assert (broken.status_code, broken.json()["code"]) == (400, "malformed-body")
    form = await client.post("/payouts", data={"key": "p"})
    assert form.status_code == 415


@pytest.mark.parametrize("token", [None, "Basic abc", "Bearer wrong", "Bearer "])
async def test_every_route_refuses_callers_without_the_key(provider: Runtime, token: str | None) -> None:
    app = build_app(provider)
    headers = {} if token is None else {"Authorization": token}
    routes = [route for route in api_routes(app) if str(route.path) not in KIT_ROUTES]
    assert len(routes) == 12
    async with client_for(app) as client:
        for route in routes:
            path, [method] = str(route.path).replace("{key}", "k"), route.methods or []
            refused = await client.request(method, path, headers=headers, json={})
            assert (route.path, refused.status_code) == (route.path, 401)


async def test_a_timeout_after_commit_loses_the_answer_and_not_the_money(client: httpx.AsyncClient) -> None:
    lost = await authorize(client, payment_method="pm_card_timeoutAfterCommit", capture=True)
    assert (lost.status_code, lost.headers["content-type"]) == (504, "application/problem+json")
    assert (await client.get("/authorizations/a1")).json()["amount_captured"] == 1000
    again = await authorize(client, payment_method="pm_card_timeoutAfterCommit", capture=True)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (201, "true")


async def test_a_timeout_before_commit_does_nothing_and_a_repeat_does_it(client: httpx.AsyncClient) -> None:
    lost = await authorize(client, payment_method="pm_card_timeoutBeforeCommit")
    assert lost.status_code == 504
    missing = await client.get("/authorizations/a1")
    assert (missing.status_code, missing.json()["code"]) == (404, "authorization-unknown")
    again = await authorize(client, payment_method="pm_card_timeoutBeforeCommit")
    assert (again.status_code, "Idempotency-Replayed" in again.headers) == (201, False)


async def test_faults_can_be_ordered_listed_and_called_off(client: httpx.AsyncClient) -> None:
    order = {"operation": "refund", "kind": "error", "times": 2}
    planned = await client.post("/faults", json=order)
    assert (planned.status_code, len(planned.json()["faults"])) == (201, 2)
    await authorize(client, capture=True)
    body = {"key": "r1", "authorization": "a1", "amount": 1}
    failed = await client.post("/refunds", json=body)
    assert (failed.status_code, failed.json()["code"]) == (503, "fault-error")
    assert (await client.post("/refunds", json=body)).status_code == 201
    assert len((await client.get("/faults")).json()["faults"]) == 1
    assert (await client.delete("/faults")).status_code == 204
    assert (await client.post("/refunds", json={**body, "key": "r2"})).status_code == 201


async def test_more_faults_than_can_wait_are_refused(client: httpx.AsyncClient) -> None:
    await client.post("/faults", json={"operation": "void", "kind": "slow", "times": 1000, "delay_s": 0})
    refused = await client.post("/faults", json={"operation": "void", "kind": "slow"})
    assert (refused.status_code, refused.json()["code"]) == (422, "too-many-faults")


@pytest.mark.parametrize(("kind", "status"), [("slow", 201), ("hang_after_commit", 504)])
async def test_a_slow_or_hanging_answer_takes_as_long_as_ordered(
    client: httpx.AsyncClient, kind: str, status: int
) -> None:
    await client.post("/faults", json={"operation": "authorization", "kind": kind, "delay_s": 0.2})
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert (await authorize(client)).status_code == status
    assert loop.time() - started >= 0.2


async def test_events_are_sent_by_the_running_process(client: httpx.AsyncClient, listener: RecordingListener) -> None:
    await authorize(client, capture=True)
    await client.post("/payouts", json={"key": "p1", "amount": 5, "currency": "EUR", "destination": "ba_x"})
    for _ in range(250):
        await asyncio.sleep(0.02)
        if len(listener.heard) == 2:
            break
    assert sorted(listener.types) == ["authorization.succeeded", "payout.pending"]


async def test_health_readiness_and_metrics_are_open_to_all(client: httpx.AsyncClient) -> None:
    client.headers.pop("Authorization")
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).json() == {"status": "ready", "checks": {"database": "ok"}}
    assert "sandbox_events_sent_total" in (await client.get("/metrics")).text
