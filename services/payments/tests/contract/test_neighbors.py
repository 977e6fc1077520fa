"""Proves that payments and its real neighbors, the ledger, risk and the provider, understand each other."""

import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest_asyncio
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from pydantic import SecretStr

from ledgerlink_contracts.ids import UserId
from ledgerlink_contracts.risk.client import HttpRiskClient
from ledgerlink_contracts.wallet.client import HttpWalletClient
from ledgerlink_kit.auth import ServiceTokens
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.http_client import HttpClient
from ledgerlink_kit.testing import AsgiTransport, TokenMint
from ledgerlink_payments.app import make_app
from ledgerlink_payments.commands import sweep
from ledgerlink_payments.connectors.sandbox import SandboxConnector
from ledgerlink_payments.runtime import Open, Runtime, Settings
from ledgerlink_risk.app import build_app as build_risk
from ledgerlink_risk.runtime import RiskSettings
from ledgerlink_risk.runtime import Runtime as RiskRuntime
from ledgerlink_sandbox.app import build_app as build_sandbox
from ledgerlink_sandbox.connectors.recording import RecordingListener
from ledgerlink_sandbox.runtime import Runtime as Provider
from ledgerlink_sandbox.runtime import Settings as ProviderSettings
from ledgerlink_wallet.app import build_app as build_wallet
from ledgerlink_wallet.runtime import WalletSettings

API_KEY = "a-key-for-tests-only"
WEBHOOK_SECRET = "whsec_c2FuZGJveC10ZXN0LXNlY3JldC0zMi1ieXRlcyE="
EVERYTHING = [
    *("payments:read", "payments:write", "payments:refund", "payments:payout", "payments:exchange"),
    *("wallet:read", "wallet:write", "ledger:read", "ledger:write"),
]
MakeDatabase = Callable[[str], Awaitable[Database]]


class Town:
    """The four real services, and clients of payments and the wallet for one payer who may do everything."""

    def __init__(self, rt: Runtime, payments: httpx.AsyncClient, wallet: httpx.AsyncClient) -> None:
        self.rt = rt
        self.payments = payments
        self.wallet = wallet

    async def post(self, path: str, **form: Any) -> Any:
        headers = {"Stripe-Account": form.pop("account")} if "account" in form else {}
        answer = await self.payments.post(path, data=form, headers=headers)
        return {**answer.json(), "_status": answer.status_code}

    async def settle(self) -> None:
        """Sweep until nothing is due."""
        while await sweep.sweep(self.rt):
            pass

    async def available(self, code: str, currency: str = "GBP") -> int:
        found = (await self.wallet.get("/accounts", params={"code": code})).json()["items"]
        return sum(account["available_minor"] for account in found if account["currency"] == currency)


async def _provider(make_database: MakeDatabase, clock: SystemClock) -> FastAPI:
    db = await make_database("ledgerlink_sandbox")
    chosen: dict[str, Any] = {
        "environment": "test",
        "database_url": db.url,
        "api_key": API_KEY,
        "webhook_secret": WEBHOOK_SECRET,
        "webhook_url": "http://127.0.0.1:9/never",
    }
    return build_sandbox(Provider(ProviderSettings.model_validate(chosen), db, clock, RecordingListener()))


@pytest_asyncio.fixture
async def town(make_database: MakeDatabase, mint: TokenMint) -> AsyncIterator[Town]:
    clock, verifier = SystemClock(), mint.verifier()
    ledger, judge = await make_database("ledgerlink_wallet"), await make_database("ledgerlink_risk")
    wallet = build_wallet(
        WalletSettings.model_validate(
            {
                "environment": "test",
                "database_url": ledger.url,
                "self_funding": True,
                "checkpoint_key": base64.b64encode(bytes(32)).decode(),
            }
        ),
        clock,
        verifier,
    )
    risk_settings = RiskSettings.model_validate({"environment": "test", "database_url": judge.url})
    risk = build_risk(risk_settings, RiskRuntime(judge, clock, velocity_timeout_ms=5_000), verifier)
    sandbox = await _provider(make_database, clock)
    own = mint.token("svc_payments", ["ledger:read", "ledger:write", "wallet:read", "risk:decide"], kind="service")

    async def fetch() -> tuple[str, float]:
        return own, 600.0

    tokens = ServiceTokens(fetch, clock)

    def to(app: FastAPI, name: str, *, known: bool = True) -> HttpClient:
        return HttpClient(f"http://{name}", name=name, tokens=tokens if known else None, transport=AsgiTransport(app))

    connector = SandboxConnector(
        to(sandbox, "sandbox", known=False), api_key=API_KEY, webhook_secret=WEBHOOK_SECRET, clock=clock
    )
    rt = Runtime(
        db=await make_database("ledgerlink_payments"),
        clock=clock,
        wallet=HttpWalletClient(to(wallet, "wallet")),
        risk=HttpRiskClient(to(risk, "risk")),
        connectors={"sandbox": connector},
        default_connector="sandbox",
    )
    chosen: dict[str, Any] = {"environment": "test", "database_url": SecretStr("postgresql://not-used")}
    payments = make_app(Settings(**chosen), Open(rt, ()), verifier)
    token = mint.token(str(UserId.new(clock.now())), EVERYTHING, life_s=3600)
    headers = {"Authorization": f"Bearer {token}"}
    async with AsyncExitStack() as stack:
        clients: list[httpx.AsyncClient] = []
        for app in (payments, wallet, risk, sandbox):
            await stack.enter_async_context(LifespanManager(app, startup_timeout=30))
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            client = httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers)
            clients.append(await stack.enter_async_context(client))
        yield Town(rt, *clients[:2])


