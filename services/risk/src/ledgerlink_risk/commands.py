"""What risk does: install the stock policy, decide, resolve a case, keep lists. Each command owns its transaction."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson
import structlog
from sqlalchemy.exc import DBAPIError, IntegrityError

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_contracts.risk.events import CaseOpened
from ledgerlink_contracts.risk.models import CaseView, EventFacts, ResolveOrder, Verdict
from ledgerlink_kit.db import Tx, constraint_name, sqlstate
from ledgerlink_kit.errors import Defect, Kind, Refused, Unavailable
from ledgerlink_kit.idempotency import Once, Reply, json_reply, run_once
from ledgerlink_kit.limits import STATEMENT_TIMEOUT_MS
from ledgerlink_kit.outbox import record
from ledgerlink_kit.telemetry import span
from ledgerlink_risk import metrics
from ledgerlink_risk.domain.cases import Approver, UnknownCase, resolve
from ledgerlink_risk.domain.events import differences, occurred_at
from ledgerlink_risk.domain.lists import Entry, EntryOrder, ExpiresInThePast, UnknownEntry, UnknownList
from ledgerlink_risk.domain.policy import Policy, PolicyDraft, compile_policy
from ledgerlink_risk.domain.verdicts import Inputs, decide, to_bytes
from ledgerlink_risk.queries.policies import policy_of
from ledgerlink_risk.runtime import Runtime
from ledgerlink_risk.store import cases, decisions, lists, policies
from ledgerlink_risk.store.signals import VELOCITY, Gathered, Known, gather

_CANCELED: Final = "57014"
_ONE_PER_ID: Final = frozenset({"pk_events", "pk_decisions", "pk_cases", "uq_cases_decision_id"})
"""Constraints that only another order with the same id can hit; PostgreSQL does not say which comes first."""


class DecisionIdReused(Refused):
    """The id belongs to a decision about another event, or for another caller; member `differs` names what."""

    def __init__(self, differs: list[str]) -> None:
        super().__init__(
            Kind.CONFLICT, "id-reused", "This id belongs to a decision about another event.", differs=differs
        )


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision's stored answer, byte for byte; `verdict` when it was made just now, none for a replay."""

    answer: bytes
    verdict: Verdict | None

    @property
    def replayed(self) -> bool:
        """Whether the decision was made before."""
        return self.verdict is None


class _VelocitiesLate(Exception):
    """The velocities took longer than a decision waits; its transaction is rolled back."""


# -- the policy in force -----------------------------------------------------------------------------------------------


def fingerprint_of(draft: PolicyDraft) -> bytes:
    """Give the SHA-256 of a policy's content, whatever its version."""
    content = {
        "rules": [
            [
                rule.rule,
                rule.version,
                rule.reason,
                sorted(kind.value for kind in rule.kinds),
                rule.condition,
                rule.effect.value,
                rule.points,
                rule.on_missing.value,
                rule.description,
            ]
            for rule in draft.rules
        ],
        "limits": {name: dict(amounts) for name, amounts in draft.limits.items()},
        "review_at": draft.review_at,
        "on_degraded": draft.on_degraded.value,
    }
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).digest()


async def install_policy(runtime: Runtime, draft: PolicyDraft, *, origin: str = "stock") -> int:
    """Bring a policy into force unless it is, and give its version. Raises `PolicyRefused`.

    The stock policy never replaces one that an operator made. A rule that is stored under the same name and version
    with another content is a `Defect`: rules are never changed, they get a new version.
    """
    compile_policy(1, draft)
    fingerprint = fingerprint_of(draft)

    async def body(tx: Tx) -> int:
        await policies.lock_policies(tx)
        latest = await policies.latest_policy(tx)
        if latest is not None and (
            latest.fingerprint == fingerprint or (origin, latest.origin) == ("stock", "operator")
        ):
            return int(latest.version)
        now = runtime.clock.now()
        for rule in draft.rules:
            stored = await policies.find_rule(tx, rule.rule, rule.version)
            if stored is None:
                await policies.insert_rule(tx, rule, now)
            elif stored != rule:
                raise Defect(f"Rule {rule.rule} version {rule.version} is stored with another content.")
        version = 1 if latest is None else int(latest.version) + 1
        await policies.insert_policy(tx, version, draft, origin=origin, fingerprint=fingerprint, now=now)
        return version

    with span("install policy"):
        version = await runtime.db.retrying(body)
    structlog.get_logger().info("policy_in_force", version=version, origin=origin)
    return version


