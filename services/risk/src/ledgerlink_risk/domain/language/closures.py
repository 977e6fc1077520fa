"""Typed tree to Python closures: the values of expressions, without a trace.

A closure takes a `Frame` and gives a value or `Missing`. Constant parts are computed once, here. User text never
reaches `eval` or `exec`: the closures are ours, only the constants in them come from the rule.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ledgerlink_risk.domain.language import ir
from ledgerlink_risk.domain.language.values import Missing, missing, united


@dataclass(slots=True)
class Frame:
    """What one evaluation reads: facts by name (absent ones left out), gathered signals, variables by slot."""

    facts: Mapping[str, Any]
    signals: Mapping[ir.Signal, Any]
    variables: dict[int, Any] = field(default_factory=lambda: {})  # noqa: PIE807  # pyright wants the type


Closure: TypeAlias = Callable[[Frame], Any]

_NOTHING_KNOWN: Final = Frame({}, {})


def value_of(node: ir.Expression) -> Closure:
    """Compile an expression to a closure that gives its value or `Missing`."""
    match node:
        case ir.Constant():
            return _constant(node.value)
        case ir.Fact():
            return _looked_up(node.name)
        case ir.SignalOf():
            return _signal(node.signal)
        case ir.Local():
            return _variable(node.slot)
        case ir.Apply():
            return _apply(node)
        case ir.Logic():
            return fold(tuple(map(value_of, node.operands)), every=node.every)
        case ir.Not():
            return _not(value_of(node.operand))
        case ir.Choose():
            return _choose(value_of(node.condition), value_of(node.then), value_of(node.otherwise))
        case ir.MakeList():
            return _make_list(node)
        case ir.MakeMap():
            return _make_map(node)
        case ir.Quantify():
            return _quantify(node)
        case _:
            return _has(node)


def _constant(value: Any) -> Closure:
    return lambda _frame: value


def _looked_up(name: str) -> Closure:
    absent = missing(name)
    return lambda frame: frame.facts.get(name, absent)


def _signal(signal: ir.Signal) -> Closure:
    absent = missing(str(signal))
    return lambda frame: frame.signals.get(signal, absent)


def _variable(slot: int) -> Closure:
    return lambda frame: frame.variables[slot]


def _apply(node: ir.Apply) -> Closure:
    run = node.run
    parts = tuple(map(value_of, node.arguments))
    if len(parts) == 1:
        only = parts[0]

        def one(frame: Frame) -> Any:
            value = only(frame)
            return value if type(value) is Missing else run(value)

        return one
    left, right = parts

    def two(frame: Frame) -> Any:
        a, b = left(frame), right(frame)
        if type(a) is Missing or type(b) is Missing:
            return united((a, b))
        return run(a, b)

    return two


def fold(parts: tuple[Closure, ...], *, every: bool) -> Closure:
    """Make `&&` (every) or `||`: a deciding operand decides, else missing when any is, else the neutral value."""
    deciding = not every

    def run(frame: Frame) -> bool | Missing:
        absent: Missing | None = None
        for part in parts:
            value = part(frame)
            if value is deciding:
                return deciding
            if type(value) is Missing:
                absent = value if absent is None else absent | value
        return every if absent is None else absent

    return run


def _not(operand: Closure) -> Closure:
    def run(frame: Frame) -> bool | Missing:
        value = operand(frame)
        return value if type(value) is Missing else not value

    return run


def _choose(condition: Closure, then: Closure, otherwise: Closure) -> Closure:
    def run(frame: Frame) -> Any:
        chosen = condition(frame)
        if type(chosen) is Missing:
            return chosen
        return then(frame) if chosen else otherwise(frame)

    return run


def _make_list(node: ir.MakeList) -> Closure:
    parts = tuple(map(value_of, node.items))

    def run(frame: Frame) -> Any:
        values = tuple(part(frame) for part in parts)
        absent = united(values)
        return values if absent is None else absent

    return _once(run, node.items)


def _make_map(node: ir.MakeMap) -> Closure:
    parts = tuple(map(value_of, node.values))
    keys = node.keys

    def run(frame: Frame) -> Any:
        values = [part(frame) for part in parts]
        absent = united(values)
        return dict(zip(keys, values, strict=True)) if absent is None else absent

    return _once(run, node.values)


def _once(closure: Closure, parts: tuple[ir.Expression, ...]) -> Closure:
    """Compute a literal of constants now instead of at each evaluation."""
    if all(isinstance(part, ir.Constant) for part in parts):
        return _constant(closure(_NOTHING_KNOWN))
    return closure


def _quantify(node: ir.Quantify) -> Closure:
    over, body, slot, every = value_of(node.range), value_of(node.body), node.slot, node.every
    deciding = not every

    def run(frame: Frame) -> bool | Missing:
        items = over(frame)
        if type(items) is Missing:
            return items
        absent: Missing | None = None
        for item in items:
            frame.variables[slot] = item
            value = body(frame)
            if value is deciding:
                return deciding
            if type(value) is Missing:
                absent = value if absent is None else absent | value
        return every if absent is None else absent

    return run


def _has(node: ir.Has) -> Closure:
    operand, key = value_of(node.operand), node.key
    if key is None:
        return lambda frame: type(operand(frame)) is not Missing

    def run(frame: Frame) -> bool | Missing:
        entries = operand(frame)
        return entries if type(entries) is Missing else key in entries

    return run
