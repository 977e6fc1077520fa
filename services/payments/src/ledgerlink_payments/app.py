"""The composition root of payments' HTTP process: settings to runtime to app."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError

from ledgerlink_kit import migrations
from ledgerlink_kit.auth import HttpJwks, TokenVerifier
from ledgerlink_kit.http_app import create_app, serve
from ledgerlink_kit.problem import problem_response
from ledgerlink_payments import __version__
from ledgerlink_payments.api import (
    accounts,
    connectors,
    events,
    payment_intents,
    payouts,
    refunds,
    webhook_endpoints,
)
from ledgerlink_payments.api.dialect import FORM, StripeErrors, bad_parameters
from ledgerlink_payments.runtime import Open, Settings, open_runtime

PUBLIC_ROUTES: Final = frozenset({"/v1/connectors/{connector}/webhook"})
"""Paths without an access token: a provider's signature stands in its place."""

ROUTERS: Final = [
    payment_intents.router,
    refunds.router,
    payouts.router,
    accounts.router,
    events.router,
    connectors.router,
    webhook_endpoints.router,
]


def make_app(settings: Settings, opened: Open, verifier: TokenVerifier) -> FastAPI:
    """Make the app around an open runtime whose database is up to date."""
    rt = opened.runtime

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        yield
        await opened.close()

    app = create_app(
        title="LedgerLink Payments",
        version=__version__,
        summary="From 'this person should pay that much' to settled money, in Stripe's dialect.",
        settings=settings,
        routers=ROUTERS,
        verifier=verifier,
        readiness={"database": rt.db.ping},
        runtime=rt,
        lifespan=lifespan,
        media_types=("application/json", FORM),
    )

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return problem_response(bad_parameters(error.errors()))

    # Stripe's users know 400 for a parameter that does not fit.
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_middleware(StripeErrors)
    return app


def main() -> None:
    """Bring the database up to date and serve until told to stop."""
    settings = Settings()  # pyright: ignore[reportCallIssue] - its fields come from the environment
    migrations.upgrade("ledgerlink_payments", settings.database_url.get_secret_value())

    def factory() -> FastAPI:
        opened = open_runtime(settings, "payments")
        clock = opened.runtime.clock
        jwks = HttpJwks(settings.identity_url, clock)
        verifier = TokenVerifier(issuer=settings.issuer, audience=settings.audience, jwks=jwks, clock=clock)
        return make_app(settings, opened, verifier)

    serve(factory, settings, "payments")


if __name__ == "__main__":
    main()
