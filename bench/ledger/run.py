"""The ledger's speed, as ratios against PostgreSQL's own benchmark in the same run on the same machine.

`python bench/ledger/run.py [--quick] [--seconds S] [--entries N …] [--json]`

Five ways to move money on one embedded PostgreSQL with the stack's settings and fsync on: pgbench's TPC-B-like script
and a stored double-entry function (64 clients, one commit each), our committer in process, one order a request over
HTTP (64 connections) and bulk over HTTP (two processes), with tokens verified. Each over 10,000 accounts chosen
uniformly, by Zipf's law, and with one account in every transfer. Then the same with a past of millions of entries.
Ends in a line `RESULT {json}`.
"""

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import orjson
import psutil
import psycopg
import uvloop
from cluster import LEDGER, Cluster, running
from history import open_accounts, write_history
from peers import CLIENTS, Peers
from rich.console import Console
from rich.table import Table
from work import ACCOUNTS, SPREADS, Spread, code, order_texts

from ledgerlink_contracts.ids import AccountId, TransferId
from ledgerlink_contracts.wallet.models import TransferOrder
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.http_app import rest_garbage_collection
from ledgerlink_kit.testing.tokens import TokenMint
from ledgerlink_stack.ports import free_port
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.commands.ledger import transfer_from
from ledgerlink_wallet.domain.parties import account_key
from ledgerlink_wallet.runtime import Owners
from ledgerlink_wallet.store import open_pool

HERE: Final = Path(__file__).parent
WAITING: Final = 2_000
"""Commands that wait for the committer at once, as so many requests would."""
BULK: Final = 500
BULK_CONNECTIONS: Final = 8
PROCESSES: Final = 2
"""Wallet processes that share the HTTP load, as cores share the machine."""
READS: Final = 300
_SEED: Final = 20_260_101


def main() -> None:
    """Measure, and print the table and the result."""
    arguments = _arguments()
    say = Console(stderr=True)
    with running() as cluster:
        result = _measure(cluster, arguments, say)
    _report(result, Console(), as_json=arguments.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="short measurements and a past of one million entries only"
    )
    parser.add_argument("--seconds", type=float, help="seconds a measurement takes (10; quick: 4)")
    parser.add_argument("--entries", type=int, nargs="*", help="entries already there (1, 5 and 10 million; quick: 1)")
    parser.add_argument("--json", action="store_true", help="the result alone")
    arguments = parser.parse_args()
    arguments.seconds = arguments.seconds or (4.0 if arguments.quick else 10.0)
    if arguments.entries is None:
        arguments.entries = [1_000_000] if arguments.quick else [1_000_000, 5_000_000, 10_000_000]
    return arguments


def _measure(cluster: Cluster, arguments: argparse.Namespace, say: Console) -> dict[str, Any]:
    seconds: float = arguments.seconds
    rates: dict[str, dict[str, Any]] = {}
    peers = Peers(cluster)
    peers.make()
    url = _empty_ledger(cluster)
    mint = TokenMint()
    rss: dict[str, int] = {}

    def note(name: str, spread: str, value: Any) -> None:
        rates.setdefault(name, {})[spread] = value
        say.print(f"  {name:10} {spread:8} {value if isinstance(value, dict) else round(value)}")

    def measure(name: str, spread: str, work: Callable[[], Any]) -> None:
        cluster.settle()
        note(name, spread, work())

    # The peer is measured before, between and after, so that a machine that drifts does so for both.
    tpcb = [peers.tpcb(seconds)]
    for spread in SPREADS:
        measure("function", spread, partial(peers.function, spread, seconds))
        measure("committer", spread, lambda spread=spread: _committer(url, spread, seconds))
    tpcb.append(peers.tpcb(seconds))
    for name, bulk, connections in (
        ("single", 1, CLIENTS),
        ("bulk", BULK, BULK_CONNECTIONS),
    ):
        with _serving(url, mint, PROCESSES) as servers:
            for spread in SPREADS:
                measure(
                    name, spread, lambda s=spread, b=bulk, c=connections, v=servers: _load(v, mint, s, c, b, seconds)
                )
            rss |= {f"{name} {number}": _mib(one) for number, one in enumerate(servers.values())}
    tpcb.append(peers.tpcb(seconds))
    note("tpcb", "", statistics.median(tpcb))
    size = _bytes_per_transfer(cluster)
    past = [_with_past(cluster, mint, entries, seconds, say) for entries in [0, *arguments.entries]]
    rss["postgres"] = round(
        sum(one.memory_info().rss for one in [cluster.process, *cluster.process.children()]) / 2**20
    )
    rss["benchmark"] = _mib(psutil.Process())
    return {"rates": rates, "tpcb": tpcb, "past": past, "bytes_per_transfer": size, "rss_mib": rss, "seconds": seconds}


