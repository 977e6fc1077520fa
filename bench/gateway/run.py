"""CPU per proxied request: the gateway with all that it checks, against a plain FastAPI route with httpx, in one run.

`python bench/gateway/run.py [--requests N] [--connections N] [--rounds N]`

Both stand in front of the same least upstream and are asked by the same client over kept connections, in turns, so
that whatever else the machine does falls on both. What counts is the CPU time of the gateway's own process (user and
system, from the kernel) divided by the requests it answered. Ours verifies the caller's token, checks two limits on
Redis, rewrites the path, sorts headers, and writes an access log line; the plain one does none of this.
Ends in a line `RESULT {json}`.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import orjson
import psutil
import uvloop

from ledgerlink_kit.testing.tokens import AUDIENCE, ISSUER, TokenMint
from ledgerlink_stack import redis
from ledgerlink_stack.ports import free_port
from ledgerlink_stack.throwaway import start_redis

HERE = Path(__file__).parent
START_S = 60.0


def main() -> None:
    """Run the rounds and print the result."""
    arguments = _arguments()
    mint = TokenMint()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        valkey, redis_port, password = start_redis(folder)
        stack.callback(valkey.wait)
        stack.callback(valkey.kill)
        redis.wait_until_ready(redis_port, password, lambda: valkey.poll() is None)
        upstream, ours, plain = free_port(), free_port(), free_port()
        keys = asyncio.run(mint.jwks.keys(fresh=False)).as_dict(private=False)
        plain_settings = {"BENCH_PORT": str(plain), "BENCH_UPSTREAM": f"http://127.0.0.1:{upstream}"}
        own_settings = _gateway(ours, upstream, redis.url(redis_port, password))
        servers: dict[str, tuple[list[str], dict[str, str]]] = {
            "upstream": ([str(HERE / "upstream.py"), str(upstream)], {"BENCH_JWKS": orjson.dumps(keys).decode()}),
            "gateway": (["-m", "ledgerlink_gateway.app"], own_settings),
            "plain": ([str(HERE / "plain.py")], plain_settings),
        }
        running = {
            name: stack.enter_context(_running(command, environment, folder / name))
            for name, (command, environment) in servers.items()
        }
        for port in (upstream, ours, plain):
            _wait(port)
        request = _request(mint.token("usr_bench", ["wallet:read"], life_s=3600))
        ports = {"gateway": ours, "plain": plain}
        samples: dict[str, list[dict[str, float]]] = {name: [] for name in ports}
        for port in ports.values():
            uvloop.run(_load(port, request, 500, arguments.connections))
        for _ in range(arguments.rounds):
            for name, port in ports.items():
                samples[name].append(_measure(running[name], port, request, arguments))
    _report(samples, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=4000, help="requests a round")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def _gateway(port: int, upstream: int, redis_url: str) -> dict[str, str]:
    services = ("IDENTITY", "WALLET", "PAYMENTS", "RISK")
    return {
        "GATEWAY_ENVIRONMENT": "test",
        "GATEWAY_PORT": str(port),
        "GATEWAY_ISSUER": ISSUER,
        "GATEWAY_AUDIENCE": AUDIENCE,
        "GATEWAY_REDIS_URL": redis_url,
        "GATEWAY_LIMIT_SCALE": "10000",
        **{f"GATEWAY_{name}_URL": f"http://127.0.0.1:{upstream}" for name in services},
    }


@contextmanager
def _running(command: list[str], environment: dict[str, str], log: Path) -> Generator[psutil.Process]:
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield psutil.Process(child.pid)
    finally:
        child.terminate()
        child.wait()


def _wait(port: int) -> None:
    async def knock() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    until = time.monotonic() + START_S
    while True:
        try:
            asyncio.run(knock())
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return


def _request(token: str) -> bytes:
    lines = [
        "GET /api/v1/wallets/wal_01h455vb4pex5vsknk084sn02q/balance?currency=GBP HTTP/1.1",
        "host: localhost:8080",
        "user-agent: bench/1",
        "accept: application/json",
        "accept-encoding: gzip, deflate",
        f"authorization: Bearer {token}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _measure(server: psutil.Process, port: int, request: bytes, arguments: argparse.Namespace) -> dict[str, float]:
    before, started = server.cpu_times(), time.perf_counter()
    latencies = uvloop.run(_load(port, request, arguments.requests, arguments.connections))
    seconds = time.perf_counter() - started
    after = server.cpu_times()
    cpu_s = (after.user - before.user) + (after.system - before.system)
    return {
        "cpu_us": cpu_s * 1e6 / arguments.requests,
        "rate_per_s": arguments.requests / seconds,
        "p50_ms": statistics.median(latencies) * 1000,
        "p99_ms": statistics.quantiles(latencies, n=100)[98] * 1000,
        "rss_mib": server.memory_info().rss / 1024 / 1024,
    }


async def _load(port: int, request: bytes, requests: int, connections: int) -> list[float]:
    """Ask over kept connections, each waiting for its answer; gives every latency in seconds."""
    latencies: list[float] = []

    async def ask(count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit((head + body).decode("latin-1"))
            latencies.append(time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(ask(requests // connections) for _ in range(connections)))
    return latencies


def _report(samples: dict[str, list[dict[str, float]]], arguments: argparse.Namespace) -> None:
    result: dict[str, Any] = {
        name: {key: round(statistics.median(sample[key] for sample in rounds), 1) for key in rounds[0]}
        for name, rounds in samples.items()
    }
    result["ratio"] = round(result["plain"]["cpu_us"] / result["gateway"]["cpu_us"], 1)
    result["requests"] = arguments.requests * arguments.rounds
    print(f"{'':10}{'CPU µs':>10}{'req/s':>10}{'p50 ms':>10}{'p99 ms':>10}{'RSS MiB':>10}")
    for name in ("gateway", "plain"):
        row = result[name]
        cells = (row["cpu_us"], row["rate_per_s"], row["p50_ms"], row["p99_ms"], row["rss_mib"])
        print(f"{name:10}" + "".join(f"{cell:>10}" for cell in cells))
    print(f"The gateway, with all its checks, costs 1/{result['ratio']} of the plain route.")
    print("RESULT " + orjson.dumps(result).decode())


if __name__ == "__main__":
    main()
