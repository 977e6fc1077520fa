"""Decisions on a real PostgreSQL: stored once with their inputs, repeated byte for byte, refused for another event."""

import asyncio
from datetime import timedelta

import orjson
import pytest
import sqlalchemy as sa
from ledgerlink_contracts.ids import DecisionId
from ledgerlink_contracts.risk.models import DecisionView
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.testing import ManualClock
from ledgerlink_risk.commands import decide_event
from ledgerlink_risk.queries.policies import decide_again
from ledgerlink_risk.runtime import Runtime


def read(answer: bytes) -> DecisionView:
    return DecisionView.model_validate_json(answer)


async def count(runtime: Runtime, table: str) -> int:
    async with runtime.db.reading() as view:
        return int(await view.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608


async def test_an_everyday_purchase_is_approved_and_stored_with_its_inputs(runtime: Runtime, make_event) -> None:
    decision = DecisionId.derive("first")
    decided = await decide_event(runtime, decision, make_event(), "svc_payments")
    view = read(decided.answer)
    assert (view.verdict, view.score, view.reasons, view.case) == ("approve", 0, [], None)
    async with runtime.db.reading() as conn:
        row = (await conn.execute(sa.text("SELECT * FROM decisions"))).one()
    inputs = orjson.loads(row.inputs)
    assert row.answer == decided.answer
    assert inputs["signals"]["velocity(count,customer,1h)"] == 1
    assert inputs["signals"]["velocity(sum,customer,24h)"] == {"minor": 1200, "currency": "GBP"}
    assert inputs["signals"]["new_payee"] is True
    assert row.policy_version == 1
