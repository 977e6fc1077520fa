"""`ledgerlink demo`: replays a file of card purchases through the running stack and proves the books."""

import argparse
import asyncio
import hashlib
import json
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from ledgerlink_kit.money import format_minor
from ledgerlink_stack.demo.gateway import Gateway, Person
from ledgerlink_stack.demo.options import SIZES, Access
from ledgerlink_stack.demo.replay import Replay
from ledgerlink_stack.demo.rows import BILLING, Row, Totals, read_rows, totals_of_file
from ledgerlink_stack.demo.schedule import Month, schedule
from ledgerlink_stack.demo.verify import Proof, prove
from ledgerlink_stack.demo.world import World
from ledgerlink_stack.trouble import Trouble

SHOWN_MERCHANTS: Final = 10
SHOWN_DIFFERENCES: Final = 20
_KINDS: Final = ("top-up", "purchase", "refund", "credit", "payout")
_TICKS_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything a report needs."""

    rows: int
    seconds: float
    replay: Replay
    gateway: Gateway
    expected: Totals
    proof: Proof
    unpaid: int


def run(arguments: argparse.Namespace, access: Access, console: Console) -> int:
    """Replay, prove and report; gives the exit code: 1 when anything differs."""
    outcome = asyncio.run(_run(arguments, access, console))
    if arguments.json:
        print(json.dumps(summary(outcome)))
    else:
        _report(outcome, console, access.folder)
    return 1 if outcome.proof.differences or outcome.unpaid else 0


async def _run(arguments: argparse.Namespace, access: Access, console: Console) -> Outcome:
    limit: int | None = arguments.rows or SIZES[arguments.size]
    rows = read_rows(arguments.file, limit)
    months = schedule(rows)
    # The name is that of the rows: the same rows are the same replay, other rows another one.
    name = "demo-" + hashlib.sha256("".join(row.key for row in rows).encode()).hexdigest()[:10]
    timeout = aiohttp.ClientTimeout(total=30)
    connector = aiohttp.TCPConnector(limit=arguments.width * 2)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        gateway = Gateway(access.gateway_url, session)
        admin = Person(gateway, access.admin_email, access.admin_password)
        world = World(gateway, admin, name=name, secret=access.secret)
        replay = Replay(world, arguments.width)
        started = time.monotonic()
        try:
            unpaid = await _replay(world, replay, rows, months, arguments, console)
        except* Trouble as troubles:
            raise _first(troubles) from None
        seconds = time.monotonic() - started
        expected = totals_of_file(arguments.file, limit)
        proof = await prove(world, replay, expected, access.folder)
    return Outcome(len(rows), seconds, replay, gateway, expected, proof, unpaid)


def _first(troubles: BaseExceptionGroup[Trouble]) -> Trouble:
    for trouble in troubles.exceptions:
        return _first(trouble) if isinstance(trouble, BaseExceptionGroup) else trouble
    raise AssertionError("an exception group is never empty")


async def _replay(
    world: World,
    replay: Replay,
    rows: Sequence[Row],
    months: Sequence[Month],
    arguments: argparse.Namespace,
    console: Console,
) -> int:
    shown = Console(stderr=True) if arguments.json else console
    people = (
        len({row.department for row in rows}) + len({row.card for row in rows}) + len({row.merchant for row in rows})
    )
    with _Bars(shown) as bars:
        await world.populate(rows, arguments.width, bars.start("people, wallets, merchants", people))
        for month in months:
            work = len(month.top_ups) + len(month.steps) + len(month.payouts)
            await replay.run(month, bars.start(month.name, work))
        bars.start("waiting for the provider to pay out", 1)
        return await replay.await_payouts()


class _Bars:
    """A progress bar per stage on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=console,
        )  # fmt: skip

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def start(self, what: str, total: int) -> Any:
        """Begin a stage of ``total`` steps; gives the function that counts one."""
        if self._console.is_terminal:
            task = self._progress.add_task(what, total=total)
            return lambda: self._progress.advance(task)
        done = 0
        every = max(1, total // _TICKS_SHOWN)

        def line() -> None:
            nonlocal done
            done += 1
            if done % every == 0 or done == total:
                self._console.print(f"{what}: {done} of {total}", highlight=False)

        return line


def summary(outcome: Outcome) -> dict[str, Any]:
    """Give the outcome as plain values."""
    proof, timings = outcome.proof, outcome.gateway.timings
    return {
        "rows": outcome.rows,
        "seconds": round(outcome.seconds, 1),
        "rows_per_second": round(outcome.rows / outcome.seconds, 1),
        "demo_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "kinds": {
            kind: {
                "count": tally.count,
                "amounts": {code: format_minor(minor, code) for code, minor in tally.amounts.items()},
                "reviewed": tally.reviewed,
                "refused": dict(tally.refused),
                "p50_ms": round(timings.quantile(kind, 0.5) * 1000, 1),
                "p99_ms": round(timings.quantile(kind, 0.99) * 1000, 1),
            }
            for kind, tally in outcome.replay.tallies.items()
        },
        "billed": str(proof.totals.billed),
        "transfers": proof.transfers,
        "accounts": proof.accounts,
        "audit_clean": proof.audit["clean"],
        "unpaid": outcome.unpaid,
        "differences": proof.differences,
    }


