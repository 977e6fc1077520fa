"""What a PromQL expression reads, metrics with the labels that it needs of them, and which labels it gives."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import promql_parser as pq

OF_TARGETS = frozenset({"job", "instance", "role"})
"""Labels that no process gives its metrics: Prometheus adds them from the list of targets."""

Known = Callable[[str], frozenset[str] | None]
"""The labels of a metric by its name; none when no such metric exists."""


@dataclass(frozen=True, slots=True)
class Use:
    """A metric as an expression names it, with every label that stands in its matchers or in a grouping around it."""

    metric: str
    labels: frozenset[str]


def uses(expression: str) -> list[Use]:
    """List what an expression reads; raises `ValueError` when it is no PromQL, or wants a label that it groups away."""
    return list(_walk(pq.parse(expression), frozenset()))


def faults(expression: str, known: Known) -> list[str]:
    """Say which metrics and labels an expression names that do not exist."""
    found: list[str] = []
    for use in uses(expression):
        labels = known(use.metric)
        if labels is None:
            found.append(f"no process and no rule gives {use.metric}")
        else:
            found.extend(f"{use.metric} has no label {label}" for label in sorted(use.labels - labels))
    return found


def gives(expression: str, known: Known) -> frozenset[str]:
    """The labels of what an expression gives."""
    return _gives(pq.parse(expression), known)


def _walk(node: object, wanted: frozenset[str]) -> Iterator[Use]:
    """Go down to the selectors, and carry along the labels that the way there needs."""
    match node:
        case pq.VectorSelector():
            matched = {matcher.name for matcher in node.matchers.matchers}
            yield Use(node.name or "", wanted | matched)
        case pq.MatrixSelector():
            yield from _walk(node.vector_selector, wanted)
        case pq.AggregateExpr():
            kept = _grouping(node.modifier)
            if wanted - kept:
                raise ValueError(f"{', '.join(sorted(wanted - kept))}: wanted outside, but grouped away inside")
            yield from _walk(node.expr, kept)
        case pq.Call():
            more = frozenset({"le"}) if node.func.name == "histogram_quantile" else frozenset[str]()
            for argument in node.args:
                yield from _walk(argument, wanted | more)
        case pq.BinaryExpr():
            for side in (node.lhs, node.rhs):
                yield from _walk(side, wanted)
        case pq.ParenExpr() | pq.UnaryExpr() | pq.SubqueryExpr():
            yield from _walk(node.expr, wanted)
        case _:
            return


def _gives(node: object, known: Known) -> frozenset[str]:
    match node:
        case pq.VectorSelector():
            return known(node.name or "") or frozenset()
        case pq.MatrixSelector():
            return _gives(node.vector_selector, known)
        case pq.AggregateExpr():
            return _grouping(node.modifier)
        case pq.Call():
            given = frozenset[str]().union(*(_gives(argument, known) for argument in node.args))
            return given - {"le"} if node.func.name == "histogram_quantile" else given
        case pq.BinaryExpr():
            return _gives(node.lhs, known) or _gives(node.rhs, known)
        case pq.ParenExpr() | pq.UnaryExpr() | pq.SubqueryExpr():
            return _gives(node.expr, known)
        case _:
            return frozenset()


def _grouping(modifier: pq.AggModifier | None) -> frozenset[str]:
    """The labels that a grouping keeps. The house groups by what it wants: ``without`` is refused with `ValueError`."""
    if modifier is None:
        return frozenset()
    if modifier.type != pq.AggModifierType.By:
        raise ValueError("group by the labels that are wanted: what `without` leaves depends on the targets")
    return frozenset(modifier.labels)
