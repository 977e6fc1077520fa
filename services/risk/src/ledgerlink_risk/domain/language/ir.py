"""The typed tree that every back end reads: what the checker has understood, with nothing left to look up.

Signals are named here by value objects, so that whoever gathers them (and whoever repeats a decision) knows from the
compiled rule alone which are needed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from ledgerlink_risk.domain.language.source import Span
from ledgerlink_risk.domain.language.types import Type


class Measure(StrEnum):
    """What a velocity counts over the events of one entity in a window."""

    SUM = "sum"
    COUNT = "count"
    DISTINCT = "distinct"
    DECLINED = "declined"


class Entity(StrEnum):
    """Whose events are counted."""

    CUSTOMER = "customer"
    PAYMENT_METHOD = "payment_method"
    DESTINATION = "destination"


class Window(StrEnum):
    """How far back, ending with the event itself."""

    HOUR = "1h"
    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"


WINDOW_SECONDS = {Window.HOUR: 3600, Window.DAY: 86_400, Window.WEEK: 604_800, Window.MONTH: 2_592_000}


@dataclass(frozen=True, slots=True, order=True)
class Velocity:
    """`velocity(measure, entity, window)`."""

    measure: Measure
    entity: Entity
    window: Window

    def __str__(self) -> str:
        return f"velocity({self.measure.value},{self.entity.value},{self.window.value})"


@dataclass(frozen=True, slots=True, order=True)
class Listed:
    """`fact in list(name)`: whether the value of `fact` stands on the list."""

    name: str
    fact: str

    def __str__(self) -> str:
        return f"list({self.name},{self.fact})"


@dataclass(frozen=True, slots=True, order=True)
class NewPayee:
    """`new_payee`: the customer has no earlier event with this destination."""

    def __str__(self) -> str:
        return "new_payee"


Signal: TypeAlias = Velocity | Listed | NewPayee


@dataclass(frozen=True, slots=True)
class Constant:
    """A value known while compiling."""

    value: Any
    type: Type
    span: Span


@dataclass(frozen=True, slots=True)
class Fact:
    """A field of the event; missing by its name when absent."""

    name: str
    type: Type
    span: Span


@dataclass(frozen=True, slots=True)
class SignalOf:
    """A signal; missing by its name when it could not be gathered."""

    signal: Signal
    type: Type
    span: Span


@dataclass(frozen=True, slots=True)
class Local:
    """The variable of an enclosing `exists` or `all`, by its slot."""

    slot: int
    type: Type
    span: Span


@dataclass(frozen=True, slots=True)
class Apply:
    """A strict operation: missing when any argument is. `sides` says that its two arguments are value and threshold."""

    run: Callable[..., Any]
    arguments: "tuple[Expression, ...]"
    type: Type
    span: Span
    cost: int = 1
    sides: bool = False


@dataclass(frozen=True, slots=True)
class Logic:
    """`&&` (every) or `||` over its operands, in Kleene's three-valued logic: a decided answer wins over missing."""

    every: bool
    operands: "tuple[Expression, ...]"
    type: Type
    span: Span


@dataclass(frozen=True, slots=True)
class Not:
    """`!`; missing stays missing."""

    operand: "Expression"
    type: Type
    span: Span


@dataclass(frozen=True, slots=True)
class Choose:
    """`condition ? then : otherwise`; missing when the condition is."""

    condition: "Expression"
    then: "Expression"
    otherwise: "Expression"
    type: Type
    span: Span


@dataclass(frozen=True, slots=True)
class MakeList:
    """A list literal."""

    items: "tuple[Expression, ...]"
    type: Type
    span: Span


@dataclass(frozen=True, slots=True)
class MakeMap:
    """A map literal with constant keys."""

    keys: tuple[str, ...]
    values: "tuple[Expression, ...]"
    type: Type
    span: Span


@dataclass(frozen=True, slots=True)
class Quantify:
    """`range.all(v, body)` (every) or `range.exists(v, body)`; at most `bound` rounds."""

    every: bool
    slot: int
    range: "Expression"
    body: "Expression"
    bound: int
    type: Type
    span: Span


@dataclass(frozen=True, slots=True)
class Has:
    """`has(…)`: whether an optional fact, or an entry of a map, is there. Never missing for a plain fact."""

    operand: "Expression"
    key: str | None
    type: Type
    span: Span


Expression: TypeAlias = (
    Constant | Fact | SignalOf | Local | Apply | Logic | Not | Choose | MakeList | MakeMap | Quantify | Has
)
