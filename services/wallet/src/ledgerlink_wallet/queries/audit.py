"""The audit: reads everything and shows that the books are whole, or where they are not.

The same checks serve `GET /audit`, `ledgerlink audit` and the worker's scheduled invariants. One read-only view means
that commits meanwhile disturb nothing; what is read is streamed, so memory stays bounded however long the books are.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.wallet.reports import AuditCheckView, AuditView
from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import Database
from ledgerlink_kit.invariants import Invariant
from ledgerlink_kit.notes import VerifierKey
from ledgerlink_wallet.queries.auditing.dated import DATED_CHECKS
from ledgerlink_wallet.queries.auditing.entries import ENTRY_CHECKS
from ledgerlink_wallet.queries.auditing.holds import BALANCE_CHECKS, MEMORY_CHECKS
from ledgerlink_wallet.queries.auditing.looking import Check, nobody_listens
from ledgerlink_wallet.queries.auditing.promises import PROMISE_CHECKS
from ledgerlink_wallet.queries.auditing.schedules import SCHEDULE_CHECKS
from ledgerlink_wallet.queries.auditing.tree import tree_check
from ledgerlink_wallet.queries.auditing.wallets import SPENDING_CHECKS, STANDING_CHECKS

SORT_MEMORY: Final = "64MB"
"""What PostgreSQL may take for each sort of the audit before it sorts on disk."""

Progress = Callable[[Check, int], None]
"""Told which check is at work, and how many rows it has looked at."""


_STANDING: Final = (*BALANCE_CHECKS, *STANDING_CHECKS)


def _history(key: VerifierKey | None) -> Sequence[Check]:
    return (
        *PROMISE_CHECKS,
        *MEMORY_CHECKS,
        *ENTRY_CHECKS,
        *DATED_CHECKS,
        *SPENDING_CHECKS,
        *SCHEDULE_CHECKS,
        tree_check(key),
    )


def checks_for(key: VerifierKey | None) -> Sequence[Check]:
    """Give all checks, the cheap ones first; ``key`` is the ledger's, for the signatures on its checkpoints."""
    return (*_STANDING, *_history(key))


CHECKS: Final = checks_for(None)
"""All checks, without the signatures."""


def _quiet(_check: Check, _done: int) -> None:
    """Tell nobody."""


async def _prepare(view: AsyncConnection) -> None:
    """Let statements take their time: the usual limit is for requests, and this is no ordinary one."""
    await view.execute(text("SET LOCAL statement_timeout = 0"))
    await view.execute(text(f"SET LOCAL work_mem = '{SORT_MEMORY}'"))
    await view.execute(text("SET LOCAL jit = off"))


async def audit(
    db: Database,
    clock: Clock,
    checks: Sequence[Check] = CHECKS,
    *,
    told: Callable[[AuditCheckView], None] | None = None,
    progress: Progress = _quiet,
) -> AuditView:
    """Run ``checks`` on one view of the books; ``told`` hears of each as it ends, ``progress`` while it runs."""
    results: list[AuditCheckView] = []
    async with db.reading() as view:
        await _prepare(view)
        for check in checks:
            started = time.monotonic()
            progress(check, 0)

            def tick(done: int, check: Check = check) -> None:
                progress(check, done)

            looked = await check.look(view, tick)
            results.append(
                AuditCheckView(
                    name=check.name,
                    description=check.description,
                    examined=looked.examined,
                    differences=looked.differences,
                    seconds=round(time.monotonic() - started, 6),
                )
            )
            if told is not None:
                told(results[-1])
    return AuditView(clean=not any(one.differences for one in results), as_of=clock.now(), checks=results)


def _invariant(check: Check) -> Invariant:
    async def differences(view: AsyncConnection) -> list[str]:
        await _prepare(view)
        return (await check.look(view, nobody_listens)).differences

    return Invariant(f"wallet_{check.name}", check.description, differences)


INVARIANTS_OF_BALANCES: Final = tuple(_invariant(check) for check in _STANDING)
"""Checks of what stands now, for the worker: cheap enough for every minute, however long the books are."""


def invariants_of_history(key: VerifierKey | None) -> tuple[Invariant, ...]:
    """Give the checks that read the whole of the books, for the worker: now and then."""
    return tuple(_invariant(check) for check in _history(key))
