"""Events and decisions, as they are stored."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from ledgerlink_contracts.risk.models import DecisionView, Verdict
from ledgerlink_kit.db import Tx
from ledgerlink_risk.domain.verdicts import Inputs

_LOCK: Final = sa.text(
    "SELECT pg_advisory_xact_lock(hashtextextended('risk-customer:' || CAST(:customer AS text), 0)), "
    "set_config('statement_timeout', CAST(:timeout_ms AS text), true)"
)

_INSERT: Final = sa.text(
    "WITH event AS (INSERT INTO events (id, kind, customer, payment_method, destination, amount_minor, currency, "
    "occurred_at, recorded_at, declined) VALUES (:id, :kind, :customer, :payment_method, :destination, :amount_minor, "
    ":currency, :occurred_at, :now, :declined)), opened AS (INSERT INTO cases (id, decision_id, subject, state, "
    "opened_at) SELECT CAST(:case_id AS uuid), :id, :subject, 'open', :now WHERE CAST(:case_id AS uuid) IS NOT NULL) "
    "INSERT INTO decisions (id, caller, subject, customer, verdict, score, policy_version, degraded, inputs, answer, "
    "decided_at) VALUES (:id, :caller, :subject, :customer, :verdict, :score, :policy_version, "
    "CAST(:degraded AS text[]), :inputs, :answer, :now)"
)


async def lock_customer(tx: Tx, customer: str, timeout_ms: int) -> None:
    """Decide about one customer one at a time, so that two payments at once see each other's amounts.

    The same round trip bounds the next statement's time; gathering lifts that bound again.
    """
    await tx.execute(_LOCK, {"customer": customer, "timeout_ms": str(timeout_ms)})


async def insert_decision(tx: Tx, inputs: Inputs, view: DecisionView, *, answer: bytes, caller: str) -> None:
    """Store the event, the decision and, for a review, its case: three rows, one statement."""
    event = inputs.event
    await tx.execute(
        _INSERT,
        {
            "id": inputs.decision.uuid,
            "kind": event.kind.value,
            "customer": event.customer,
            "payment_method": event.payment_method,
            "destination": event.destination,
            "amount_minor": event.amount_minor,
            "currency": event.currency,
            "occurred_at": inputs.occurred_at,
            "now": inputs.decided_at,
            "declined": view.verdict is Verdict.DECLINE,
            "case_id": None if view.case is None else view.case.uuid,
            "subject": event.subject,
            "caller": caller,
            "verdict": view.verdict.value,
            "score": view.score,
            "policy_version": view.policy_version,
            "degraded": list(inputs.degraded),
            "inputs": inputs.to_json(),
            "answer": answer,
        },
    )


async def stored_inputs(tx: Tx, ids: Sequence[UUID]) -> list[sa.Row[Any]]:
    """Give id, inputs and answer of decisions, for deciding them again."""
    wanted = sa.text("SELECT id, inputs, answer FROM decisions WHERE id = ANY(:ids) ORDER BY id")
    return list((await tx.execute(wanted, {"ids": list(ids)})).all())