def _empty_ledger(cluster: Cluster) -> str:
    url = cluster.make_ledger()
    open_accounts(cluster, LEDGER)
    return url


def _committer(url: str, spread: Spread, seconds: float) -> float:
    return uvloop.run(_commit(url, spread, seconds))


async def _commit(url: str, spread: Spread, seconds: float) -> float:
    """Give the transfers a second of one committer that is never left waiting; commands are made beforehand."""
    make = order_texts(spread, _SEED + time.time_ns() % 2**31)
    opened = partial(open_pool, url, application_name="bench", size=2)
    committer = Committer(opened, SystemClock(), Owners(), queue_max=WAITING * 2)
    await committer.start()
    rest_garbage_collection()
    done = 0
    clock = [0.0, 0.0]
    stock = [_command(make()) for _ in range(round(30_000 * (seconds + 1)))]

    async def order() -> None:
        nonlocal done
        while stock and time.perf_counter() < clock[1]:
            answer = await committer.submit(stock.pop())
            assert answer.status == 201, answer.body
            done += clock[0] <= time.perf_counter() <= clock[1]

    clock[:] = [time.perf_counter() + 1.0, time.perf_counter() + 1.0 + seconds]
    await asyncio.gather(*(order() for _ in range(WAITING)))
    took = min(seconds, time.perf_counter() - clock[0])
    await committer.stop()
    return done / took


def _command(order: str) -> Any:
    read = TransferOrder.model_validate_json(order)
    return transfer_from(read, read.id or TransferId.derive("never"), None)


@contextmanager
def _serving(url: str, mint: TokenMint, processes: int) -> Generator[dict[int, psutil.Process]]:
    """Run the wallet's API in so many processes; gives them by port."""
    keys = orjson.dumps(asyncio.run(mint.jwks.keys(fresh=False)).as_dict(private=False)).decode()
    with ExitStack() as undo:
        servers: dict[int, psutil.Process] = {}
        for _ in range(processes):
            port = free_port()
            settings = {
                "WALLET_ENVIRONMENT": "test",
                "WALLET_PORT": str(port),
                "WALLET_DATABASE_URL": url,
                "WALLET_CHECKPOINT_KEY": "A" * 43 + "=",
                "WALLET_LOG_LEVEL": "WARNING",
                "BENCH_JWKS": keys,
            }
            child = subprocess.Popen([sys.executable, str(HERE / "serve.py")], env={**os.environ, **settings})
            undo.callback(child.wait)
            undo.callback(child.terminate)
            servers[port] = psutil.Process(child.pid)
        for port in servers:
            _wait(port)
        yield servers


def _wait(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"The wallet did not answer on port {port} within a minute.")


def _token(mint: TokenMint) -> str:
    return mint.token("svc_bench", ("ledger:read", "ledger:write"), kind="service", life_s=3600)


def _load(
    servers: dict[int, psutil.Process], mint: TokenMint, spread: Spread, connections: int, bulk: int, seconds: float
) -> dict[str, float]:
    """Give the rate (transfers a second) and the latencies that the load's process saw."""
    ports, seed = ",".join(map(str, servers)), str(time.time_ns() % 2**31)
    command = [sys.executable, str(HERE / "load.py"), ports, _token(mint), spread, str(connections), str(bulk)]
    done = subprocess.run([*command, str(seconds), seed], check=True, stdout=subprocess.PIPE, text=True)
    return {name: round(value, 2) for name, value in orjson.loads(done.stdout).items()}


def _mib(process: psutil.Process) -> int:
    return round(process.memory_info().rss / 2**20)


