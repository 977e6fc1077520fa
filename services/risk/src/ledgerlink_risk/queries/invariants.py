"""What must always hold in risk's books, checked on a schedule and by the tests."""

from typing import Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import DecisionId
from ledgerlink_kit.invariants import Invariant
from ledgerlink_risk.queries.policies import decide_again
from ledgerlink_risk.runtime import Runtime
from ledgerlink_risk.store.decisions import stored_inputs

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
    "AND d.decided_at > now() - interval '1 day' LIMIT 20"
)
_UNDECIDED: Final = sa.text(
    "SELECT e.id FROM events e LEFT JOIN decisions d ON d.id = e.id "
    "WHERE d.id IS NULL AND e.recorded_at > now() - interval '1 day' LIMIT 20"
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

    return [
        Invariant("risk-review-has-case", "Every review decision has a case.", _lists(_CASELESS, "has no case")),
        Invariant("risk-case-has-review", "Only review decisions have cases.", _lists(_CASED, "has a case")),
        Invariant(
            "risk-declines-agree",
            "An event counts as declined exactly when its decision declined it.",
            _lists(_TWO_FACED, "and its event disagree"),
        ),
        Invariant("risk-event-has-decision", "Every event has its decision.", _lists(_UNDECIDED, "is undecided")),
        Invariant("risk-decisions-repeatable", "Stored decisions come out the same, byte for byte.", repeatable),
    ]


def _lists(query: sa.TextClause, what: str):  # noqa: ANN202 - the type is Invariant.check's own
    async def check(view: AsyncConnection) -> list[str]:
        ids: list[UUID] = list((await view.execute(query)).scalars())
        return [f"{DecisionId(found)} {what}" for found in ids]

    return check
