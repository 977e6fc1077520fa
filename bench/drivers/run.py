"""Which driver for the committer: asyncpg against psycopg 3, by the committer's own batches, in turns.

`python -m bench.drivers.run [--quick] [--tried | --lanes NAME …] [--rounds N] [--seconds S] [--sizes N …]
[--round-trip MS] [--json]`

A batch is recorded from the wallet's own code and played by each driver on one embedded PostgreSQL with the stack's
settings and fsync on: lock and load, the joined statement of CTEs, COPY, commit. Only the driver's part is on the
clock. Each driver has a process; they take turns a second at a time, the order of the turns changing with each round,
so that a machine that drifts does so for both. `load` is the locked load alone, with nothing remembered: accounts come
back, and half of the ids are known. A ratio is psycopg's by asyncpg's in the same round, the median of all rounds.
`--round-trip` puts the database so many milliseconds away, as another machine is, by a relay that delays every byte.
`--tried` adds the ways that were tried besides, `--lanes` chooses among all of them, compared with the first one.
In the end the wallet's audit reads what the drivers wrote, and must find nothing. Ends in a line `RESULT {json}`.
"""

import argparse
import asyncio
import importlib.metadata
import statistics
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import psutil
from rich.console import Console
from rich.table import Table

from bench.drivers.lane import ACCOUNTS
from bench.drivers.playing import LANES, MAIN
from bench.ledger.cluster import Cluster, running
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_wallet.queries.audit import audit

_SEED: Final = 20_260_101
_WORKS: Final = ("batch", "load")


