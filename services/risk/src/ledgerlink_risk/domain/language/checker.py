"""Syntax to typed tree: names are resolved, types and currencies checked, loops bounded. All refusals carry a place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from ledgerlink_kit.errors import Refused
from ledgerlink_kit.money import parse_amount, parse_currency
from ledgerlink_risk.domain.language import ir, syntax
from ledgerlink_risk.domain.language import operations as op
from ledgerlink_risk.domain.language.overloads import FUNCTIONS, METHODS, OPERATORS, Overload
from ledgerlink_risk.domain.language.regex import InvalidPattern, searcher
from ledgerlink_risk.domain.language.source import RuleDoesNotCompile, Span
from ledgerlink_risk.domain.language.types import (
    BOOL,
    DOUBLE,
    INT,
    MONEY,
    NOTHING,
    SCALARS,
    STRING,
    Type,
    list_of,
    map_of,
    meet,
    money_in,
)
from ledgerlink_risk.domain.language.values import Missing, Money

_COMPARISONS: Final = frozenset({"<", "<=", ">", ">=", "==", "!="})
_MATCH_COST: Final = 50
"""Steps of a regular expression over a text of a few hundred characters; RE2 is linear in the text."""


@dataclass(frozen=True, slots=True)
class FactDeclaration:
    """A fact that rules may name. `items_max` bounds what a list or map holds; `signal` means it must be gathered."""

    type: Type
    items_max: int = 0
    signal: ir.Signal | None = None
    listable: bool = False


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What rules may talk about: facts by name, and tables of limits, each an amount per currency."""

    facts: Mapping[str, FactDeclaration]
    limits: Mapping[str, Mapping[str, Money]] = field(default_factory=lambda: {})  # noqa: PIE807  # for the type


@dataclass(slots=True)
class _Scope:
    """Variables of the enclosing quantifiers, innermost last."""

    variables: list[tuple[str, ir.Local]] = field(default_factory=lambda: [])  # noqa: PIE807  # pyright wants the type
    slots: int = 0


def check(tree: syntax.Node, source: str, vocabulary: Vocabulary) -> ir.Expression:
    """Type a tree over a vocabulary. Raises `RuleDoesNotCompile`."""
    return _Checker(source, vocabulary).expression(tree)