async def _current_policy(runtime: Runtime, tx: Tx) -> Policy:
    """Give the policy believed to be in force; gathering says whether it still is."""
    if runtime.policies.current is None:
        latest = await policies.latest_policy(tx)
        if latest is None:
            raise Unavailable("policy-missing", "No policy is in force yet; try again.")
        runtime.policies.current = await policy_of(runtime, tx, latest.version)
    return runtime.policies.current


# -- decide ------------------------------------------------------------------------------------------------------------


async def decide_event(runtime: Runtime, decision: DecisionId, event: EventFacts, caller: str) -> Decided:
    """Decide about an event once under an id, and give the stored answer.

    Refuses `OccurredOutOfRange`, `DecisionIdReused`. A part that is late is left out and named in the reasons; the
    verdict is never missing.
    """
    started = runtime.clock.monotonic()
    with span("decide", kind=event.kind.value):
        async with runtime.turns.of(event.customer):
            decided = await _decide_in_time(runtime, decision, event, caller)
    metrics.seconds.observe(runtime.clock.monotonic() - started)
    if decided.verdict is not None:
        metrics.decisions.labels(event.kind.value, decided.verdict.value).inc()
    return decided


async def _decide_in_time(runtime: Runtime, decision: DecisionId, event: EventFacts, caller: str) -> Decided:
    try:
        return await _decide_or_meet(runtime, decision, event, caller, velocities=True)
    except _VelocitiesLate:
        metrics.degraded.labels(VELOCITY).inc()
        structlog.get_logger().warning("signals_late", part=VELOCITY, decision=str(decision))
    return await _decide_or_meet(runtime, decision, event, caller, velocities=False)


async def _decide_or_meet(
    runtime: Runtime, decision: DecisionId, event: EventFacts, caller: str, *, velocities: bool
) -> Decided:
    """Decide; when another customer's order takes the same id at the same moment, meet what it stored."""

    async def body(tx: Tx) -> Decided:
        return await _decide(runtime, tx, decision, event, caller, velocities=velocities)

    try:
        return await runtime.db.retrying(body)
    except IntegrityError as error:
        if constraint_name(error) not in _ONE_PER_ID:
            raise
    return await runtime.db.retrying(body)


async def _decide(
    runtime: Runtime, tx: Tx, decision: DecisionId, event: EventFacts, caller: str, *, velocities: bool
) -> Decided:
    now = runtime.clock.now()
    moment = occurred_at(event, now)
    policy = await _current_policy(runtime, tx)
    patience_ms = runtime.velocity_timeout_ms if velocities else STATEMENT_TIMEOUT_MS
    await decisions.lock_customer(tx, event.customer, patience_ms)
    gathered = await _gather(tx, policy, decision.uuid, event, moment, velocities=velocities, now=now)
    if gathered.policy_version != policy.version:
        assert gathered.policy_version is not None, "policies are never deleted"
        policy = runtime.policies.current = await policy_of(runtime, tx, gathered.policy_version)
        gathered = await _gather(tx, policy, decision.uuid, event, moment, velocities=velocities, now=now)
    if gathered.known is not None:
        return _met(gathered.known, event, caller)
    inputs = Inputs(
        decision=decision,
        decided_at=now,
        policy_version=policy.version,
        event=event,
        occurred_at=moment,
        signals=gathered.signals,
        degraded=() if velocities else (VELOCITY,),
    )
    view = decide(policy, inputs)
    answer = to_bytes(view)
    await decisions.insert_decision(tx, inputs, view, answer=answer, caller=caller)
    if view.case is not None:
        opened = CaseOpened(case=view.case, decision=decision, subject=event.subject)
        await record(tx, opened, aggregate=str(view.case), now=now)
    return Decided(answer, view.verdict)


