"""What tracing costs the wallet: CPU per transfer with tracing off, on for nobody, and on for all, in one run.

`python -m bench.tracing.run [--requests N] [--rounds N] [--waiting N] [--against CHECKOUT]`

Each measurement is a process of its own that answers the hot route `POST /transfers` in memory, on a PostgreSQL of the
benchmark's own; they run in turns, so that whatever else the machine does falls on all. What counts is the CPU time of
that process (the thread that exports included) per request, the least of all rounds, since what else runs only adds to
it. `--against` measures another checkout with tracing off as well: what the code for tracing costs who does not trace.
Ends in a line `RESULT {json}`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import orjson

from bench.ledger.cluster import Cluster, running
from ledgerlink_stack.traces.receiver import receiving

HERE: Final = Path(__file__).resolve().parents[2]
RECORDED: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SOURCES: Final = (
    "libs/kit/src",
    "libs/contracts/src",
    "services/wallet/src",
    "stack/src",
)


def main() -> None:
    """Run the rounds and print the least of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000, help="transfers of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--waiting", type=int, default=64, help="requests at a time")
    parser.add_argument("--against", type=Path, help="another checkout, measured with tracing off")
    arguments = parser.parse_args()
    with running() as cluster, receiving() as receiver:
        off: dict[str, str] = {}
        unrecorded = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0",
        }
        recorded = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "BENCH_TRACEPARENT": RECORDED}
        kinds: dict[str, tuple[Path, dict[str, str]]] = {
            "off": (HERE, off),
            "on, recorded for nobody": (HERE, unrecorded),
            "on, recorded for all": (HERE, recorded),
        }
        if arguments.against is not None:
            kinds["another checkout, off"] = (arguments.against.resolve(), off)
        samples: dict[str, list[float]] = {kind: [] for kind in kinds}
        for number in range(arguments.rounds):
            for kind, (tree, settings) in kinds.items():
                samples[kind].append(_measured(cluster, tree, settings, arguments.requests, arguments.waiting))
                receiver.spans.clear()
            print(f"round {number + 1}: " + ", ".join(f"{kind} {taken[-1]:.1f} µs" for kind, taken in samples.items()))
    _report(samples, arguments.requests)


def _measured(cluster: Cluster, tree: Path, settings: dict[str, str], requests: int, waiting: int) -> float:
    """Give the CPU microseconds per request of one process with the code of ``tree``, on an empty ledger."""
    url = cluster.make_ledger()
    cluster.settle()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    # The tree's own code goes before what this environment has installed; the script is ours for both.
    paths = [*(str(tree / source) for source in SOURCES), str(HERE)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result"
        subprocess.run(
            [sys.executable, str(HERE / "bench/tracing/wallet.py"), str(file), str(requests), str(waiting)],
            env={**environment, "BENCH_DATABASE_URL": url, "PYTHONPATH": os.pathsep.join(paths), **settings},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        return float(orjson.loads(file.read_bytes())["cpu_us"])


def _report(samples: dict[str, list[float]], requests: int) -> None:
    least = {kind: min(taken) for kind, taken in samples.items()}
    result = {
        kind: {"cpu_us": round(cpu_us, 1), "ratio": round(cpu_us / least["off"], 3)} for kind, cpu_us in least.items()
    }
    print(f"{'tracing':28}{'CPU µs':>10}{'ratio':>8}")
    for kind, row in result.items():
        print(f"{kind:28}{row['cpu_us']:>10}{row['ratio']:>8}")
    print("RESULT " + orjson.dumps({"requests": requests, "rounds": len(samples["off"]), **result}).decode())


if __name__ == "__main__":
    main()
