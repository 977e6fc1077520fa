"""The load: `python load.py PORTS TOKEN SPREAD CONNECTIONS BULK SECONDS SEED` posts transfers and prints JSON.

One order a request when BULK is 1, else BULK of them to `/transfers/bulk`. A process of its own, as cheap as may be:
requests are written before the clock starts, answers are read and their status checked, nothing more. Every transfer
has an id of its own, is sent once, and must be posted.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson
import uvloop
from work import orders

WARM_UP_S = 1.0


def _request(token: str, path: str, body: Any) -> bytes:
    raw = orjson.dumps(body)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


def _requests(token: str, spread: Any, bulk: int, seed: int) -> Callable[[], bytes]:
    order = orders(spread, seed)
    if bulk == 1:
        return lambda: _request(token, "/transfers", order())
    return lambda: _request(token, "/transfers/bulk", {"transfers": [order() for _ in range(bulk)]})


async def _ask(port: int, make: Callable[[], bytes], bulk: int, clock: list[float], seen: list[float]) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**24)
    counted = 0
    wanted = b'{"posted":%d,"refused":0' % bulk
    while time.perf_counter() < clock[1]:
        request = make()
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 201") if bulk == 1 else not body.startswith(wanted):
            raise SystemExit((head + body[:2_000]).decode("latin-1"))
        ended = time.perf_counter()
        if started >= clock[0] and ended <= clock[1]:
            counted += bulk
            seen.append(ended - started)
    writer.close()
    return counted


async def main() -> None:
    """Load, and report."""
    ports, token, spread, connections, bulk, seconds, seed = sys.argv[1:]
    start = time.perf_counter() + WARM_UP_S
    clock, seen = [start, start + float(seconds)], list[float]()
    make = _requests(token, spread, int(bulk), int(seed))
    wanted = [int(port) for port in ports.split(",")]
    counts = await asyncio.gather(
        *(_ask(wanted[number % len(wanted)], make, int(bulk), clock, seen) for number in range(int(connections)))
    )
    seen.sort()
    report = {
        "rate": sum(counts) / float(seconds),
        "p50_ms": seen[len(seen) // 2] * 1e3,
        "p99_ms": seen[int(len(seen) * 0.99)] * 1e3,
    }
    print(orjson.dumps(report).decode())


if __name__ == "__main__":
    uvloop.run(main())
