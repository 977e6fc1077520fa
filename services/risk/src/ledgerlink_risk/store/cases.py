"""Cases, as they are stored."""

from typing import Any

import sqlalchemy as sa

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_contracts.risk.models import CaseState, CaseView, Resolution
from ledgerlink_kit.db import Tx
from ledgerlink_risk.tables import cases


async def lock_case(tx: Tx, case: CaseId) -> CaseView | None:
    """Give a case and keep it from others until the transaction ends."""
    row = (await tx.execute(sa.select(cases).where(cases.c.id == case.uuid).with_for_update())).one_or_none()
    return None if row is None else case_of(row)


def case_of(row: sa.Row[Any]) -> CaseView:
    """Read a case from its row."""
    return CaseView(
        id=CaseId(row.id),
        decision=DecisionId(row.decision_id),
        subject=row.subject,
        state=CaseState(row.state),
        opened_at=row.opened_at,
        resolution=None if row.resolution is None else Resolution(row.resolution),
        note=row.note,
        resolved_by=row.resolved_by,
        resolved_at=row.resolved_at,
    )


async def store_resolution(tx: Tx, case: CaseView) -> None:
    """Store a resolved case."""
    assert case.resolution is not None
    await tx.execute(
        sa.update(cases)
        .where(cases.c.id == case.id.uuid)
        .values(
            state=case.state.value,
            resolution=case.resolution.value,
            note=case.note,
            resolved_by=case.resolved_by,
            resolved_at=case.resolved_at,
        )
    )
