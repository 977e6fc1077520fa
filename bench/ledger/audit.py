"""The audit at size: a ledger of millions of entries is read whole, and one changed digit anywhere in it is named.

`python bench/ledger/audit.py [--quick] [--entries N] [--json]`

Fills an embedded PostgreSQL with the stack's settings (a history that PostgreSQL writes itself, and a little of
everything else through the committer), seals it, and runs `ledgerlink audit` as a process of its own. Then a superuser
changes one digit of one row in the middle of a table, the audit runs again and must name that row, and the digit is put
back: once with the whole audit, then with the one check that is to find it. At the end the books must be whole again. A
writer commits all the while, and its slowest commit says whether an audit locked anything. Ends in a line
`RESULT {json}`; exit code 1 when a digit was not found or the books were not whole.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import orjson
import psycopg
from cluster import LEDGER, Cluster, running
from flips import ALONE, IN_THE_TREE, WITH_EVERYTHING, Flip, flipped
from history import open_accounts, write_history
from rich.console import Console
from rich.table import Table
from seasoning import season
from watching import Memory, Writer

from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.notes import Signer
from ledgerlink_wallet.commands.sealing import seal

SIGNER: Final = Signer("bench.example/wallet", bytes(range(32)))
ENTRIES: Final = 10_000_000
ENTRIES_QUICK: Final = 200_000
_TOLD_EVERY: Final = 500_000


def main() -> None:
    """Fill, audit, flip, and print the table and the result."""
    arguments = _arguments()
    say = Console(stderr=True)
    with running() as cluster:
        result = _measure(cluster, arguments.entries, say)
    _report(result, Console(), as_json=arguments.json)
    sys.exit(0 if result["clean"] and result["found"] == result["flips"] else 1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{ENTRIES_QUICK:,} entries only")
    parser.add_argument("--entries", type=int, help=f"entries of the history ({ENTRIES:,})")
    parser.add_argument("--json", action="store_true", help="the result alone")
    arguments = parser.parse_args()
    arguments.entries = arguments.entries or (ENTRIES_QUICK if arguments.quick else ENTRIES)
    return arguments


def _measure(cluster: Cluster, entries: int, say: Console) -> dict[str, Any]:
    started = time.monotonic()
    url = cluster.make_ledger()
    result: dict[str, Any] = {"fill_s": _fill(cluster, url, entries, say)}
    leaves, seconds = asyncio.run(_seal(url, say))
    result |= {"leaves": leaves, "seal_s": seconds, "leaves_per_s": round(leaves / seconds)}
    cluster.settle()
    with Writer(url) as writer:
        first = _audit(cluster, url, (), say)
        found = [_find(cluster, url, (flip,), (), say) for flip in WITH_EVERYTHING]
        found += [_find(cluster, url, (flip,), flip.checks, say) for flip in ALONE]
        found.append(_find(cluster, url, IN_THE_TREE, IN_THE_TREE[0].checks, say))
        last = _audit(cluster, url, (), say)
    return {
        **result,
        "entries": first["entries"],
        "clean": first["clean"] and last["clean"],
        "differences": [one for run in (first, last) for check in run["checks"] for one in check["differences"]][:5],
        "audit": first,
        "audit_again_s": last["seconds"],
        "flips": len(WITH_EVERYTHING) + len(ALONE) + len(IN_THE_TREE),
        "found": sum(one["found"] for one in found),
        "finding": found,
        "writer": writer.said(),
        "seconds": round(time.monotonic() - started),
    }


def _fill(cluster: Cluster, url: str, entries: int, say: Console) -> float:
    started = time.monotonic()
    open_accounts(cluster, LEDGER)
    said = 0

    def told(done: int) -> None:
        nonlocal said
        if done - said >= _TOLD_EVERY:
            said = done
            say.print(f"  {done:,} entries after {time.monotonic() - started:.0f} s", highlight=False)

    write_history(cluster, LEDGER, entries, told)
    season(url, cluster.dsn(LEDGER))
    with psycopg.connect(cluster.dsn(LEDGER), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
    seconds = round(time.monotonic() - started, 1)
    say.print(f"  filled in {seconds} s", highlight=False)
    return seconds


async def _seal(url: str, say: Console) -> tuple[int, float]:
    """Seal all that waits, as the worker does; gives how many leaves that made, and in how many seconds."""
    db = Database(url, application_name="bench-seal")
    started, added, said = time.monotonic(), 0, 0
    while (done := await seal(db, SIGNER, SystemClock())) is not None and done.added:
        added += done.added
        if added - said >= _TOLD_EVERY:
            said = added
            say.print(f"  {added:,} leaves sealed after {time.monotonic() - started:.0f} s", highlight=False)
    await db.close()
    return added, round(time.monotonic() - started, 1)


def _audit(cluster: Cluster, url: str, checks: tuple[str, ...], say: Console) -> dict[str, Any]:
    """Run `ledgerlink audit`; gives what it said, and the most memory that the client and its backend had."""
    command = [str(Path(sys.executable).parent / "ledgerlink"), "audit", "--json", "--database-url", url]
    command += ["--key", str(SIGNER.key), *(part for name in checks for part in ("--check", name))]
    with Memory(cluster.dsn(LEDGER)) as memory:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    if not done.stdout:
        raise SystemExit("`ledgerlink audit` did not get to its end.")
    said: dict[str, Any] = orjson.loads(done.stdout)
    assert said["clean"] is (done.returncode == 0)
    said |= memory.said()
    what = ", ".join(checks) or "everything"
    say.print(f"  audit of {what}: clean {said['clean']}, {said['seconds']:.0f} s", highlight=False)
    return said


def _find(cluster: Cluster, url: str, flips: tuple[Flip, ...], checks: tuple[str, ...], say: Console) -> dict[str, Any]:
    """Change one digit in each row of ``flips``, audit by ``checks``, put them back; gives which rows were named."""
    with flipped(cluster.dsn(LEDGER), flips) as names:
        said = _audit(cluster, url, checks, say)
    told = [one for check in said["checks"] for one in check["differences"]]
    missed = [name for name in names if not any(name in one for one in told)]
    for name in missed:
        say.print(f"  NOT FOUND: {name}; the audit said {told}", highlight=False)
    return {
        "columns": [f"{flip.table}.{flip.column}" for flip in flips],
        "rows": names,
        "by": list(checks) or ["everything"],
        "found": len(flips) - len(missed),
        "seconds": said["seconds"],
    }


def _report(result: dict[str, Any], out: Console, *, as_json: bool) -> None:
    audit = result["audit"]
    if not as_json:
        table = Table("check", title=f"{result['entries']:,} entries, {result['leaves']:,} leaves")
        for heading in ("looked at", "seconds", "differences"):
            table.add_column(heading, justify="right")
        for check in audit["checks"]:
            wrong = str(len(check["differences"]))
            table.add_row(check["name"], f"{check['examined']:,}", f"{check['seconds']:.1f}", wrong)
        out.print(table)
        table = Table("one digit of", "row", "found by", "seconds")
        for one in result["finding"]:
            by = ", ".join(one["by"]) if one["found"] == len(one["rows"]) else "NOT FOUND"
            table.add_row("\n".join(one["columns"]), "\n".join(one["rows"]), by, f"{one['seconds']:.1f}")
        out.print(table)
    memory = {name: audit[name] for name in ("rss_mib", "backend_rss_mib", "temp_mib")}
    shown = {name: value for name, value in result.items() if name not in {"audit", "finding"}}
    shown |= {
        "audit_s": audit["seconds"],
        "entries_per_s": audit["entries_per_second"],
        "checks_s": {check["name"]: round(check["seconds"], 1) for check in audit["checks"]},
        **memory,
        "finding_s": {" ".join(one["columns"]): round(one["seconds"], 1) for one in result["finding"]},
    }
    out.print("RESULT " + orjson.dumps(shown).decode(), soft_wrap=True, highlight=False)


if __name__ == "__main__":
    main()