def _report(outcome: Outcome, console: Console, folder: Path) -> None:
    console.print(_kinds_table(outcome))
    console.print(_currency_table(outcome))
    console.print(
        _totals_table("Departments (billed, GBP)", outcome.expected.by_department, outcome.proof.totals.by_department)
    )
    merchants, booked = outcome.expected.by_merchant, outcome.proof.totals.by_merchant
    largest = sorted(merchants, key=lambda key: -abs(merchants[key]))[:SHOWN_MERCHANTS]
    console.print(
        _totals_table(
            f"Merchants (the {len(largest)} largest of {len(merchants)}; all are compared)",
            {f"{name}, {currency}": merchants[name, currency] for name, currency in largest},
            {f"{name}, {currency}": booked.get((name, currency), 0) for name, currency in largest},
        )
    )
    console.print(_trial_table(outcome.proof))
    _verdict(outcome, console, folder)


def _kinds_table(outcome: Outcome) -> Table:
    table = Table(title="What happened", title_justify="left")
    for column in ("kind", "count", "amount", "reviewed", "refused and why", "p50 ms", "p99 ms"):
        table.add_column(column, justify="left" if column in {"kind", "refused and why"} else "right")
    timings = outcome.gateway.timings
    for kind in _KINDS:
        tally = outcome.replay.tallies[kind]
        amounts = [f"{format_minor(minor, code)} {code}" for code, minor in sorted(tally.amounts.items())]
        table.add_row(
            kind,
            str(tally.count),
            "\n".join(amounts),
            str(tally.reviewed),
            "\n".join(f"{count} x {why}" for why, count in sorted(tally.refused.items())) or "none",
            f"{timings.quantile(kind, 0.5) * 1000:.0f}",
            f"{timings.quantile(kind, 0.99) * 1000:.0f}",
        )
    return table


def _currency_table(outcome: Outcome) -> Table:
    return _totals_table("Currencies (as charged)", outcome.expected.by_currency, outcome.proof.totals.by_currency)


def _totals_table(title: str, expected: Mapping[str, Any], booked: Mapping[str, Any]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in ("in the file", "in the ledger"):
        table.add_column(column, justify="right")
    for key in sorted(expected, key=lambda name: -abs(expected[name])):
        table.add_row(key, f"{expected[key]:,}", f"{booked.get(key, 0):,}")
    return table


def _trial_table(proof: Proof) -> Table:
    table = Table(title="Trial balance of the whole ledger", title_justify="left")
    for column in ("currency", "debits", "credits"):
        table.add_column(column, justify="left" if column == "currency" else "right")
    for line in proof.trial_balance:
        currency = line["currency"]
        sums = [format_minor(line[f"{side}_posted_minor"], currency) for side in ("debits", "credits")]
        table.add_row(currency, *sums)
    return table


def _verdict(outcome: Outcome, console: Console, folder: Path) -> None:
    proof = outcome.proof
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rate = outcome.rows / outcome.seconds
    lines = [
        f"{outcome.rows} rows in {outcome.seconds:.1f} s: {rate:.1f} rows/s; this client's memory {memory} MiB",
        f"{proof.transfers} transfers on {proof.accounts} accounts, written as books to",
        f"  {folder / 'ledgerlink.beancount'}",
        f"  {folder / 'ledgerlink.journal'}",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    if outcome.unpaid:
        console.print(f"{outcome.unpaid} payouts were not paid within two minutes", style="bold red")
    if not proof.differences:
        billed = f"{proof.totals.billed:,} {BILLING}"
        console.print(
            f"The file, the ledger, its audit and beancount agree to the last minor unit: {billed} billed.",
            style="bold green", highlight=False, soft_wrap=True,
        )  # fmt: skip
        return
    console.print(f"{len(proof.differences)} differences:", style="bold red")
    for difference in proof.differences[:SHOWN_DIFFERENCES]:
        console.print(f"  {difference}", highlight=False, markup=False, soft_wrap=True)
