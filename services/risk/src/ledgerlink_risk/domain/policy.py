"""Rules and the policy that puts them in force: versioned, immutable, compiled once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ledgerlink_contracts.risk.models import EventKind
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_risk.domain.events import FACTS
from ledgerlink_risk.domain.language import Condition, RuleDoesNotCompile, Vocabulary, compile_condition
from ledgerlink_risk.domain.language.ir import Listed, NewPayee, Signal, Velocity
from ledgerlink_risk.domain.language.values import Money

RULES_MAX: Final = 200
"""Most rules of one policy."""

POINTS_MAX: Final = 100
"""Highest score, and highest points of one rule."""


class Effect(StrEnum):
    """What a rule does when its condition holds. They are weighed in this order, the first present decides."""

    DECLINE = "decline"
    ALLOW = "allow"
    REVIEW = "review"
    SCORE = "score"


class OnMissing(StrEnum):
    """What a rule does when its condition is neither true nor false because facts are missing."""

    SKIP = "skip"
    REVIEW = "review"
    DECLINE = "decline"


class OnDegraded(StrEnum):
    """What the policy does when a part of the answer was late: go on without it, or send to a person."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Rule:
    """One versioned predicate. `reason` is the code that callers read; `points` (0-100) add to the score."""

    rule: str
    version: int
    reason: str
    kinds: frozenset[EventKind]
    condition: str
    effect: Effect
    points: int
    description: str
    on_missing: OnMissing = OnMissing.SKIP

    def __post_init__(self) -> None:
        assert 0 <= self.points <= POINTS_MAX, "points are 0 to 100"
        assert self.version >= 1, "versions count from 1"
        assert self.kinds, "a rule without a kind would never run"


@dataclass(frozen=True, slots=True)
class PolicyDraft:
    """A policy before it has a version: its rules in order, its limits, and what it does at the edges."""

    rules: tuple[Rule, ...]
    limits: Mapping[str, Mapping[str, int]]
    review_at: int
    on_degraded: OnDegraded


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """A rule with its condition ready to judge."""

    rule: Rule
    condition: Condition


@dataclass(frozen=True, slots=True)
class Policy:
    """The set of rules in force: compiled, with everything it needs to be told about an event."""

    version: int
    draft: PolicyDraft
    rules: tuple[CompiledRule, ...]
    signals: Mapping[str, Signal] = field(repr=False)

    @property
    def velocities(self) -> tuple[Velocity, ...]:
        """The velocities to gather, in a fixed order."""
        return tuple(sorted(signal for signal in self.signals.values() if isinstance(signal, Velocity)))

    @property
    def listed(self) -> tuple[Listed, ...]:
        """The list memberships to look up, in a fixed order."""
        return tuple(sorted(signal for signal in self.signals.values() if isinstance(signal, Listed)))

    @property
    def wants_new_payee(self) -> bool:
        """Whether any rule asks if the payee is new to the customer."""
        return any(isinstance(signal, NewPayee) for signal in self.signals.values())


class PolicyRefused(Refused):
    """The rules do not make a policy; member `rule` names the first that does not fit."""

    def __init__(self, rule: str, why: str) -> None:
        super().__init__(Kind.UNPROCESSABLE, "policy-refused", f"Rule {rule!r}: {why}", rule=rule)


def compile_policy(version: int, draft: PolicyDraft) -> Policy:
    """Compile every rule of a draft. Raises `PolicyRefused` with the rule's name and the place in its text."""
    if len(draft.rules) > RULES_MAX:
        raise PolicyRefused(draft.rules[RULES_MAX].rule, f"a policy has at most {RULES_MAX} rules.")
    limits = {
        name: {currency: Money(minor, currency) for currency, minor in amounts.items()}
        for name, amounts in draft.limits.items()
    }
    vocabulary = Vocabulary(FACTS, limits)
    compiled: list[CompiledRule] = []
    seen: set[str] = set()
    for rule in draft.rules:
        if rule.rule in seen:
            raise PolicyRefused(rule.rule, "stands twice in the policy.")
        seen.add(rule.rule)
        try:
            compiled.append(CompiledRule(rule, compile_condition(rule.condition, vocabulary)))
        except RuleDoesNotCompile as refusal:
            raise PolicyRefused(rule.rule, refusal.detail) from refusal
    signals = sorted({str(signal): signal for one in compiled for signal in one.condition.signals}.items())
    return Policy(version, draft, tuple(compiled), dict(signals))
