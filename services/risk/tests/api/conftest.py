"""Risk's app in process, on a database of its own, and tokens for each kind of caller."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from ledgerlink_kit.testing import TokenMint, client_for
from ledgerlink_risk.app import build_app
from ledgerlink_risk.runtime import RiskSettings, Runtime

SCOPES = {
    "payments": ("svc_payments", "service", ["ledger:read", "ledger:write", "wallet:read", "risk:decide"]),
    "wallet": ("svc_wallet", "service", ["risk:decide"]),
    "robot": ("svc_robot", "service", ["risk:read", "risk:review"]),
    "analyst": ("usr_eve", "user", ["profile:read", "risk:read", "risk:review"]),
    "support": ("usr_sam", "user", ["risk:read", "wallet:read"]),
    "customer": ("usr_ann", "user", ["wallet:read", "wallet:write", "payments:read", "payments:write"]),
}

As = Callable[[str], dict[str, str]]


@pytest.fixture
def as_(mint: TokenMint) -> As:
    """Headers of a caller by name; `nobody` has no token."""

    def headers(who: str) -> dict[str, str]:
        if who == "nobody":
            return {}
        subject, kind, scopes = SCOPES[who]
        return {"Authorization": f"Bearer {mint.token(subject, scopes, kind=kind)}"}

    return headers


@pytest.fixture
def app(runtime: Runtime, mint: TokenMint) -> FastAPI:
    settings = RiskSettings.model_validate({"environment": "test", "database_url": runtime.db.url})
    return build_app(settings, runtime, mint.verifier())


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_for(app) as client:
        yield client


@pytest.fixture
def order() -> Callable[..., dict[str, Any]]:
    """The body of an order: a small card payment with `changes`."""

    def body(**changes: Any) -> dict[str, Any]:
        event = {
            "kind": "payment",
            "amount_minor": 1200,
            "currency": "GBP",
            "customer": "usr_ann",
            "destination": "acct_shop",
            "source_kind": "card",
            "payment_method": "pm_card_visa",
            "subject": "pi_1",
        }
        return {"event": {**event, **changes}}

    return body