def _bytes_per_transfer(cluster: Cluster) -> dict[str, float]:
    """Give the bytes that a transfer with two entries keeps for good, and those of its event, which stays a week."""
    with psycopg.connect(cluster.dsn(LEDGER), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        count = connection.execute("SELECT count(*) FROM transfers").fetchone()
        sizes = connection.execute(
            "SELECT sum(pg_total_relation_size(oid)) FILTER (WHERE relname IN ('transfers', 'entries', 'outcomes')), "
            "sum(pg_total_relation_size(oid)) FILTER (WHERE relname = 'outbox') FROM pg_class WHERE relkind = 'r' "
            "AND relnamespace = 'public'::regnamespace"
        ).fetchone()
    assert count is not None
    assert sizes is not None
    return {"kept": round(float(sizes[0]) / count[0], 1), "event": round(float(sizes[1]) / count[0], 1)}


def _with_past(cluster: Cluster, mint: TokenMint, entries: int, seconds: float, say: Console) -> dict[str, Any]:
    """Measure writes and reads on a ledger that holds ``entries`` entries already."""
    url = _empty_ledger(cluster)
    started = time.monotonic()
    if entries:
        write_history(cluster, LEDGER, entries)
    say.print(f"  {entries:,} entries there after {time.monotonic() - started:.0f} s")
    cluster.settle()
    rates = sorted(_committer(url, "uniform", seconds) for _ in range(3))
    row: dict[str, Any] = {"entries": entries, "committer": round(rates[1])}
    if entries:
        with _serving(url, mint, 1) as servers:
            row |= _reads(next(iter(servers)), mint, entries)
    say.print(f"  {row}")
    return row


def _reads(port: int, mint: TokenMint, entries: int) -> dict[str, float]:
    """Give the median milliseconds of a past balance and of a statement's page, at places all over the past."""
    rounds = entries // (2 * ACCOUNTS)
    found: dict[str, float] = {}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {_token(mint)}"}) as http:
        paths = {
            "past_balance_ms": "/accounts/{account}/balance?recorded_at={moment}",
            "statement_ms": "/accounts/{account}/statement?from={moment}&limit=100",
        }
        for name, path in paths.items():
            times: list[float] = []
            for number in range(READS):
                account = AccountId(account_key(code(number * 31 % ACCOUNTS), "GBP"))
                at = time.gmtime(1_577_836_800 + number * rounds // READS)
                moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", at)
                started = time.perf_counter()
                answer = http.get(path.format(account=account, moment=moment))
                times.append((time.perf_counter() - started) * 1e3)
                if not answer.is_success:
                    raise SystemExit(answer.text)
            found[name] = round(statistics.median(times), 2)
    return found


def _report(measured: dict[str, Any], out: Console, *, as_json: bool) -> None:
    rates, past = measured["rates"], measured["past"]
    tpcb = rates["tpcb"][""]
    bulk, single = ({spread: rates[name][spread]["rate"] for spread in SPREADS} for name in ("bulk", "single"))
    result = {
        "bulk_vs_tpcb": round(bulk["uniform"] / tpcb, 2),
        "committer_vs_tpcb": round(rates["committer"]["uniform"] / tpcb, 2),
        "single_vs_tpcb": round(single["uniform"] / tpcb, 2),
        "single_p99_ms": rates["single"]["uniform"]["p99_ms"],
        "hot_vs_uniform_committer": round(rates["committer"]["hot"] / rates["committer"]["uniform"], 2),
        "hot_vs_uniform_http": round(single["hot"] / single["uniform"], 2),
        "hot_vs_uniform_bulk": round(bulk["hot"] / bulk["uniform"], 2),
        "hot_vs_uniform_function": round(rates["function"]["hot"] / rates["function"]["uniform"], 2),
        f"rate_{past[-1]['entries'] // 1_000_000}m_vs_empty": round(past[-1]["committer"] / past[0]["committer"], 2),
        "bytes_per_transfer": measured["bytes_per_transfer"],
        "rss_mib": measured["rss_mib"],
        "tpcb_runs": [round(one) for one in measured["tpcb"]],
        "rates": rates,
        "past": past,
        "seconds": measured["seconds"],
    }
    if not as_json:
        table = Table("", *SPREADS, title="transfers (tpcb: transactions) a second")
        table.add_row("tpcb", f"{tpcb:,.0f}", "", "")
        for name in ("function", "committer"):
            table.add_row(name, *(f"{rates[name][spread]:,.0f}" for spread in SPREADS))
        for name in ("single", "bulk"):
            cells = (rates[name][spread] for spread in SPREADS)
            table.add_row(name, *(f"{cell['rate']:,.0f} (p99 {cell['p99_ms']:.0f} ms)" for cell in cells))
        out.print(table)
    out.print("RESULT " + orjson.dumps(result).decode(), soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
