"""The verdict: a pure function of the policy and the inputs, so that any stored decision can be made again.

Order of weight: a rule that declines, then one that allows, then one that asks for review, a score at or above the
policy's bound, or a degraded part under a closed policy; else approve. Every rule that fired gives its reasons, in the
policy's order, whatever the verdict.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast

import orjson

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_contracts.risk.models import DecisionView, EventFacts, Reason, Verdict
from ledgerlink_risk.domain.events import facts_of
from ledgerlink_risk.domain.language import Outcome
from ledgerlink_risk.domain.language.ir import Signal
from ledgerlink_risk.domain.language.values import Missing, Money
from ledgerlink_risk.domain.policy import POINTS_MAX, Effect, OnDegraded, OnMissing, Policy, Rule

DEGRADED: Final = "degraded"
SCORED: Final = "score-above-limit"

_MISSING_EFFECT: Final = {OnMissing.REVIEW: Effect.REVIEW, OnMissing.DECLINE: Effect.DECLINE}


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that a verdict hangs on beside the policy.

    `event` as it was given, `occurred_at` as it was understood; `signals` by their texts; `degraded` names the parts
    that could not be gathered (their signals are then absent).
    """

    decision: DecisionId
    decided_at: datetime
    policy_version: int
    event: EventFacts
    occurred_at: datetime
    signals: dict[str, Any]
    degraded: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """Write the inputs canonically: the same inputs give the same bytes."""
        document = {
            "decision": str(self.decision),
            "decided_at": self.decided_at.isoformat(),
            "policy_version": self.policy_version,
            "event": self.event.model_dump(mode="json"),
            "occurred_at": self.occurred_at.isoformat(),
            "signals": {name: _written(value) for name, value in self.signals.items()},
            "degraded": list(self.degraded),
        }
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def from_json(cls, raw: bytes) -> "Inputs":
        """Read what `to_json` wrote."""
        document = orjson.loads(raw)
        return cls(
            decision=DecisionId.parse(document["decision"]),
            decided_at=datetime.fromisoformat(document["decided_at"]),
            policy_version=document["policy_version"],
            event=EventFacts.model_validate_json(orjson.dumps(document["event"])),
            occurred_at=datetime.fromisoformat(document["occurred_at"]),
            signals={name: _read(value) for name, value in document["signals"].items()},
            degraded=tuple(document["degraded"]),
        )


def _written(value: Any) -> Any:
    return {"minor": value.minor, "currency": value.currency} if isinstance(value, Money) else value


def _read(value: Any) -> Any:
    if isinstance(value, dict):
        amount = cast(dict[str, Any], value)
        return Money(amount["minor"], amount["currency"])
    return value


@dataclass(frozen=True, slots=True)
class _Fired:
    """A rule that spoke, with the effect it has this time."""

    rule: Rule
    effect: Effect
    outcome: Outcome


def decide(policy: Policy, inputs: Inputs) -> DecisionView:
    """Give the decision of `policy` on `inputs`. The case's id follows from the decision's."""
    assert policy.version == inputs.policy_version, "a decision is made by the policy that its inputs name"
    facts = facts_of(inputs.event, inputs.occurred_at)
    signals: dict[Signal, Any] = {
        signal: inputs.signals[name] for name, signal in policy.signals.items() if name in inputs.signals
    }
    fired: list[_Fired] = []
    for compiled in policy.rules:
        if inputs.event.kind in compiled.rule.kinds:
            spoken = _spoken(compiled.rule, compiled.condition.judge(facts, signals))
            if spoken is not None:
                fired.append(spoken)
    # A rule that could not be judged has an effect by its policy, but earns no points.
    score = min(POINTS_MAX, sum(one.rule.points for one in fired if one.outcome.truth is True))
    verdict = _verdict(policy, inputs, {one.effect for one in fired}, score)
    reasons = [reason for one in fired for reason in _reasons(one)]
    if score >= policy.draft.review_at and verdict is Verdict.REVIEW:
        reasons.append(_scored(policy, score))
    reasons.extend(_degraded(policy, part) for part in inputs.degraded)
    return DecisionView(
        id=inputs.decision,
        verdict=verdict,
        score=score,
        reasons=reasons,
        case=case_of(inputs.decision) if verdict is Verdict.REVIEW else None,
        subject=inputs.event.subject,
        policy_version=policy.version,
        decided_at=inputs.decided_at,
    )


def case_of(decision: DecisionId) -> CaseId:
    """Give the id of the case that a review decision opens: one per decision, the same whenever it is asked."""
    return CaseId.derive("risk.case", str(decision))


def to_bytes(view: DecisionView) -> bytes:
    """Write a decision as it is stored and answered."""
    return view.model_dump_json().encode()


def _spoken(rule: Rule, outcome: Outcome) -> _Fired | None:
    if outcome.truth is True:
        return _Fired(rule, rule.effect, outcome)
    if isinstance(outcome.truth, Missing) and rule.on_missing in _MISSING_EFFECT:
        return _Fired(rule, _MISSING_EFFECT[rule.on_missing], outcome)
    return None


def _verdict(policy: Policy, inputs: Inputs, effects: set[Effect], score: int) -> Verdict:
    if Effect.DECLINE in effects:
        return Verdict.DECLINE
    if Effect.ALLOW in effects:
        return Verdict.APPROVE
    closed = bool(inputs.degraded) and policy.draft.on_degraded is OnDegraded.CLOSED
    if Effect.REVIEW in effects or score >= policy.draft.review_at or closed:
        return Verdict.REVIEW
    return Verdict.APPROVE


def _reasons(fired: _Fired) -> list[Reason]:
    return [
        Reason(
            code=fired.rule.reason,
            rule=fired.rule.rule,
            version=fired.rule.version,
            clause=clause.text,
            value=clause.value,
            threshold=clause.threshold,
            missing=list(clause.missing),
        )
        for clause in fired.outcome.clauses
    ]


def _scored(policy: Policy, score: int) -> Reason:
    bound = policy.draft.review_at
    return Reason(
        code=SCORED,
        rule="policy",
        version=policy.version,
        clause=f"score >= {bound}",
        value=str(score),
        threshold=str(bound),
    )


def _degraded(policy: Policy, part: str) -> Reason:
    return Reason(
        code=DEGRADED,
        rule=part,
        version=policy.version,
        clause=f"{part} was late; the policy is {policy.draft.on_degraded.value}",
        missing=[str(signal) for signal in policy.velocities],
    )