async def _gather(
    tx: Tx, policy: Policy, decision: UUID, event: EventFacts, moment: datetime, *, velocities: bool, now: datetime
) -> Gathered:
    try:
        return await gather(tx, policy, decision, event, moment, velocities=velocities, now=now)
    except DBAPIError as error:
        if velocities and sqlstate(error) == _CANCELED:
            raise _VelocitiesLate from error
        raise


def _met(known: Known, event: EventFacts, caller: str) -> Decided:
    """Answer with what stands under the id, if it is about the same event for the same caller."""
    stored = Inputs.from_json(known.inputs)
    differs = differences(stored.event, event) + ([] if known.caller == caller else ["caller"])
    if differs:
        raise DecisionIdReused(differs)
    return Decided(known.answer, None)


# -- cases -------------------------------------------------------------------------------------------------------------


async def resolve_case(runtime: Runtime, case: CaseId, order: ResolveOrder, approver: Approver, once: Once) -> Reply:
    """Resolve a case by a person, once; says `risk.case.resolved`.

    Refuses, in this order: `UnknownCase`, `ApproverNotAPerson`, `CaseAlreadyResolved`.
    """

    async def work(tx: Tx) -> CaseView:
        view = await cases.lock_case(tx, case)
        if view is None:
            raise UnknownCase(case)
        now = runtime.clock.now()
        resolved, event = resolve(view, order, approver, now)
        await cases.store_resolution(tx, resolved)
        await record(tx, event, aggregate=str(case), now=now)
        return resolved

    with span("resolve case"):
        reply = await run_once(runtime.db, once, work, lambda view: json_reply(200, view))
    if not reply.replayed and reply.status == 200:
        metrics.resolved.labels(order.resolution.value).inc()
    return reply


# -- lists -------------------------------------------------------------------------------------------------------------


async def put_entry(runtime: Runtime, name: str, value: str, order: EntryOrder, by: str) -> Entry:
    """Put a value on a list that a rule reads, or give its entry another note or end.

    The same order again changes nothing. An entry that is replaced stays in the books as removed. Refuses, in this
    order: `UnknownList`, `ExpiresInThePast`.
    """

    async def body(tx: Tx) -> Entry:
        await _require_list(runtime, tx, name)
        now = runtime.clock.now()
        if order.expires_at is not None and order.expires_at <= now:
            raise ExpiresInThePast
        present = await lists.lock_entry(tx, name, value)
        if present is not None:
            if (present.note, present.expires_at) == (order.note, order.expires_at):
                return lists.entry_of(present)
            await lists.remove_entry(tx, present.id, by=by, now=now)
        entry = await lists.insert_entry(
            tx, name=name, value=value, note=order.note, expires_at=order.expires_at, by=by, now=now
        )
        return lists.entry_of(entry)

    with span("put list entry"):
        return await runtime.db.retrying(body)


async def remove_entry(runtime: Runtime, name: str, value: str, by: str) -> None:
    """Take a value off a list. Refuses, in this order: `UnknownList`, `UnknownEntry`."""

    async def body(tx: Tx) -> None:
        await _require_list(runtime, tx, name)
        present = await lists.lock_entry(tx, name, value)
        if present is None:
            raise UnknownEntry
        await lists.remove_entry(tx, present.id, by=by, now=runtime.clock.now())

    with span("remove list entry"):
        await runtime.db.retrying(body)


async def _require_list(runtime: Runtime, tx: Tx, name: str) -> None:
    latest = await policies.latest_policy(tx)
    policy = await policy_of(runtime, tx, latest.version) if latest is not None else None
    known = sorted({listed.name for listed in policy.listed}) if policy is not None else []
    if name not in known:
        raise UnknownList(name, known)
