"""Fixtures of the gateway's tests: a whole gateway on a free port, in front of a raw upstream."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import pytest_asyncio

from ledgerlink_gateway.app import create_gateway
from ledgerlink_gateway.runtime import Settings
from ledgerlink_gateway.testing import MakeStand, Stand, raw_upstream, serving
from ledgerlink_kit.auth import JwksSource
from ledgerlink_kit.testing.tokens import AUDIENCE, ISSUER, TokenMint

NO_REDIS = "redis://127.0.0.1:1/0"


@pytest_asyncio.fixture
async def make_stand(mint: TokenMint) -> AsyncGenerator[MakeStand]:
    """A factory of stands; settings, a table, keys or a clock can be given. Without Redis unless its URL is given."""
    async with AsyncExitStack() as stack:

        async def make(*, jwks: JwksSource | None = None, table: Any = None, clock: Any = None, **chosen: Any) -> Stand:
            upstream = await stack.enter_async_context(raw_upstream())
            given: dict[str, Any] = {
                "environment": "test",
                "issuer": ISSUER,
                "audience": AUDIENCE,
                "redis_url": NO_REDIS,
                "limit_scale": 100.0,
                **{f"{name}_url": upstream.url for name in ("identity", "wallet", "payments", "risk")},
                **chosen,
            }
            edge = create_gateway(Settings(**given), table=table, jwks=jwks or mint.jwks, clock=clock)
            port = await stack.enter_async_context(serving(edge))
            return Stand(port, upstream, mint, mint.token("usr_alice", ["wallet:read"]))

        yield make


@pytest_asyncio.fixture
async def stand(make_stand: MakeStand) -> Stand:
    """A stand with its usual settings."""
    return await make_stand()