async def test_top_up_pay_capture_refund_exchange_and_payout_end_in_books_that_balance(town: Town) -> None:
    opened = await town.wallet.post("/wallets", json={"currency": "GBP"}, headers={"Idempotency-Key": "w"})
    purse = opened.json()["id"]
    shop = (await town.post("/v1/accounts", country="GB"))["id"]
    order = {"currency": "gbp", "confirm": "true", "transfer_data[destination]": shop, "payment_method": purse}

    by_visa = {**order, "payment_method": "pm_card_visa"}
    topped = await town.post("/v1/payment_intents", **{**by_visa, "transfer_data[destination]": purse}, amount=9000)
    assert topped["status"] == "succeeded", topped
    paid = await town.post("/v1/payment_intents", **order, amount=1000)
    assert paid["status"] == "succeeded", paid
    reserved = await town.post("/v1/payment_intents", **order, amount=2000, capture_method="manual")
    assert reserved["status"] == "requires_capture", reserved
    captured = await town.post(f"/v1/payment_intents/{reserved['id']}/capture", amount_to_capture=1500)
    assert (captured["status"], captured["amount_received"]) == ("succeeded", 1500), captured
    voided = await town.post("/v1/payment_intents", **order, amount=500, capture_method="manual")
    assert (await town.post(f"/v1/payment_intents/{voided['id']}/cancel"))["status"] == "canceled"
    foreign = await town.post(
        "/v1/payment_intents",
        **{**order, "currency": "jpy", "exchange[currency]": "gbp", "exchange[amount]": "550"},
        amount=1000,
    )
    assert foreign["status"] == "succeeded", foreign
    back = await town.post("/v1/refunds", payment_intent=foreign["id"], amount=500)
    assert (back["status"], back["exchange"]) == ("succeeded", {"currency": "gbp", "amount": 275}), back

    by_card = await town.post("/v1/payment_intents", **by_visa, amount=700)
    assert (await town.post("/v1/refunds", payment_intent=by_card["id"], amount=200))["status"] == "succeeded"
    refusing = {**order, "payment_method": "pm_card_chargeDeclined"}
    declined = await town.post("/v1/payment_intents", **refusing, amount=700)
    assert (declined["_status"], declined["error"]["code"]) == (402, "card_declined"), declined
    broke = await town.post("/v1/payment_intents", **order, amount=99_999)
    assert (broke["_status"], broke["error"]["code"]) == (402, "insufficient_funds"), broke

    assert await town.available(f"merchant:{shop}:available") == 1000 + 1500 + 700 - 200
    assert await town.available(f"merchant:{shop}:available", "JPY") == 500
    payout = await town.post("/v1/payouts", amount=3000, currency="gbp", account=shop)
    assert payout["status"] in {"in_transit", "paid"}, payout
    too_much = await town.post("/v1/payouts", amount=1, currency="gbp", account=shop)
    assert too_much["error"]["code"] == "balance_insufficient"
    balance = (await town.wallet.get(f"/wallets/{purse}/balance")).json()
    assert str(9000 - 1000 - 1500 - 550 + 275) in str(balance)


async def test_an_answer_that_the_provider_loses_is_found_out(town: Town) -> None:
    shop = (await town.post("/v1/accounts", country="GB"))["id"]
    lost = await town.post(
        "/v1/payment_intents",
        **{"amount": "800", "currency": "gbp", "confirm": "true", "transfer_data[destination]": shop},
        payment_method="pm_card_timeoutAfterCommit",
    )
    assert lost["status"] == "processing", lost
    assert await town.available(f"merchant:{shop}:available") == 0
    deadline = time.monotonic() + 20
    while await town.available(f"merchant:{shop}:available") == 0 and time.monotonic() < deadline:
        await town.settle()
    assert await town.available(f"merchant:{shop}:available") == 800
    found = (await town.payments.get(f"/v1/payment_intents/{lost['id']}")).json()
    assert found["status"] == "succeeded"
