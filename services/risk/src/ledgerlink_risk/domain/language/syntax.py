"""What the parser builds: the tree of a rule as it was written, each node with its place."""

from dataclasses import dataclass
from typing import TypeAlias

from ledgerlink_risk.domain.language.source import Span


@dataclass(frozen=True, slots=True)
class Literal:
    """A bool, an int (sign included), a float or a text."""

    value: bool | int | float | str
    span: Span


@dataclass(frozen=True, slots=True)
class Name:
    """A fact or a variable of `exists`/`all`."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`."""

    operand: "Node"
    field: str
    span: Span


@dataclass(frozen=True, slots=True)
class Index:
    """`operand[key]`."""

    operand: "Node"
    key: "Node"
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    """`function(arguments)`, or `target.function(arguments)`."""

    function: str
    target: "Node | None"
    arguments: "tuple[Node, ...]"
    span: Span


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator and its operands; `&&` and `||` take the whole chain, the others one or two."""

    sign: str
    operands: "tuple[Node, ...]"
    span: Span
    sign_span: Span


@dataclass(frozen=True, slots=True)
class Conditional:
    """`condition ? then : otherwise`."""

    condition: "Node"
    then: "Node"
    otherwise: "Node"
    span: Span


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[item, …]`."""

    items: "tuple[Node, ...]"
    span: Span


@dataclass(frozen=True, slots=True)
class MapOf:
    """`{key: value, …}`."""

    entries: "tuple[tuple[Node, Node], ...]"
    span: Span


Node: TypeAlias = Literal | Name | Select | Index | Call | Operation | Conditional | ListOf | MapOf


def parts(node: Node) -> tuple[Node, ...]:
    """Give the parts of a node, in their order."""
    match node:
        case Literal() | Name():
            return ()
        case Select():
            return (node.operand,)
        case Index():
            return (node.operand, node.key)
        case Call():
            return node.arguments if node.target is None else (node.target, *node.arguments)
        case Operation():
            return node.operands
        case Conditional():
            return (node.condition, node.then, node.otherwise)
        case ListOf():
            return node.items
        case _:
            return tuple(part for entry in node.entries for part in entry)
