"""`make bench`: run benchmarks one after another and keep what each found in build/bench/<name>.json.

``python tools/bench.py ledger --quick``  one of them, its quick form
``python tools/bench.py``                 all, in full: more than an hour

A benchmark fails when it finds something wrong (the audit overlooked a digit, the books differ), never for being slow:
on shared machines the same code differs from run to run, and only ratios within one run say something.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parent.parent
PYTHON = str(ROOT / ".venv" / "bin" / "python")
RESULTS = ROOT / "build" / "bench"
MARK: Final = "RESULT "
QUICK: Final = {
    "gateway": ["bench/gateway/run.py", "--requests", "2000", "--rounds", "3"],
    "ledger": ["bench/ledger/run.py", "--quick"],
    "drivers": ["-m", "bench.drivers.run", "--quick"],
    "audit": ["bench/ledger/audit.py", "--quick"],
}
FULL: Final = {
    "gateway": ["bench/gateway/run.py"],
    "ledger": ["bench/ledger/run.py"],
    "drivers": ["-m", "bench.drivers.run"],
    "audit": ["bench/ledger/audit.py"],
}


def result(lines: Iterable[str]) -> dict[str, Any] | None:
    """What a benchmark's last line `RESULT {json}` says; None when there is none, so that nothing was measured."""
    found = [line.removeprefix(MARK) for line in lines if line.startswith(MARK)]
    return json.loads(found[-1]) if found else None


def measure(name: str, *, quick: bool) -> bool:
    """Run one benchmark, show what it says, keep its result; returns whether it came to a good end."""
    print(f"\n── {name}{', quick' if quick else ''} ──", flush=True)
    command = [PYTHON, *(QUICK if quick else FULL)[name]]
    lines: list[str] = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    found = result(lines)
    if process.returncode or found is None:
        print(f"bench: {name} ended with {process.returncode} and {'no' if found is None else 'a'} result")
        return False
    RESULTS.mkdir(parents=True, exist_ok=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    where = {"commit": commit.stdout.strip(), "quick": quick, "machine": platform.machine(), "cpus": os.cpu_count()}
    (RESULTS / f"{name}.json").write_text(json.dumps({**where, "result": found}, indent=2) + "\n")
    return True


def main() -> int:
    """Run what was asked for; exit code 1 when one of them did not come to a good end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="benchmark", help=f"all when none is given: {', '.join(FULL)}")
    parser.add_argument("--quick", action="store_true", help="minutes in all")
    options = parser.parse_args()
    unknown = set(options.names) - set(FULL)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(FULL)}")
    results = [measure(name, quick=options.quick) for name in options.names or FULL]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
