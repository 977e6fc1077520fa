"""The composition root of the wallet's API: settings → runtime → app. `python -m ledgerlink_wallet.app` serves."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import FastAPI

from ledgerlink_kit.auth import HttpJwks, TokenVerifier
from ledgerlink_kit.clock import Clock, SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.http_app import create_app, serve
from ledgerlink_kit.migrations import upgrade
from ledgerlink_wallet.api import (
    accounts,
    alerts,
    allowances,
    checkpoints,
    events,
    exchange,
    holds,
    imports,
    schedules,
    statements,
    transfers,
    wallets,
)
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.runtime import STREAMS_OF_CALLER_MAX, Owners, Runtime, Streams, WalletSettings
from ledgerlink_wallet.store import open_pool

VERSION = "0.1.0"


def build_app(settings: WalletSettings, clock: Clock, verifier: TokenVerifier) -> FastAPI:
    """Make the app on given parts; its start opens the database and begins to commit, its end finishes what waits."""
    url = settings.database_url.get_secret_value()
    owners = Owners()
    committer = Committer(
        # Two: the one that commits, and a fresh one should that break.
        partial(open_pool, url, application_name="wallet-committer", size=2),
        clock,
        owners,
        queue_max=settings.queue_max,
        batch_max=settings.batch_max,
    )
    db = Database(url, application_name="wallet", pool_size=settings.db_pool_size)
    streams = Streams(settings.streams_max, STREAMS_OF_CALLER_MAX)
    runtime = Runtime(db, committer, clock, settings, settings.signer().key, owners, streams)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        await committer.start()
        yield
        await committer.stop()
        await db.close()

    return create_app(
        title="LedgerLink wallet",
        version=VERSION,
        summary="The double-entry ledger and the wallets on it.",
        settings=settings,
        routers=[
            transfers.router,
            checkpoints.router,
            wallets.router,
            holds.router,
            accounts.router,
            statements.router,
            events.router,
            imports.router,
            allowances.router,
            alerts.router,
            exchange.router,
            schedules.router,
        ],
        streamed=[imports.LINES],
        hot=transfers.HOT,
        verifier=verifier,
        readiness={"database": db.ping, "committer": committer.check},
        runtime=runtime,
        lifespan=lifespan,
    )


def make_app() -> FastAPI:
    """Make the app from the environment, on a migrated database."""
    settings = WalletSettings()  # pyright: ignore[reportCallIssue] - the environment gives the rest
    upgrade("ledgerlink_wallet", settings.database_url.get_secret_value())
    clock = SystemClock()
    verifier = TokenVerifier(
        issuer=settings.issuer,
        audience=settings.audience,
        jwks=HttpJwks(settings.identity_url, clock),
        clock=clock,
    )
    return build_app(settings, clock, verifier)


if __name__ == "__main__":
    serve(make_app, WalletSettings(), "wallet")  # pyright: ignore[reportCallIssue]
