"""`ledgerlink audit`: reads a wallet's whole database and says whether the books are whole, or where they are not."""

from __future__ import annotations

import asyncio
import base64
import json
import resource
import sys
import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import LedgerLinkError
from ledgerlink_kit.notes import InvalidNote, Signer, VerifierKey
from ledgerlink_stack.trouble import Trouble
from ledgerlink_wallet.queries.audit import audit, checks_for

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from ledgerlink_contracts.wallet.reports import AuditView
    from ledgerlink_wallet.queries.auditing.looking import Check

CLEAN, BROKEN = 0, 1
EXPLAINED_COLUMNS_MIN = 110
"""How wide a terminal must be for the table to say what each check holds; names are never shortened."""
_EVERY_S = 5.0
"""How often a log, where no bar can move, is told how far it is."""


def run(arguments: argparse.Namespace, url: str, key: VerifierKey | None, console: Console) -> int:
    """Audit the wallet's database at ``url``; gives 0 when the books are whole and 1 when they are not.

    ``key`` verifies the checkpoints' signatures; without it they are not looked at. Raises `Trouble`.
    """
    shown = Console(stderr=True) if arguments.json else console
    checks = _chosen(arguments.check, key)
    started = time.monotonic()
    try:
        view = asyncio.run(_audit(url, checks, shown))
    except LedgerLinkError as error:
        raise Trouble(
            f"The audit did not get to its end: {error.detail}", "`ledgerlink up` starts the database."
        ) from None
    except (DBAPIError, SQLAlchemyError, ValueError, OSError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise Trouble(
            f"This is no wallet's database that can be audited: {reason}.",
            "Give --database-url postgresql://user:password@host:port/database of a wallet at today's schema.",
        ) from None
    seconds = time.monotonic() - started
    if arguments.json:
        print(json.dumps(_summary(view, seconds, key)))
    else:
        _report(view, seconds, key, console)
    return CLEAN if view.clean else BROKEN


def _chosen(names: Sequence[str] | None, key: VerifierKey | None) -> Sequence[Check]:
    """Give the checks with these names, or all. Raises `Trouble`."""
    checks = checks_for(key)
    if not names:
        return checks
    known = {check.name: check for check in checks}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Trouble(f"There is no check {unknown[0]!r}.", f"--check takes one of: {', '.join(known)}.")
    return [known[name] for name in known if name in names]


def key_from_seed(origin: str, seed: str) -> VerifierKey:
    """Give the verifier key of the stack's own signing key. Raises `Trouble`."""
    try:
        return Signer(origin, base64.b64decode(seed, validate=True)).key
    except ValueError as error:
        raise Trouble("The wallet's checkpoint key is none.", f"WALLET_CHECKPOINT_KEY: {error}") from None


def key_of(given: str | None, local: VerifierKey | None) -> VerifierKey | None:
    """Give the key to verify with: the one that was given, else the local stack's. Raises `Trouble`."""
    if not given:
        return local
    try:
        return VerifierKey.parse(given)
    except InvalidNote as reason:
        raise Trouble(str(reason), "GET /checkpoints/key answers the ledger's key.") from None


async def _audit(url: str, checks: Sequence[Check], console: Console) -> AuditView:
    db = Database(url, application_name="ledgerlink-audit", pool_size=1)
    try:
        async with db.reading() as view:
            # How much there is, as far as the planner knows: good enough for a bar.
            estimates = await view.execute(
                text("SELECT relname, reltuples::bigint AS rows FROM pg_class WHERE relname IN ('entries', 'leaves')")
            )
            sizes = {row.relname: int(row.rows) for row in estimates}
        with _Bar(console, sizes) as bar:
            return await audit(db, SystemClock(), checks, progress=bar.show)
    finally:
        await db.close()


class _Bar:
    """One line per check: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, sizes: dict[str, int]) -> None:
        self._console = console
        self._totals = {"entries_chain": sizes.get("entries"), "tree_matches_what_is_stored": sizes.get("leaves")}
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
            console=console, transient=True,
        )  # fmt: skip
        self._told = time.monotonic()
        self._task = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._task = self._progress.add_task("", total=None)
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def show(self, check: Check, done: int) -> None:
        """Show that ``check`` has looked at ``done`` rows."""
        total = self._totals.get(check.name)
        if self._task is not None:
            whole = max(total, done) if total and total > 0 else None
            self._progress.update(self._task, description=check.name, completed=done, total=whole)
        elif time.monotonic() - self._told >= _EVERY_S:
            self._told = time.monotonic()
            self._console.print(f"{check.name}: {done:,} rows", highlight=False)


def _entries(view: AuditView) -> int:
    return next((check.examined for check in view.checks if check.name == "entries_chain"), 0)


def _is_whole(view: AuditView) -> bool:
    """Say whether all checks were made."""
    return len(view.checks) == len(checks_for(None))


def _summary(view: AuditView, seconds: float, key: VerifierKey | None) -> dict[str, object]:
    return {
        **json.loads(view.model_dump_json()),
        "entries": _entries(view),
        "seconds": round(seconds, 3),
        "entries_per_second": round(_entries(view) / seconds),
        "whole": _is_whole(view),
        "signatures_verified": key is not None,
        "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "linux" else 1024**2),
    }


def _report(view: AuditView, seconds: float, key: VerifierKey | None, console: Console) -> None:
    explained = console.width >= EXPLAINED_COLUMNS_MIN
    table = Table(title=None)
    table.add_column("check", no_wrap=True)  # whole: it is what --check takes
    if explained:
        table.add_column("what must hold")
    for heading in ("looked at", "seconds", "differences"):
        table.add_column(heading, justify="right")
    for check in view.checks:
        found = f"[bold red]{len(check.differences)}[/]" if check.differences else "[green]none[/]"
        sentence = [check.description] if explained else []
        table.add_row(check.name, *sentence, f"{check.examined:,}", f"{check.seconds:.2f}", found)
    console.print(table)
    for check in view.checks:
        for difference in check.differences:
            console.print(f"[bold red]{check.name}[/]: {escape(difference)}", highlight=False, soft_wrap=True)
    entries = _entries(view)
    if any(check.name == "entries_chain" for check in view.checks):
        rate = f"{entries:,} entries in {seconds:.1f} s: {entries / seconds:,.0f} entries/s."
        console.print(rate, highlight=False, soft_wrap=True)
    if key is None:
        console.print("Checkpoints' signatures were not looked at; --key does.", highlight=False, soft_wrap=True)
    if view.clean and _is_whole(view):
        console.print("The books are whole.", style="bold green", highlight=False)
    elif view.clean:
        console.print("What was looked at is whole; the other checks were not made.", style="green", highlight=False)
    else:
        console.print("The books are NOT whole.", style="bold red", highlight=False)
        console.print("docs/runbooks/audit-finds-a-difference.md says what to do.", highlight=False, soft_wrap=True)
