"""The composition root of risk's API: settings → runtime → app. `python -m ledgerlink_risk.app` serves."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from ledgerlink_kit.auth import HttpJwks, TokenVerifier
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.http_app import create_app, serve
from ledgerlink_kit.migrations import upgrade
from ledgerlink_risk.api import cases, decisions, rules
from ledgerlink_risk.commands import install_policy
from ledgerlink_risk.domain.stock import STOCK
from ledgerlink_risk.runtime import RiskSettings, Runtime

VERSION = "0.1.0"


def build_app(settings: RiskSettings, runtime: Runtime, verifier: TokenVerifier) -> FastAPI:
    """Make the app on given parts; its start brings the stock policy into force."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        await install_policy(runtime, STOCK)
        yield
        await runtime.db.close()

    return create_app(
        title="LedgerLink risk",
        version=VERSION,
        summary="Recorded, explainable, repeatable decisions about movements of money.",
        settings=settings,
        routers=[decisions.router, cases.router, rules.router],
        verifier=verifier,
        readiness={"database": runtime.db.ping},
        runtime=runtime,
        lifespan=lifespan,
    )


def make_app() -> FastAPI:
    """Make the app from the environment, on a migrated database."""
    settings = RiskSettings()  # pyright: ignore[reportCallIssue] - the environment gives the rest
    url = settings.database_url.get_secret_value()
    upgrade("ledgerlink_risk", url)
    clock = SystemClock()
    db = Database(url, application_name="risk", pool_size=settings.db_pool_size)
    verifier = TokenVerifier(
        issuer=settings.issuer,
        audience=settings.audience,
        jwks=HttpJwks(settings.identity_url, clock),
        clock=clock,
    )
    return build_app(settings, Runtime(db, clock, settings.velocity_timeout_ms), verifier)


if __name__ == "__main__":
    serve(make_app, RiskSettings(), "risk")  # pyright: ignore[reportCallIssue]
