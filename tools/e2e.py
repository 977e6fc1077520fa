"""`make e2e`: run the Postman collections of docs/postman with Newman against the running stack.

Each collection runs twice: through the gateway and directly against the services, by two environment files. A stack
that is down is started for the run and stopped after it; a stack that is up is used as it is and left up.

``python tools/e2e.py``                    all collections, both ways
``python tools/e2e.py wallet --only direct`` one collection, one way
``python tools/e2e.py --suite extended``   one of the CI's jobs; together they are all collections, both ways
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import npm

ROOT = Path(__file__).resolve().parent.parent
POSTMAN = ROOT / "docs" / "postman"
LEDGERLINK = str(ROOT / ".venv" / "bin" / "ledgerlink")
NEWMAN = ROOT / "node_modules" / "newman" / "bin" / "newman.js"
SUFFIX = ".postman_collection.json"
WAYS = ("gateway", "direct")
# What the CI runs beside each other: a suite's collections and ways. A test holds that nothing is left out.
SUITES = {
    "direct": (("identity",), ("direct",)),
    "gateway": (("identity",), ("gateway",)),
    "extended": (("identity-extended",), WAYS),
    "wallet": (("wallet", "ledger"), WAYS),
    "payments": (("payments", "risk"), WAYS),
}
REQUEST_TIMEOUT_MS = 20_000
WAY_TIMEOUT_S = 300


def install_newman() -> None:
    """Install what package-lock.json names, once per lock."""
    npm.install(ROOT, ROOT, "Newman")


def stack_is_down() -> bool:
    """Whether nothing of the local stack runs; a stack that is half up counts as up and is healed by `up`."""
    done = subprocess.run([LEDGERLINK, "status", "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        state: str = json.loads(done.stdout)["state"]
    except (ValueError, KeyError):
        return True
    return state == "down"


def settings() -> dict[str, str]:
    """What the stack knows: its ports and the administrator's password."""
    done = subprocess.run([LEDGERLINK, "env", "--reveal"], cwd=ROOT, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def environment(way: str, known: dict[str, str]) -> dict[str, Any]:
    """A Postman environment file with this machine's addresses and secrets filled in."""
    content: dict[str, Any] = json.loads((POSTMAN / f"{way}.postman_environment.json").read_text())
    values = {"admin_email": known["LEDGERLINK_ADMIN_EMAIL"], "admin_password": known["LEDGERLINK_ADMIN_PASSWORD"]}
    values |= {
        f"{name}_port": known[f"{name.upper()}_PORT"] for name in ("gateway", "identity", "wallet", "payments", "risk")
    }
    values["run"] = f"{int(time.time() * 1000):x}"
    for entry in content["values"]:
        entry["value"] = values.pop(entry["key"], entry["value"])
    content["values"] += [{"key": key, "value": value, "enabled": True} for key, value in values.items()]
    return content


def collections(names: Sequence[str]) -> list[Path]:
    """The collection files, in their order; exits when a name is not among them."""
    every = {path.name.removesuffix(SUFFIX): path for path in sorted(POSTMAN.glob(f"*{SUFFIX}"))}
    unknown = set(names) - set(every)
    if unknown:
        sys.exit(f"make e2e: no collection is called {', '.join(sorted(unknown))}; there are {', '.join(every)}")
    return [path for name, path in every.items() if not names or name in names]


def run(collection: Path, way: str, known: dict[str, str]) -> bool:
    """Run one collection one way; returns whether every assertion held. Secrets go by a private file, not by argv."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "environment.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(environment(way, known)))
        command = [*npm.node(), str(NEWMAN), "run", str(collection), "--environment", str(file), "--color", "off"]
        command += ["--timeout-request", str(REQUEST_TIMEOUT_MS), "--timeout", str(WAY_TIMEOUT_S * 1000)]
        print(f"\n── {collection.name.removesuffix(SUFFIX)}, {way} ──", flush=True)
        quiet = {**os.environ, "NODE_NO_WARNINGS": "1", "FORCE_COLOR": "0"}
        return subprocess.run(command, cwd=ROOT, env=quiet, check=False).returncode == 0


def main() -> int:
    """Run what was asked for; exit code 1 when an assertion failed, with the list of what passed and what did not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="collection", help="all when none is given")
    parser.add_argument("--only", choices=WAYS, help="one way instead of both")
    parser.add_argument("--suite", choices=SUITES, help="one of the CI's jobs, instead of names and a way")
    options = parser.parse_args()
    if options.suite and (options.names or options.only):
        parser.error("--suite names collections and ways by itself")
    names, ways = SUITES[options.suite] if options.suite else (options.names, (options.only,) if options.only else WAYS)
    chosen = collections(names)
    install_newman()
    ours = stack_is_down()
    try:
        if subprocess.run([LEDGERLINK, "up"], cwd=ROOT, check=False).returncode:
            return 1  # it has said why
        known = settings()
        results = [(path.name.removesuffix(SUFFIX), way, run(path, way, known)) for path in chosen for way in ways]
    finally:
        if ours:
            subprocess.run([LEDGERLINK, "down"], cwd=ROOT, check=False)
    print()
    for name, way, passed in results:
        print(f"  {name:18} {way:8} {'ok' if passed else 'FAILED'}")
    failed = [result for result in results if not result[2]]
    print(f"\ne2e: {len(results) - len(failed)} of {len(results)} passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
