"""The composition root of identity's HTTP process: settings to runtime to app."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from joserfc.jwk import KeySet

from ledgerlink_identity import __version__, queries
from ledgerlink_identity.api import accounts, admin, discovery, sessions, tokens
from ledgerlink_identity.api.oauth_forms import FORM
from ledgerlink_identity.commands.accounts import seed_admin
from ledgerlink_identity.commands.keys import ensure_keys
from ledgerlink_identity.runtime import Runtime, Settings, make_runtime
from ledgerlink_kit import migrations
from ledgerlink_kit.auth import TokenVerifier
from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import Database
from ledgerlink_kit.http_app import create_app, serve

PUBLIC_ROUTES: Final = frozenset(
    {
        "/auth/register",
        "/auth/token",
        "/auth/refresh",
        "/auth/verification/request",
        "/auth/verification/confirm",
        "/auth/password-reset/request",
        "/auth/password-reset/confirm",
        "/oauth/token",
        "/oauth/revoke",
        "/oauth/introspect",
        "/.well-known/jwks.json",
        "/.well-known/oauth-authorization-server",
    }
)
"""Paths without an access token: they check a password, a code or a secret instead, or tell what all may know."""

_KEYS_AGE_S: Final = 60.0
_KEYS_RETRY_S: Final = 2.0


class OwnKeys:
    """The key set that identity verifies its own tokens with, straight from its database."""

    def __init__(self, db: Database, clock: Clock) -> None:
        """Read from `db` once a minute, or after two seconds when an unknown key turns up."""
        self._db = db
        self._clock = clock
        self._keys = KeySet([])
        self._read_at = float("-inf")

    async def keys(self, *, fresh: bool) -> KeySet:
        """Return the published keys."""
        # Whoever sends tokens of strangers must not be able to make us ask the database for each.
        if self._clock.monotonic() - self._read_at >= (_KEYS_RETRY_S if fresh else _KEYS_AGE_S):
            self._keys = KeySet.import_key_set({"keys": await queries.published_keys(self._db, self._clock.now())})
            self._read_at = self._clock.monotonic()
        return self._keys


def make_app(rt: Runtime) -> FastAPI:
    """Make the app around a runtime whose database is up to date."""
    settings = rt.settings

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        await ensure_keys(rt.db, rt.vault, rt.clock)
        if settings.admin_email and settings.admin_password:
            await seed_admin(rt, settings.admin_email, settings.admin_password.get_secret_value())
        await rt.signer.current()
        yield
        rt.hasher.close()
        await rt.db.close()

    verifier = TokenVerifier(
        issuer=settings.issuer, audience=settings.audience, jwks=OwnKeys(rt.db, rt.clock), clock=rt.clock
    )
    return create_app(
        title="LedgerLink Identity",
        version=__version__,
        summary="Who somebody is, what they may do, and how that is taken away again.",
        settings=settings,
        routers=[accounts.router, tokens.router, sessions.router, admin.router, discovery.router],
        verifier=verifier,
        readiness={"database": rt.db.ping},
        runtime=rt,
        lifespan=lifespan,
        media_types=("application/json", FORM),
    )


def main() -> None:
    """Bring the database up to date and serve until told to stop."""
    settings = Settings()  # pyright: ignore[reportCallIssue] - its fields come from the environment
    migrations.upgrade("ledgerlink_identity", settings.database_url.get_secret_value())
    serve(lambda: make_app(make_runtime(settings, "identity")), settings, "identity")


if __name__ == "__main__":
    main()
