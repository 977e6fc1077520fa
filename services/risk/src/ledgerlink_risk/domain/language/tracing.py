"""A condition that says why: the same truth as `closures`, with the clauses that carried it.

The skeleton of a rule is its `&&`, `||`, `!` and `?:` from the top down; its leaves are clauses. The clauses of an
outcome are those that suffice for it: all operands of a true `&&`, the first true one of a true `||`, the missing
ones of a missing condition.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ledgerlink_risk.domain.language import ir
from ledgerlink_risk.domain.language.closures import Frame, value_of
from ledgerlink_risk.domain.language.values import Missing, shown


@dataclass(frozen=True, slots=True)
class Clause:
    """A leaf as it was found: its text, its truth, and its two sides where it has them.

    Its faces are texts, written only when somebody reads them: most rules do not fire.
    """

    text: str
    truth: Any
    left: Any
    right: Any = None

    @property
    def value(self) -> str | None:
        """The left side as text, or the whole of a leaf without sides; absent when missing."""
        return _side(self.left)

    @property
    def threshold(self) -> str | None:
        """The right side as text; absent when missing, or when the leaf has no sides."""
        return None if self.right is None else _side(self.right)

    @property
    def missing(self) -> tuple[str, ...]:
        """What kept the leaf from an answer, sorted."""
        return tuple(sorted(self.truth.names)) if type(self.truth) is Missing else ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """True, False or Missing, and the clauses that suffice for it."""

    truth: bool | Missing
    clauses: tuple[Clause, ...]


Traced: TypeAlias = Callable[[Frame], Outcome]


def traced(node: ir.Expression, source: str) -> Traced:
    """Compile a condition to a closure that gives its outcome."""
    match node:
        case ir.Logic():
            return _logic(tuple(traced(operand, source) for operand in node.operands), every=node.every)
        case ir.Not():
            return _negated(traced(node.operand, source))
        case ir.Choose():
            return _chosen(traced(node.condition, source), traced(node.then, source), traced(node.otherwise, source))
        case ir.Apply(sides=True):
            return _comparison(node, source)
        case _:
            return _leaf(node, source)


def _text(node: ir.Expression, source: str) -> str:
    """Cut the clause out of the rule, on one line."""
    return " ".join(source[node.span.start : node.span.end].split())


def _comparison(node: ir.Apply, source: str) -> Traced:
    left, right = map(value_of, node.arguments)
    run, text = node.run, _text(node, source)

    def outcome(frame: Frame) -> Outcome:
        a, b = left(frame), right(frame)
        if type(a) is Missing or type(b) is Missing:
            truth = a | b if type(a) is Missing and type(b) is Missing else a if type(a) is Missing else b
        else:
            truth = run(a, b)
        return Outcome(truth, (Clause(text, truth, a, b),))

    return outcome


def _leaf(node: ir.Expression, source: str) -> Traced:
    closure, text = value_of(node), _text(node, source)

    def outcome(frame: Frame) -> Outcome:
        truth = closure(frame)
        return Outcome(truth, (Clause(text, truth, truth),))

    return outcome


def _side(value: Any) -> str | None:
    return None if type(value) is Missing else shown(value)


def _logic(operands: tuple[Traced, ...], *, every: bool) -> Traced:
    deciding = not every

    def outcome(frame: Frame) -> Outcome:
        absent: Missing | None = None
        neutral: tuple[Clause, ...] = ()
        lacking: tuple[Clause, ...] = ()
        for operand in operands:
            part = operand(frame)
            if part.truth is deciding:
                return part
            if type(part.truth) is Missing:
                absent = part.truth if absent is None else absent | part.truth
                lacking += part.clauses
            else:
                neutral += part.clauses
        return Outcome(every, neutral) if absent is None else Outcome(absent, lacking)

    return outcome


def _negated(operand: Traced) -> Traced:
    def outcome(frame: Frame) -> Outcome:
        part = operand(frame)
        return part if type(part.truth) is Missing else Outcome(not part.truth, part.clauses)

    return outcome


def _chosen(condition: Traced, then: Traced, otherwise: Traced) -> Traced:
    def outcome(frame: Frame) -> Outcome:
        chosen = condition(frame)
        if type(chosen.truth) is Missing:
            return chosen
        part = then(frame) if chosen.truth else otherwise(frame)
        return part if type(part.truth) is Missing else Outcome(part.truth, chosen.clauses + part.clauses)

    return outcome