def main() -> None:
    """Measure, and print the tables and the result."""
    arguments = _arguments()
    names = tuple(LANES) if arguments.tried else tuple(arguments.lanes)
    with running() as cluster:
        result = _measure(cluster, names, arguments, Console(stderr=True))
    out = Console(width=max(Console().width, 130))
    if not arguments.json:
        _tables(result, names, out)
    out.print(
        "RESULT " + orjson.dumps(result, option=orjson.OPT_NON_STR_KEYS).decode(), soft_wrap=True, highlight=False
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter turns: two to three minutes")
    parser.add_argument("--tried", action="store_true", help="measure the ways that were tried besides as well")
    parser.add_argument("--lanes", nargs="+", choices=tuple(LANES), default=MAIN, help="measure these alone")
    parser.add_argument("--rounds", type=int, help="rounds of turns (12; quick: 5)")
    parser.add_argument("--seconds", type=float, help="seconds that a turn is on the clock (2; quick: 0.6)")
    parser.add_argument("--sizes", type=int, nargs="*", default=[1, 10, 100, 1_000], help="transfers of a batch")
    parser.add_argument("--round-trip", type=float, default=0.0, help="milliseconds to the database and back (0)")
    parser.add_argument("--json", action="store_true", help="the result alone")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (5 if arguments.quick else 12)
    arguments.seconds = arguments.seconds or (0.6 if arguments.quick else 2.0)
    return arguments


@dataclass(slots=True)
class Turns:
    """What one lane did with one kind and size of work, over all rounds."""

    rates: list[float] = field(default_factory=list[float])
    cpu_us: list[float] = field(default_factory=list[float])
    server_us: list[float] = field(default_factory=list[float])
    walls_ms: list[float] = field(default_factory=list[float])

    def add(self, size: int, answer: dict[str, Any]) -> None:
        """Add a turn. A transfer is the unit, of the load as well."""
        walls: list[float] = answer["walls_ms"]
        done = size * len(walls)
        self.rates.append(done / sum(walls) * 1e3)
        self.cpu_us.append(answer["cpu_s"] / done * 1e6)
        self.server_us.append(answer["server_s"] / done * 1e6)
        self.walls_ms += walls

    def told(self) -> dict[str, float]:
        """Give the medians of the turns, and the percentiles of all batches."""
        walls = sorted(self.walls_ms)
        return {
            "transfers_per_s": round(statistics.median(self.rates), 1),
            "cpu_us": round(statistics.median(self.cpu_us), 2),
            "server_us": round(statistics.median(self.server_us), 2),
            "p50_ms": round(walls[len(walls) // 2], 3),
            "p99_ms": round(walls[int(len(walls) * 0.99)], 3),
            "batches": len(walls),
        }


Measured = dict[tuple[str, int, str], Turns]


def _measure(cluster: Cluster, names: Sequence[str], arguments: argparse.Namespace, say: Console) -> dict[str, Any]:
    url = cluster.make_ledger()
    weights = {driver: _weight(driver, url) for driver in MAIN}
    measured: Measured = {(work, size, name): Turns() for work in _WORKS for size in arguments.sizes for name in names}
    with ExitStack() as undo:
        way = url
        if arguments.round_trip:
            way = url.replace(f":{cluster.port}/", f":{undo.enter_context(_relay(cluster, arguments.round_trip))}/")
        lanes = {
            name: undo.enter_context(_lane(name, way, number * ACCOUNTS, cluster)) for number, name in enumerate(names)
        }
        for number in range(arguments.rounds):
            order = list(names) if number % 2 == 0 else list(reversed(names))
            cluster.settle()
            for work in _WORKS:
                # A load is short and writes nothing; half the time tells as much.
                seconds: float = arguments.seconds if work == "batch" else arguments.seconds / 2
                for size in arguments.sizes:
                    for name in order:
                        answer = lanes[name].ask(f"{work} {size} {seconds}")
                        measured[work, size, name].add(size, answer)
            say.print(f"  round {number + 1} of {arguments.rounds}")
        rss = {name: lane.rss_mib() for name, lane in lanes.items()}
    asyncio.run(_audited(url))
    return {work: {size: _compared(measured, work, size, names) for size in arguments.sizes} for work in _WORKS} | {
        "weight_mib": weights,
        "rss_mib": rss,
        "round_trip_ms": arguments.round_trip,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "versions": {name: importlib.metadata.version(name) for name in (*MAIN, "psycopg-binary", "uvloop")},
    }


def _compared(measured: Measured, work: str, size: int, names: Sequence[str]) -> dict[str, Any]:
    """Give each lane's figures, and against the first one's in the same round: the median, the least and the most."""
    base = measured[work, size, names[0]]
    found: dict[str, Any] = {name: measured[work, size, name].told() for name in names}
    for name in names[1:]:
        turns = measured[work, size, name]
        for what, ours, theirs in (("rate", turns.rates, base.rates), ("cpu", turns.cpu_us, base.cpu_us)):
            ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
            shown = (statistics.median(ratios), min(ratios), max(ratios))
            found[name][f"{what}_ratio"] = [round(ratio, 2) for ratio in shown]
    return found


class _Lane:
    """A lane's process and its backend in PostgreSQL."""

    def __init__(self, name: str, process: subprocess.Popen[str], server: Cluster) -> None:
        """Wait until ``process`` is ready."""
        self._name = name
        self._process = process
        pid: int = self._answer()["backend"]
        self._backend = next(child for child in server.process.children() if child.pid == pid)

    def ask(self, order: str) -> dict[str, Any]:
        """Let it measure; adds the CPU seconds of its backend."""
        before = self._backend_s()
        assert self._process.stdin is not None
        self._process.stdin.write(order + "\n")
        self._process.stdin.flush()
        return self._answer() | {"server_s": self._backend_s() - before}

    def rss_mib(self) -> int:
        """Give the memory of its process."""
        return round(psutil.Process(self._process.pid).memory_info().rss / 2**20)

    def _backend_s(self) -> float:
        times = self._backend.cpu_times()
        return times.user + times.system

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"The lane {self._name} ended; see above why.")
        return orjson.loads(line)


@contextmanager
def _lane(name: str, url: str, first: int, server: Cluster) -> Generator[_Lane]:
    command = [sys.executable, "-m", "bench.drivers.lane", name, url, str(first), str(_SEED + first)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _Lane(name, process, server)
        finally:
            assert process.stdin is not None
            process.stdin.close()  # it ends when nothing more is asked


@contextmanager
def _relay(server: Cluster, round_trip_ms: float) -> Generator[int]:
    """Give the port of a relay to the server."""
    command = [sys.executable, "-m", "bench.drivers.distance", str(server.port), str(round_trip_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


async def _audited(url: str) -> None:
    """Stop unless the books that the lanes wrote are whole."""
    db = Database(url, application_name="bench-drivers", pool_size=1)
    view = await audit(db, SystemClock())
    await db.engine.dispose()
    if not view.clean:
        raise SystemExit(f"The audit found differences: {[one for one in view.checks if one.differences]}")


def _weight(driver: str, url: str) -> float:
    """Give the median of three processes."""
    command = [sys.executable, "-m", "bench.drivers.weight", driver, url]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True).stdout for _ in range(3)]
    return statistics.median(float(run) for run in runs)


def _tables(result: dict[str, Any], names: Sequence[str], out: Console) -> None:
    titles = {
        "batch": "one batch: lock, look, write, commit",
        "load": "the locked load alone, nothing remembered",
    }
    for work, title in titles.items():
        table = Table(
            "transfers",
            "",
            "a second",
            f"by {names[0]}",
            "client µs",
            f"by {names[0]}",
            "server µs",
            "p50 ms",
            "p99 ms",
        )
        table.title = title
        for size, found in result[work].items():
            for name in names:
                row = found[name]
                rate, cpu = (_ratio(row.get(f"{what}_ratio")) for what in ("rate", "cpu"))
                table.add_row(
                    f"{size:,}" if name == names[0] else "",
                    name,
                    f"{row['transfers_per_s']:,.0f}",
                    rate,
                    f"{row['cpu_us']:.1f}",
                    cpu,
                    f"{row['server_us']:.1f}",
                    f"{row['p50_ms']:.2f}",
                    f"{row['p99_ms']:.2f}",
                    end_section=name == names[-1],
                )
        out.print(table)
    weights = ", ".join(f"{driver} adds {mib} MiB" for driver, mib in result["weight_mib"].items())
    out.print(f"memory: {weights} to an empty process; whole lanes: {result['rss_mib']} MiB")
    for name in names:
        out.print(f"  {name}: {LANES[name].says}", highlight=False)


def _ratio(shown: list[float] | None) -> str:
    return "" if shown is None else f"{shown[0]:.2f} ({shown[1]:.2f}-{shown[2]:.2f})"


if __name__ == "__main__":
    main()
