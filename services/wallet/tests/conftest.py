"""Fixtures of the wallet's tests: a running service on a fresh database, with callers of every kind."""

import base64
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from ledgerlink_contracts.ids import UserId
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.testing import TokenMint, client_for
from ledgerlink_wallet.app import build_app
from ledgerlink_wallet.runtime import WalletSettings

MakeDatabase = Callable[[str], Awaitable[Database]]

SERVICE_SCOPES = ("ledger:read", "ledger:write", "wallet:read", "ledger:audit")
CHECKPOINT_KEY = base64.b64encode(bytes(range(32))).decode()
OWNER_SCOPES = ("wallet:read", "wallet:write")


@dataclass(frozen=True)
class Service:
    """A wallet service in process: its app, its database, a client, and tokens for whoever calls."""

    app: FastAPI
    db: Database
    client: httpx.AsyncClient
    mint: TokenMint

    def headers(self, subject: str = "svc_payments", scopes: tuple[str, ...] = SERVICE_SCOPES) -> dict[str, str]:
        kind = "service" if subject.startswith("svc_") else "user"
        return {"Authorization": f"Bearer {self.mint.token(subject, scopes, kind=kind)}"}

    async def call(self, method: str, path: str, json: Any = None, **headers: str) -> httpx.Response:
        """Call as a trusted service; a header given by name (underscores for dashes) is added."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(method, path, json=json, headers={**self.headers(), **given})

    async def call_as(self, owner: str, method: str, path: str, json: Any = None, key: str = "") -> httpx.Response:
        """Call as the owner of wallets."""
        headers = self.headers(owner, OWNER_SCOPES) | ({"Idempotency-Key": key} if key else {})
        return await self.client.request(method, path, json=json, headers=headers)

    async def wallet(self, owner: str, currency: str = "GBP", funds: int = 0, key: str = "wallet") -> str:
        """Open a wallet for ``owner`` with ``funds`` from `world`."""
        answer = await self.call_as(owner, "POST", "/wallets", {"currency": currency}, key)
        assert answer.status_code == 201, answer.text
        wallet = str(answer.json()["id"])
        if funds:
            order = {"amount_minor": funds, "currency": currency}
            funded = await self.call("POST", f"/wallets/{wallet}/credit", order, Idempotency_Key=f"fund {wallet}")
            assert funded.status_code == 201, funded.text
        return wallet

    async def available(self, wallet: str) -> int:
        """Give what a wallet may still spend in its first currency."""
        answer = await self.call("GET", f"/wallets/{wallet}/balance")
        return int(answer.json()["available_minor"])

    async def audit(self) -> dict[str, Any]:
        """Give the audit's report."""
        report: dict[str, Any] = (await self.call("GET", "/audit")).json()
        return report


@asynccontextmanager
async def run_service(db: Database, **settings: Any) -> AsyncGenerator[Service]:
    """Run the service on ``db``."""
    mint = TokenMint()
    chosen = {"environment": "test", "self_funding": True, "database_url": db.url, "checkpoint_key": CHECKPOINT_KEY}
    chosen |= settings
    app = build_app(WalletSettings.model_validate(chosen), SystemClock(), mint.verifier())
    async with client_for(app) as client:
        yield Service(app, db, client, mint)


@pytest.fixture
async def service(make_database: MakeDatabase) -> AsyncIterator[Service]:
    """The service on a fresh database, owners may fund themselves."""
    async with run_service(await make_database("ledgerlink_wallet")) as running:
        yield running


@pytest.fixture
def alice() -> str:
    """An owner."""
    return str(UserId.derive("alice"))


@pytest.fixture
def bob() -> str:
    """Another owner."""
    return str(UserId.derive("bob"))
