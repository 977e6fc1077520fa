"""The gateway's route table and rate limits, as data: the one place that says what a public path means.

Rows are validated when the gateway starts (`compile_table`). The most specific prefix wins, so that a public path can
stand inside a guarded one. Unlisted paths are unknown (404): nothing is exposed by being added to a service alone.
"""

from typing import Final

from ledgerlink_gateway.domain.gcra import Per, Policy, WhenLost
from ledgerlink_gateway.domain.route_table import OWN, Access, Dialect, Route

IDENTITY: Final = "identity"
WALLET: Final = "wallet"
PAYMENTS: Final = "payments"
RISK: Final = "risk"
UPSTREAMS: Final = (IDENTITY, WALLET, PAYMENTS, RISK)

POLICIES: Final = (
    # Everything that one address sends; wide, since many people may stand behind one address.
    Policy(name="address", per=Per.ADDRESS, quota=1200, window_s=60),
    # What a caller may read and write; a write is charged more than a read.
    Policy(name="caller", per=Per.CALLER, quota=600, window_s=60),
    # Guessing passwords and filling mail boxes: narrow. Identity has its own lockout beneath.
    Policy(name="sign-in", per=Per.ADDRESS, quota=30, window_s=60),
    # Composed and merged documents cost several upstream requests each.
    Policy(name="composed", per=Per.CALLER, quota=60, window_s=60),
    Policy(name="documents", per=Per.ROUTE, quota=600, window_s=60, when_lost=WhenLost.OPEN),
)

_SIGN_IN: Final = ("address", "sign-in")
_CALLER: Final = ("address", "caller")
_SMALL_BODY: Final = 64 * 1024
_FILE: Final = 2**40
_DAY_S: Final = 24 * 3600.0


def _sign_in(name: str, path: str) -> Route:
    return Route(
        name=f"auth-{name}",
        prefix=f"/api/v1/auth/{path}",
        upstream=IDENTITY,
        target=f"/auth/{path}",
        access=Access.PUBLIC,
        policies=_SIGN_IN,
        body_bytes_max=_SMALL_BODY,
    )


def _wallet(noun: str) -> Route:
    return Route(
        name=noun,
        prefix=f"/api/v1/{noun}",
        upstream=WALLET,
        target=f"/{noun}",
        policies=_CALLER,
        write_cost=2,
    )


def _risk(noun: str) -> Route:
    return Route(
        name=f"risk-{noun}",
        prefix=f"/api/v1/risk/{noun}",
        upstream=RISK,
        target=f"/{noun}",
        policies=_CALLER,
        write_cost=2,
    )


ROUTES: Final = (
    _sign_in("register", "register"),
    _sign_in("token", "token"),
    _sign_in("refresh", "refresh"),
    _sign_in("verification", "verification"),
    _sign_in("password-reset", "password-reset"),
    Route(name="auth", prefix="/api/v1/auth", upstream=IDENTITY, target="/auth", policies=_CALLER, write_cost=2),
    Route(
        name="oauth",
        prefix="/oauth",
        upstream=IDENTITY,
        target="/oauth",
        access=Access.PUBLIC,
        policies=_SIGN_IN,
        body_bytes_max=_SMALL_BODY,
    ),
    Route(
        name="well-known",
        prefix="/.well-known",
        upstream=IDENTITY,
        target="/.well-known",
        access=Access.PUBLIC,
        body_bytes_max=0,
    ),
    _wallet("wallets"),
    _wallet("transfers"),
    _wallet("holds"),
    _wallet("accounts"),
    _wallet("ledgers"),
    _wallet("trial-balance"),
    _wallet("audit"),
    _wallet("checkpoints"),
    # Whoever was handed a receipt may verify it.
    Route(
        name="checkpoint-key",
        prefix="/api/v1/checkpoints/key",
        upstream=WALLET,
        target="/checkpoints/key",
        exact=True,
        access=Access.PUBLIC,
        body_bytes_max=0,
    ),
    # A file of any size: it streams, as slowly as the ledger takes it, and the wallet bounds what it keeps of it.
    Route(
        name="imports",
        prefix="/api/v1/imports",
        upstream=WALLET,
        target="/imports",
        policies=_CALLER,
        write_cost=2,
        timeout_s=60.0,
        body_bytes_max=_FILE,
        upload_s_max=_DAY_S,
    ),
    _wallet("limits"),
    _wallet("exchange"),
    _wallet("scheduled-transfers"),
    _risk("decisions"),
    _risk("rules"),
    _risk("cases"),
    _risk("lists"),
    # A provider's webhook carries a signature in place of a token; payments checks it.
    Route(
        name="connectors",
        prefix="/v1/connectors",
        upstream=PAYMENTS,
        target="/v1/connectors",
        access=Access.PUBLIC,
        guards_cards=True,
        dialect=Dialect.STRIPE,
    ),
    # A payment waits for risk, the provider and the ledger, one after the other.
    Route(
        name="payments",
        prefix="/v1",
        upstream=PAYMENTS,
        target="/v1",
        policies=_CALLER,
        write_cost=2,
        timeout_s=30.0,
        guards_cards=True,
        dialect=Dialect.STRIPE,
    ),
    Route(
        name="overview",
        prefix="/api/v1/overview",
        upstream=OWN,
        exact=True,
        policies=("address", "composed"),
        body_bytes_max=0,
    ),
    Route(name="docs", prefix="/docs", upstream=OWN, access=Access.PUBLIC, policies=("documents",), body_bytes_max=0),
    Route(
        name="openapi",
        prefix="/openapi.json",
        upstream=OWN,
        exact=True,
        access=Access.PUBLIC,
        policies=("documents",),
        body_bytes_max=0,
    ),
    # Probes and scrapes are never limited: an orchestrator that is told 429 takes the gateway down.
    *(
        Route(name=name, prefix=prefix, upstream=OWN, exact=True, access=Access.PUBLIC, policies=(), body_bytes_max=0)
        for name, prefix in (
            ("health", "/api/v1/healthz"),
            ("readiness", "/api/v1/readyz"),
            ("root-health", "/healthz"),
            ("root-readiness", "/readyz"),
            ("metrics", "/metrics"),
        )
    ),
)
