"""The merged OpenAPI document, kept as fresh as the services' own: asked for again when it has grown old."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from ledgerlink_gateway.connectors.upstream import Upstream
from ledgerlink_gateway.connectors.upstream_json import Missing, get_json
from ledgerlink_gateway.domain.openapi_merge import merge
from ledgerlink_gateway.domain.route_table import RouteTable
from ledgerlink_kit.clock import Clock

AGE_S: Final = 30.0
"""How old the merged document may be."""
AGE_INCOMPLETE_S: Final = 2.0
"""How old it may be while a part of it is stale or unavailable."""
PART_S: Final = 3.0
"""How long one service may take for its document."""


class Documents:
    """Fetches, merges and keeps. A part that does not answer keeps its last document, marked as stale."""

    def __init__(
        self, upstreams: Mapping[str, Upstream], table: RouteTable, own: Callable[[], dict[str, Any]], clock: Clock
    ) -> None:
        """``own`` gives the gateway's own document."""
        self._upstreams = upstreams
        self._table = table
        self._own = own
        self._clock = clock
        self._parts: dict[str, dict[str, Any]] = {}
        self._merged = b""
        self._fresh_until = float("-inf")
        self._lock = asyncio.Lock()

    async def merged(self) -> bytes:
        """Give the merged document as JSON. Never fails: what is missing is marked in it."""
        if self._clock.monotonic() < self._fresh_until:
            return self._merged
        async with self._lock:
            if self._clock.monotonic() >= self._fresh_until:
                await self._refresh()
        return self._merged

    async def _refresh(self) -> None:
        states = dict(
            zip(
                self._upstreams,
                await asyncio.gather(*(self._state(name, upstream) for name, upstream in self._upstreams.items())),
                strict=True,
            )
        )
        self._merged = orjson.dumps(merge(self._own(), self._parts, self._table, states))
        is_complete = all(state["state"] == "served" for state in states.values())
        self._fresh_until = self._clock.monotonic() + (AGE_S if is_complete else AGE_INCOMPLETE_S)

    async def _state(self, name: str, upstream: Upstream) -> dict[str, str]:
        try:
            self._parts[name] = await get_json(upstream, "/openapi.json", (), PART_S)
        except Missing as missing:
            return {"state": "stale" if name in self._parts else "unavailable", "reason": missing.reason}
        return {"state": "served"}
