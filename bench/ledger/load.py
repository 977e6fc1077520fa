"""The load: `python load.py PORTS TOKEN SPREAD CONNECTIONS BULK SECONDS SEED` posts transfers and prints JSON.

One order a request when BULK is 1, else BULK of them to `/transfers/bulk`. A process of its own, as cheap as may be,
because it shares the machine with what it measures: requests are pieced together from text, answers are read as they
come and their status is checked, nothing more. Every transfer has an id of its own, is sent once, and must be posted.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson
import uvloop
from work import order_texts

WARM_UP_S = 1.0


def _requests(token: str, spread: Any, bulk: int, seed: int) -> Callable[[], bytes]:
    order = order_texts(spread, seed)
    path = "/transfers" if bulk == 1 else "/transfers/bulk"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        "Content-Length: "
    )

    def request() -> bytes:
        body = order() if bulk == 1 else '{"transfers":[' + ",".join([order() for _ in range(bulk)]) + "]}"
        return f"{head}{len(body)}\r\n\r\n{body}".encode()

    return request


class _Client(asyncio.Protocol):
    """One connection that always has one request under way, until the clock ends."""

    def __init__(self, make: Callable[[], bytes], bulk: int, clock: list[float], seen: list[float]) -> None:
        self._make = make
        self._wanted = b"HTTP/1.1 201" if bulk == 1 else b'{"posted":%d,"refused":0' % bulk
        self._is_bulk = bulk > 1
        self._clock = clock
        self._seen = seen
        self._got = bytearray()
        self._body = self._end = 0
        self._started = 0.0
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        request = self._make()
        self._started = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._end:
            body = self._got.find(b"\r\n\r\n") + 4
            if body < 4:
                return
            head = self._got[:body].lower()
            length = head.index(b"content-length:") + 15
            self._body, self._end = body, body + int(head[length : head.index(b"\r", length)])
        if len(self._got) < self._end:
            return
        if not self._got.startswith(self._wanted, self._body if self._is_bulk else 0):
            self._fail(f"{bytes(self._got[:2_000])!r}")
            return
        now = time.perf_counter()
        if self._started >= self._clock[0] and now <= self._clock[1]:
            self._seen.append(now - self._started)
        self._got.clear()
        self._end = 0
        if now < self._clock[1]:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _fail(self, why: str) -> None:
        self.ended.set_exception(SystemExit(why))
        self._transport.close()


async def main() -> None:
    """Load, and report."""
    ports, token, spread, connections, bulk, seconds, seed = sys.argv[1:]
    start = time.perf_counter() + WARM_UP_S
    clock, seen = [start, start + float(seconds)], list[float]()
    make = _requests(token, spread, int(bulk), int(seed))
    wanted = [int(port) for port in ports.split(",")]
    loop = asyncio.get_running_loop()
    clients = [
        await loop.create_connection(
            lambda: _Client(make, int(bulk), clock, seen), "127.0.0.1", wanted[number % len(wanted)]
        )
        for number in range(int(connections))
    ]
    await asyncio.gather(*(client.ended for _, client in clients))
    seen.sort()
    report = {
        "rate": len(seen) * int(bulk) / float(seconds),
        "p50_ms": seen[len(seen) // 2] * 1e3,
        "p99_ms": seen[int(len(seen) * 0.99)] * 1e3,
    }
    print(orjson.dumps(report).decode())


if __name__ == "__main__":
    uvloop.run(main())
