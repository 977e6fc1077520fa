"""Proves by schemathesis that the gateway's own routes answer only what the document says, whatever is sent."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from ledgerlink_gateway.app import create_gateway
from ledgerlink_gateway.runtime import Settings
from ledgerlink_gateway.testing import raw_upstream, serving
from ledgerlink_kit.testing.tokens import AUDIENCE, ISSUER, TokenMint


class _Served(threading.Thread):
    """A gateway in front of a service without routes, on a loop of its own."""

    def __init__(self, mint: TokenMint) -> None:
        super().__init__(daemon=True)
        self._mint = mint
        self._is_up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._port = 0

    def run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def url(self) -> str:
        assert self._is_up.wait(30)
        return f"http://127.0.0.1:{self._port}"

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self.join()

    async def _serve(self) -> None:
        async with raw_upstream() as upstream:
            urls = {f"{name}_url": upstream.url for name in ("identity", "wallet", "payments", "risk")}
            chosen: dict[str, Any] = {
                "environment": "test",
                "issuer": ISSUER,
                "audience": AUDIENCE,
                "redis_url": "redis://127.0.0.1:1/0",
                "limit_scale": 1000.0,
                **urls,
            }
            async with serving(create_gateway(Settings(**chosen), jwks=self._mint.jwks)) as self._port:
                self._is_up.set()
                await self._ending.wait()


@pytest.fixture
def own_schema(mint: TokenMint) -> Iterator[Any]:
    served = _Served(mint)
    served.start()
    api: Any = schemathesis.openapi
    yield api.from_url(f"{served.url()}/openapi.json")
    served.stop()


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")  # schemathesis draws by random
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_of_our_own_routes_is_documented(own_schema: Any, mint: TokenMint, mode: GenerationMode) -> None:
    token = mint.token("usr_alice", ["wallet:read"])
    labels: list[str] = []
    for found in own_schema.get_all_operations():
        operation = found.ok()
        labels.append(operation.label)
        _probe(operation, mode, token)
    assert sorted(labels) == ["GET /api/v1/healthz", "GET /api/v1/overview", "GET /api/v1/readyz"]


def _probe(operation: Any, mode: GenerationMode, token: str) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
    def send(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"})

    try:
        send()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE  # an operation without parameters cannot be missed by a little
