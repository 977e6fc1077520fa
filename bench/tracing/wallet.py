"""The wallet's hot route in this process, without sockets: CPU seconds of this process per posted transfer.

`python bench/tracing/wallet.py RESULT_FILE REQUESTS WAITING` with `BENCH_DATABASE_URL`, and `OTEL_…` as it likes. It
names nothing that an older checkout does not have, so that `run.py` can measure one with it.
"""

import asyncio
import os
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import uvloop

from bench.ledger.work import order_texts
from ledgerlink_kit import telemetry
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.http_app import rest_garbage_collection
from ledgerlink_kit.testing.tokens import TokenMint
from ledgerlink_wallet.app import build_app
from ledgerlink_wallet.runtime import WalletSettings

WARM: int = 1_000


async def _post(app: Any, head: list[tuple[bytes, bytes]], body: bytes) -> None:
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/transfers",
        "raw_path": b"/transfers",
        "query_string": b"",
        "root_path": "",
        "headers": [*head, (b"content-length", str(len(body)).encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8082),
        "state": {},
    }
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    await app(scope, receive, send)
    assert status == 201, status


async def _measure(requests: int, waiting: int) -> float:
    mint, make = TokenMint(), order_texts("zipf", time.time_ns() % 2**31)
    settings = WalletSettings.model_validate(
        {"environment": "test", "database_url": os.environ["BENCH_DATABASE_URL"], "checkpoint_key": "A" * 43 + "="}
    )
    app = build_app(settings, SystemClock(), mint.verifier())
    token = mint.token("svc_bench", ["ledger:read", "ledger:write"], kind="service")
    head = [(b"authorization", f"Bearer {token}".encode()), (b"content-type", b"application/json")]
    if os.environ.get("BENCH_TRACEPARENT"):
        head.append((b"traceparent", os.environ["BENCH_TRACEPARENT"].encode()))
    stock = [make().encode() for _ in range(requests + WARM)]

    async def work(until: int) -> None:
        while len(stock) > until:
            await _post(app, head, stock.pop())

    async with app.router.lifespan_context(app):
        await asyncio.gather(*(work(requests) for _ in range(waiting)))
        rest_garbage_collection()
        begun = time.process_time()
        await asyncio.gather(*(work(0) for _ in range(waiting)))
        return time.process_time() - begun


def main() -> None:
    """Measure, and write the CPU seconds per request."""
    file, requests, waiting = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    telemetry.configure_logging("wallet")
    stop: Any = None
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") and find_spec("ledgerlink_kit.tracing"):
        from ledgerlink_kit import tracing  # noqa: PLC0415 - not in an older checkout

        tracing.configure_tracing("wallet", "test", tracing.TracingSettings())
        stop = tracing.stop_tracing
    seconds = uvloop.run(_measure(requests, waiting))
    if stop is not None:
        stop()
    file.write_bytes(orjson.dumps({"cpu_us": seconds * 1e6 / requests}))


if __name__ == "__main__":
    main()
