"""What must always hold in risk's books, checked on a schedule and by the tests."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import DecisionId
from ledgerlink_kit.invariants import Invariant
from ledgerlink_risk.queries.policies import decide_again
from ledgerlink_risk.runtime import Runtime
from ledgerlink_risk.store.decisions import stored_inputs

SCANNED: Final = timedelta(days=1)
"""How far back the checks of every single row look; older rows cannot change."""

REPEATED: Final = 25
"""How many of the latest decisions are made again at each check."""

_CASELESS: Final = sa.text(
    "SELECT d.id FROM decisions d LEFT JOIN cases c ON c.decision_id = d.id "
    "WHERE d.verdict = 'review' AND c.id IS NULL LIMIT 20"
)
_CASED: Final = sa.text(
    "SELECT d.id FROM cases c JOIN decisions d ON d.id = c.decision_id WHERE d.verdict <> 'review' LIMIT 20"
)
_TWO_FACED: Final = sa.text(
    "SELECT d.id FROM decisions d JOIN events e ON e.id = d.id WHERE e.declined <> (d.verdict = 'decline') "
    "AND d.decided_at > :since LIMIT 20"
)
_UNDECIDED: Final = sa.text(
    "SELECT e.id FROM events e LEFT JOIN decisions d ON d.id = e.id "
    "WHERE d.id IS NULL AND e.recorded_at > :since LIMIT 20"
)
_LATEST: Final = sa.text("SELECT id FROM decisions ORDER BY decided_at DESC, id DESC LIMIT :number")


def invariants_of(runtime: Runtime) -> list[Invariant]:
    """Give risk's invariants; the last one compiles policies through the runtime's cache."""

    async def repeatable(view: AsyncConnection) -> list[str]:
        ids: list[UUID] = list((await view.execute(_LATEST, {"number": REPEATED})).scalars())
        return [
            f"{DecisionId(row.id)} comes out differently when it is made again"
            for row in await stored_inputs(view, ids)
            if await decide_again(runtime, view, row.inputs) != row.answer
        ]

    def listing(query: sa.TextClause, what: str) -> Callable[[AsyncConnection], Awaitable[list[str]]]:
        async def check(view: AsyncConnection) -> list[str]:
            bound = {"since": runtime.clock.now() - SCANNED} if ":since" in query.text else {}
            ids: list[UUID] = list((await view.execute(query, bound)).scalars())
            return [f"{DecisionId(found)} {what}" for found in ids]

        return check

    return [
        Invariant("risk-review-has-case", "Every review decision has a case.", listing(_CASELESS, "has no case")),
        Invariant("risk-case-has-review", "Only review decisions have cases.", listing(_CASED, "has a case")),
        Invariant(
            "risk-declines-agree",
            "An event counts as declined exactly when its decision declined it.",
            listing(_TWO_FACED, "and its event disagree"),
        ),
        Invariant("risk-event-has-decision", "Every event has its decision.", listing(_UNDECIDED, "is undecided")),
        Invariant("risk-decisions-repeatable", "Stored decisions come out the same, byte for byte.", repeatable),
    ]
