"""The rule language: a documented profile of CEL (see `README.md` of the service), compiled to closures with reasons.

`compile_condition` is the whole interface: text and declared facts in, a `Condition` out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledgerlink_risk.domain.language import ir
from ledgerlink_risk.domain.language.checker import FactDeclaration, Vocabulary, check
from ledgerlink_risk.domain.language.closures import Closure, Frame, value_of
from ledgerlink_risk.domain.language.cost import check_cost, signals_of
from ledgerlink_risk.domain.language.parser import parse
from ledgerlink_risk.domain.language.source import RuleDoesNotCompile
from ledgerlink_risk.domain.language.tracing import Outcome, Traced, traced
from ledgerlink_risk.domain.language.types import BOOL


@dataclass(frozen=True, slots=True)
class Condition:
    """A compiled rule text: what it reads, the most steps it takes, and how to judge it."""

    source: str
    signals: frozenset[ir.Signal]
    cost: int
    _traced: Traced

    def judge(self, facts: Mapping[str, Any], signals: Mapping[ir.Signal, Any]) -> Outcome:
        """Evaluate over one event's facts (absent ones left out) and its gathered signals."""
        return self._traced(Frame(facts, signals))


def compile_condition(source: str, vocabulary: Vocabulary) -> Condition:
    """Compile a rule's text. Raises `RuleDoesNotCompile`, which shows the place."""
    tree = check(parse(source), source, vocabulary)
    if tree.type != BOOL:
        raise RuleDoesNotCompile(f"A rule is a condition; this gives {tree.type}", source, tree.span)
    return Condition(source, signals_of(tree), check_cost(tree, source), traced(tree, source))


def compile_value(source: str, vocabulary: Vocabulary) -> Closure:
    """Compile a text of any type to a closure over a `Frame`, without reasons."""
    tree = check(parse(source), source, vocabulary)
    check_cost(tree, source)
    return value_of(tree)


__all__ = [
    "Closure",
    "Condition",
    "FactDeclaration",
    "Frame",
    "Outcome",
    "RuleDoesNotCompile",
    "Vocabulary",
    "compile_condition",
    "compile_value",
]
