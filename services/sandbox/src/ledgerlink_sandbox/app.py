"""The composition root: ``python -m ledgerlink_sandbox.app`` serves the provider and sends its events."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Final

import structlog
from fastapi import FastAPI

from ledgerlink_kit import migrations
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Unavailable
from ledgerlink_kit.http_app import create_app, serve
from ledgerlink_sandbox.api import authorizations, faults, movements
from ledgerlink_sandbox.commands import timers
from ledgerlink_sandbox.connectors.listener import WebhookListener
from ledgerlink_sandbox.runtime import Runtime, Settings

PULSE_S: Final = 0.5
"""How often the provider looks for what falls due when nobody wakes it."""
GATHER_S: Final = 0.1
FORGET_EVERY_S: Final = 300.0
AWAY_S: Final = 2.0


def build_runtime(settings: Settings) -> Runtime:
    """Make what the commands need from what the operator chose; nothing connects yet."""
    db = Database(settings.database_url.get_secret_value(), application_name="sandbox", pool_size=settings.db_pool_size)
    listener = WebhookListener(settings.webhook_url, settings.webhook_secret.get_secret_value())
    return Runtime(settings, db, SystemClock(), listener)


def build_app(runtime: Runtime) -> FastAPI:
    """Make the app; its timers run as long as it does."""

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
        stop = asyncio.Event()
        timer = asyncio.create_task(run_timers(runtime, stop), name="timers")
        try:
            yield
        finally:
            stop.set()
            runtime.news.set()
            await timer
            await runtime.listener.close()
            await runtime.db.close()

    return create_app(
        title="LedgerLink sandbox provider",
        version="0.1.0",
        summary="A stand-in card provider with published test cards and faults on demand.",
        settings=runtime.settings,
        routers=[authorizations.router, movements.router, faults.router],
        verifier=None,
        readiness={"database": runtime.db.ping},
        runtime=runtime,
        lifespan=lifespan,
    )


async def run_timers(runtime: Runtime, stop: asyncio.Event) -> None:
    """Settle and send whatever is due until ``stop`` is set; a database that is away is waited for."""
    log = structlog.get_logger()
    settle_at = forget_at = runtime.clock.monotonic()
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(runtime.news.wait(), PULSE_S)
        # Under load there is always news; what came within the same moment goes in one batch.
        await asyncio.sleep(GATHER_S)
        runtime.news.clear()
        try:
            if runtime.clock.monotonic() >= settle_at:
                await timers.settle_due(runtime)
                settle_at = runtime.clock.monotonic() + PULSE_S
            while not stop.is_set() and await timers.send_due(runtime):
                pass
            if runtime.clock.monotonic() >= forget_at:
                await timers.forget_letters(runtime)
                forget_at = runtime.clock.monotonic() + FORGET_EVERY_S
        except Unavailable as error:
            log.warning("timers_wait", reason=error.detail)
            await asyncio.sleep(AWAY_S)
        except Exception:
            log.exception("timers_broke")
            await asyncio.sleep(AWAY_S)


def main() -> None:
    """Migrate, then serve until told to stop."""
    settings = Settings()  # pyright: ignore[reportCallIssue] - the environment gives the rest
    migrations.upgrade("ledgerlink_sandbox", settings.database_url.get_secret_value())
    serve(lambda: build_app(build_runtime(settings)), settings, "sandbox")


if __name__ == "__main__":
    main()
