"""The gateway's composition root: settings become an edge in front of a FastAPI app. Nobody imports it.

``python -m ledgerlink_gateway.app`` serves until SIGTERM and lets requests in flight finish.
"""

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route as FrameworkRoute

from ledgerlink_gateway import metrics
from ledgerlink_gateway.api import docs, health, overview
from ledgerlink_gateway.connectors.limiter import GCRA_SCRIPT, Limiter
from ledgerlink_gateway.connectors.redis_pipe import RedisLost, RedisPipe, RedisReplyError
from ledgerlink_gateway.connectors.upstream import Upstream, UpstreamRule
from ledgerlink_gateway.connectors.upstream_json import Missing, get_json
from ledgerlink_gateway.domain.breaker import Circuit
from ledgerlink_gateway.domain.headers import parse_networks
from ledgerlink_gateway.domain.route_table import RouteTable, compile_table
from ledgerlink_gateway.edge.access_log import AccessLog
from ledgerlink_gateway.edge.proxy import Edge, EdgeRule
from ledgerlink_gateway.edge.strict import StrictProtocol
from ledgerlink_gateway.queries.documents import Documents
from ledgerlink_gateway.routes import POLICIES, ROUTES
from ledgerlink_gateway.runtime import Check, Runtime, Settings, split
from ledgerlink_kit.auth import HttpJwks, JwksSource, TokenVerifier
from ledgerlink_kit.clock import Clock, SystemClock
from ledgerlink_kit.errors import Unavailable
from ledgerlink_kit.http_app import create_app, serve

_READY_S = 2.0


def default_table(settings: Settings) -> RouteTable:
    """Compile the route table with the operator's scale on its limits. Raises `RouteTableInvalid`."""
    policies = [policy.scaled(settings.limit_scale) for policy in POLICIES]
    return compile_table(ROUTES, policies, settings.upstream_urls)


def create_gateway(
    settings: Settings,
    *,
    table: RouteTable | None = None,
    jwks: JwksSource | None = None,
    clock: Clock | None = None,
) -> Edge:
    """Build the whole gateway. Tests give their own table, keys or clock."""
    clock = clock or SystemClock()
    table = table or default_table(settings)
    rule = UpstreamRule(connect_timeout_s=settings.connect_timeout_s, in_flight_max=settings.in_flight_max)
    upstreams = {name: Upstream(name, url, rule, clock) for name, url in settings.upstream_urls.items()}
    pipe = RedisPipe(settings.redis_url, GCRA_SCRIPT, timeout_s=settings.redis_timeout_s, clock=clock)
    limiter = Limiter(pipe, clock)
    verifier = TokenVerifier(
        issuer=settings.issuer,
        audience=settings.audience,
        jwks=jwks or HttpJwks(settings.identity_url, clock),
        clock=clock,
    )
    log = AccessLog(_write, settings.log_format)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        yield
        for upstream in upstreams.values():
            await upstream.close()
        await pipe.close()
        log.flush()

    def own_document() -> dict[str, Any]:
        return own.openapi()

    documents = Documents(upstreams, table, own_document, clock)
    runtime = Runtime(
        upstreams=upstreams,
        documents=documents,
        readiness={**{name: _readiness(each) for name, each in upstreams.items()}, "redis": _redis_readiness(pipe)},
        optional_parts=frozenset({"redis"}),
    )
    own = _own_app(settings, verifier, runtime, lifespan)
    _observe(upstreams)
    return Edge(
        table=table,
        upstreams=upstreams,
        verifier=verifier,
        limiter=limiter,
        own=own,
        log=log,
        rule=EdgeRule(
            trusted_proxies=parse_networks(split(settings.trusted_proxies)),
            cors_origins=frozenset(origin.encode("ascii") for origin in split(settings.cors_origins)),
        ),
    )


def _own_app(
    settings: Settings,
    verifier: TokenVerifier,
    runtime: Runtime,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
) -> FastAPI:
    needed = {name: _raising(check) for name, check in runtime.readiness.items() if name not in runtime.optional_parts}
    app = create_app(
        title="LedgerLink",
        version=version("ledgerlink-gateway"),
        summary="Payments, wallets on a double-entry ledger, and risk, through one door.",
        settings=settings,
        routers=[overview.router, health.router, docs.router],
        verifier=verifier,
        readiness=needed,
        runtime=runtime,
        lifespan=lifespan,
    )
    # The framework's own pages describe the gateway alone and load scripts from elsewhere; ours stand in their place.
    app.router.routes[:] = [route for route in app.router.routes if not _is_framework_page(route)]
    return app


def _is_framework_page(route: object) -> bool:
    return type(route) is FrameworkRoute and route.path in {"/docs", "/docs/oauth2-redirect", "/openapi.json"}


def _readiness(upstream: Upstream) -> Check:
    async def check() -> str | None:
        try:
            await get_json(upstream, "/readyz", (), _READY_S)
        except Missing as missing:
            return missing.reason
        return None

    return check


def _redis_readiness(pipe: RedisPipe) -> Check:
    async def check() -> str | None:
        try:
            await pipe.ping()
        except (RedisLost, RedisReplyError):
            return "lost: limits are counted by each gateway alone"
        return None

    return check


def _raising(check: Check) -> Callable[[], Awaitable[None]]:
    async def raising() -> None:
        reason = await check()
        if reason is not None:
            raise Unavailable("not-ready", reason)

    return raising


def _observe(upstreams: Mapping[str, Upstream]) -> None:
    order = (Circuit.CLOSED, Circuit.HALF_OPEN, Circuit.OPEN)
    for name, upstream in upstreams.items():
        metrics.IN_FLIGHT.labels(name).set_function(lambda each=upstream: each.in_flight)
        metrics.CIRCUIT.labels(name).set_function(lambda each=upstream: order.index(each.breaker.state))


def _write(lines: bytes) -> None:
    sys.stdout.buffer.write(lines)
    sys.stdout.buffer.flush()


def main() -> None:
    """Serve until SIGTERM."""
    settings = Settings()
    serve(lambda: create_gateway(settings), settings, "gateway", http=StrictProtocol, believes_local_proxies=False)


if __name__ == "__main__":
    main()