class _Checker:
    """One walk over one rule."""

    def __init__(self, source: str, vocabulary: Vocabulary) -> None:
        self._source = source
        self._facts = vocabulary.facts
        self._limits = vocabulary.limits
        self._scope = _Scope()

    def expression(self, node: syntax.Node) -> ir.Expression:  # one return per kind of node
        match node:
            case syntax.Literal():
                return ir.Constant(node.value, _literal_type(node.value), node.span)
            case syntax.Name():
                return self._name(node)
            case syntax.Select():
                return self._select(node)
            case syntax.Index():
                return self._index(node)
            case syntax.Call():
                return self._call(node)
            case syntax.Operation():
                return self._operation(node)
            case syntax.Conditional():
                return self._conditional(node)
            case syntax.ListOf():
                items = tuple(self.expression(item) for item in node.items)
                return ir.MakeList(items, list_of(self._common(items)), node.span)
            case _:
                return self._map(node)

    # -- names and members -----------------------------------------------------------------------------------------

    def _name(self, node: syntax.Name) -> ir.Expression:
        for name, local in reversed(self._scope.variables):
            if name == node.name:
                return ir.Local(local.slot, local.type, node.span)
        declaration = self._facts.get(node.name)
        if declaration is None:
            known = ", ".join(sorted(self._facts))
            raise self._refusal(f"There is no fact {node.name!r}; there are {known}", node.span)
        if declaration.signal is not None:
            return ir.SignalOf(declaration.signal, declaration.type, node.span)
        return ir.Fact(node.name, declaration.type, node.span)

    def _select(self, node: syntax.Select) -> ir.Expression:
        operand = self.expression(node.operand)
        if operand.type.name == "money" and node.field in {"minor", "currency"}:
            kind = INT if node.field == "minor" else STRING
            return ir.Apply(attrgetter(node.field), (operand,), kind, node.span)
        if operand.type.name == "map" and operand.type.item is not None:
            key = ir.Constant(node.field, STRING, node.span)
            return self._entry(operand, key, node.span)
        raise self._refusal(f"A {operand.type} has no field {node.field!r}", node.span)

    def _index(self, node: syntax.Index) -> ir.Expression:
        operand, key = self.expression(node.operand), self.expression(node.key)
        if operand.type.name == "map" and key.type == STRING:
            return self._entry(operand, key, node.span)
        if operand.type.name == "list" and operand.type.item is not None and key.type == INT:
            return ir.Apply(op.item_at, (operand, key), operand.type.item, node.span)
        raise self._refusal(f"A {operand.type} cannot be indexed by {key.type}", node.span)

    def _entry(self, operand: ir.Expression, key: ir.Expression, span: Span) -> ir.Expression:
        assert operand.type.item is not None
        if isinstance(operand, ir.Fact) and isinstance(key, ir.Constant):
            # A fact's absent entry is named as the rule's author wrote it.
            name = f"{operand.name}.{key.value}"
            return ir.Apply(op.named_entry(name, str(key.value)), (operand,), operand.type.item, span)
        return ir.Apply(op.entry_at, (operand, key), operand.type.item, span)

    # -- operators -------------------------------------------------------------------------------------------------

    def _operation(self, node: syntax.Operation) -> ir.Expression:
        if node.sign == "in" and isinstance(right := node.operands[1], syntax.Call) and right.function == "list":
            return self._listed(node, right)
        operands = tuple(self.expression(operand) for operand in node.operands)
        if node.sign in {"&&", "||", "!"}:
            for operand in operands:
                self._boolean(operand, f"{node.sign!r} joins conditions")
            if node.sign == "!":
                return ir.Not(operands[0], BOOL, node.span)
            return ir.Logic(node.sign == "&&", operands, BOOL, node.span)
        if node.sign == "in":
            return self._in(node, operands[0], operands[1])
        if node.sign in {"==", "!="} and operands[0].type.name == "list":
            return self._list_equality(node, operands[0], operands[1])
        overload = self._overload(OPERATORS[node.sign], operands, repr(node.sign), node.sign_span)
        result = self._currency(node, operands, overload.result)
        return ir.Apply(overload.run, operands, result, node.span, overload.cost, node.sign in _COMPARISONS)

    def _in(self, node: syntax.Operation, item: ir.Expression, among: ir.Expression) -> ir.Expression:
        held = among.type.item
        if among.type.name == "map" and item.type == STRING:
            return ir.Apply(op.is_key, (item, among), BOOL, node.span, 1, sides=True)
        if among.type.name == "list" and held is not None and meet(held, item.type) is not None:
            if item.type.name not in SCALARS:
                raise self._refusal(
                    f"A {item.type} is not looked up in a list; compare it with == or <", node.sign_span
                )
            return ir.Apply(op.is_item, (item, among), BOOL, node.span, self._bound(among), sides=True)
        raise self._refusal(f"A {item.type} cannot be in a {among.type}", node.sign_span)

    def _listed(self, node: syntax.Operation, listing: syntax.Call) -> ir.Expression:
        item = self.expression(node.operands[0])
        if not isinstance(item, ir.Fact) or not self._facts[item.name].listable:
            names = ", ".join(sorted(name for name, fact in self._facts.items() if fact.listable))
            raise self._refusal(f"Only a party can stand on a list: {names}", item.span)
        (name,) = self._texts(listing, ("the list's name",))
        return ir.SignalOf(ir.Listed(name, item.name), BOOL, node.span)

    def _list_equality(self, node: syntax.Operation, left: ir.Expression, right: ir.Expression) -> ir.Expression:
        both = meet(left.type, right.type)
        if both is None or both.item is None or both.item.name not in SCALARS | {"nothing"}:
            raise self._refusal(f"{node.sign!r} cannot compare {left.type} and {right.type}", node.sign_span)
        run = op.equal if node.sign == "==" else op.unequal
        return ir.Apply(run, (left, right), BOOL, node.span, self._bound(left), sides=True)

    def _currency(self, node: syntax.Operation, operands: tuple[ir.Expression, ...], result: Type) -> Type:
        """Refuse two known and different currencies; carry a known one into the result."""
        known = [operand.type.currency for operand in operands if operand.type.currency is not None]
        if len(set(known)) > 1:
            raise self._refusal(f"Mixed currencies: {known[0]} and {known[1]}", node.sign_span)
        return money_in(known[0]) if result == MONEY and known else result

    def _overload(
        self, rows: tuple[Overload, ...], operands: tuple[ir.Expression, ...], what: str, span: Span
    ) -> Overload:
        for row in rows:
            if len(row.arguments) == len(operands) and all(
                wanted.name == given.type.name for wanted, given in zip(row.arguments, operands, strict=True)
            ):
                return row
        given = ", ".join(str(operand.type) for operand in operands) or "nothing"
        raise self._refusal(f"{what} does not take {given}", span)

    def _conditional(self, node: syntax.Conditional) -> ir.Expression:
        condition = self.expression(node.condition)
        self._boolean(condition, "'?' asks a condition")
        then, otherwise = self.expression(node.then), self.expression(node.otherwise)
        result = meet(then.type, otherwise.type)
        if result is None:
            raise self._refusal(f"One branch gives {then.type}, the other {otherwise.type}", otherwise.span)
        return ir.Choose(condition, then, otherwise, result, node.span)

    # -- literals --------------------------------------------------------------------------------------------------

    def _map(self, node: syntax.MapOf) -> ir.Expression:
        keys: list[str] = []
        values: list[ir.Expression] = []
        for key, value in node.entries:
            if not isinstance(key, syntax.Literal) or not isinstance(key.value, str):
                raise self._refusal("A map's keys are texts in quotes", key.span)
            if key.value in keys:
                raise self._refusal(f"The key {key.value!r} stands twice", key.span)
            keys.append(key.value)
            values.append(self.expression(value))
        return ir.MakeMap(tuple(keys), tuple(values), map_of(self._common(tuple(values))), node.span)

    def _common(self, items: tuple[ir.Expression, ...]) -> Type:
        result = NOTHING
        for item in items:
            common = meet(result, item.type)
            if common is None:
                raise self._refusal(f"All items have one type; this is {item.type} after {result}", item.span)
            result = common
        return result

    # -- calls -----------------------------------------------------------------------------------------------------

    def _call(self, node: syntax.Call) -> ir.Expression:
        special = {
            "money": self._money,
            "velocity": self._velocity,
            "limit": self._limit,
            "list": self._listing,
            "has": self._has,
        }
        if node.target is None and node.function in special:
            return special[node.function](node)
        if node.target is not None and node.function in {"exists", "all"}:
            return self._quantify(node, node.target)
        given = node.arguments if node.target is None else (node.target, *node.arguments)
        rows = (FUNCTIONS if node.target is None else METHODS).get(node.function)
        operands = tuple(self.expression(argument) for argument in given)
        if node.function == "size" and len(operands) == 1 and operands[0].type.name in {"list", "map"}:
            return ir.Apply(len, operands, INT, node.span)
        if node.target is not None and node.function == "matches":
            return self._matches(node, operands)
        if rows is None:
            kind = "function" if node.target is None else "method"
            raise self._refusal(f"There is no {kind} {node.function!r}", node.span)
        overload = self._overload(rows, operands, f"{node.function}()", node.span)
        return self._folded(overload, operands, node)

    def _folded(self, overload: Overload, operands: tuple[ir.Expression, ...], node: syntax.Call) -> ir.Expression:
        """Compute `duration("24h")` and the like now: a text that is none is refused while compiling."""
        if node.function in {"timestamp", "duration"} and isinstance(operands[0], ir.Constant):
            value = overload.run(operands[0].value)
            if isinstance(value, Missing):
                raise self._refusal(f"{operands[0].value!r} is {next(iter(value.names))}", operands[0].span)
            return ir.Constant(value, overload.result, node.span)
        return ir.Apply(overload.run, operands, overload.result, node.span, overload.cost)

    def _matches(self, node: syntax.Call, operands: tuple[ir.Expression, ...]) -> ir.Expression:
        if len(operands) != 2 or operands[0].type != STRING or operands[1].type != STRING:
            raise self._refusal("matches() takes a text and a pattern", node.span)
        pattern = operands[1]
        if not isinstance(pattern, ir.Constant):
            raise self._refusal(
                "The pattern of matches() is a text in quotes, so that it is compiled once", pattern.span
            )
        try:
            search = searcher(pattern.value)
        except InvalidPattern:
            raise self._refusal("This is no regular expression in RE2's syntax", pattern.span) from None
        return ir.Apply(search, operands[:1], BOOL, node.span, _MATCH_COST)

    def _money(self, node: syntax.Call) -> ir.Expression:
        texts = self._texts(node, ("the amount in quotes", "the currency in quotes"))
        try:
            currency = parse_currency(texts[1])
            minor = parse_amount(texts[0], currency)
        except Refused as refused:
            raise self._refusal(refused.detail.rstrip("."), node.span) from None
        return ir.Constant(Money(minor, currency), money_in(currency), node.span)

    def _limit(self, node: syntax.Call) -> ir.Expression:
        """`limit("name")`: the table's amount in the event's own currency, so that no rule needs a rate."""
        (name,) = self._texts(node, ("the limit's name",))
        if name not in self._limits:
            known = ", ".join(sorted(self._limits)) or "none"
            raise self._refusal(f"There is no limit {name!r}; there are {known}", node.arguments[0].span)
        currency = ir.Fact("currency", STRING, node.span)
        return ir.Apply(op.limit_in(name, self._limits[name]), (currency,), MONEY, node.span)

    def _velocity(self, node: syntax.Call) -> ir.Expression:
        texts = self._texts(node, ("a measure", "an entity", "a window"))
        for text, choices, argument in zip(texts, (ir.Measure, ir.Entity, ir.Window), node.arguments, strict=True):
            if text not in {choice.value for choice in choices}:
                known = ", ".join(choice.value for choice in choices)
                raise self._refusal(f"velocity() knows {known}, not {text!r}", argument.span)
        signal = ir.Velocity(ir.Measure(texts[0]), ir.Entity(texts[1]), ir.Window(texts[2]))
        return ir.SignalOf(signal, MONEY if signal.measure is ir.Measure.SUM else INT, node.span)

    def _listing(self, node: syntax.Call) -> ir.Expression:
        raise self._refusal("list() stands only on the right of 'in', as in: customer in list(\"name\")", node.span)

    def _has(self, node: syntax.Call) -> ir.Expression:
        if len(node.arguments) == 1:
            argument = node.arguments[0]
            if isinstance(argument, syntax.Name):
                fact = self._name(argument)
                if isinstance(fact, ir.Fact):
                    return ir.Has(fact, None, BOOL, node.span)
            if isinstance(argument, syntax.Select):
                operand = self.expression(argument.operand)
                if operand.type.name == "map":
                    return ir.Has(operand, argument.field, BOOL, node.span)
        raise self._refusal(
            "has() takes a fact or an entry, such as has(destination) or has(metadata.order)", node.span
        )

    def _quantify(self, node: syntax.Call, target: syntax.Node) -> ir.Expression:
        if len(node.arguments) != 2 or not isinstance(node.arguments[0], syntax.Name):
            raise self._refusal(f"{node.function}() takes a variable and a condition", node.span)
        over = self.expression(target)
        item = STRING if over.type.name == "map" else over.type.item
        if over.type.name not in {"list", "map"} or item is None:
            raise self._refusal(f"{node.function}() runs over a list or a map, not over {over.type}", over.span)
        variable = node.arguments[0]
        local = ir.Local(self._scope.slots, item, variable.span)
        self._scope.slots += 1
        self._scope.variables.append((variable.name, local))
        body = self.expression(node.arguments[1])
        self._scope.variables.pop()
        self._boolean(body, f"{node.function}() asks a condition")
        return ir.Quantify(node.function == "all", local.slot, over, body, self._bound(over), BOOL, node.span)

    # -- small things ----------------------------------------------------------------------------------------------

    def _bound(self, node: ir.Expression) -> int:
        """Give the most items that a list or map can hold."""
        match node:
            case ir.MakeList():
                return len(node.items)
            case ir.MakeMap():
                return len(node.values)
            case ir.Choose():
                return max(self._bound(node.then), self._bound(node.otherwise))
            case ir.Fact():
                return self._facts[node.name].items_max
            case _:
                raise self._refusal("The length of this is not known while compiling", node.span)

    def _texts(self, node: syntax.Call, wanted: tuple[str, ...]) -> list[str]:
        """Read a call's arguments, which must be texts in quotes."""
        if len(node.arguments) != len(wanted):
            raise self._refusal(f"{node.function}() takes {', '.join(wanted)}", node.span)
        texts: list[str] = []
        for argument, name in zip(node.arguments, wanted, strict=True):
            if not isinstance(argument, syntax.Literal) or not isinstance(argument.value, str):
                raise self._refusal(f"{node.function}() takes {name} as a text in quotes", argument.span)
            texts.append(argument.value)
        return texts

    def _boolean(self, node: ir.Expression, why: str) -> None:
        if node.type != BOOL:
            raise self._refusal(f"{why}; this is {node.type}", node.span)

    def _refusal(self, message: str, span: Span) -> RuleDoesNotCompile:
        return RuleDoesNotCompile(message, self._source, span)


def _literal_type(value: object) -> Type:
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, str):
        return STRING
    return INT if isinstance(value, int) else DOUBLE
