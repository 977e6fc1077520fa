"""The static cost bound: the most steps one evaluation can take, known before a rule is ever run."""

from ledgerlink_risk.domain.language import ir
from ledgerlink_risk.domain.language.source import COST_MAX, RuleDoesNotCompile


def check_cost(node: ir.Expression, source: str) -> int:
    """Give the bound of a rule. Raises `RuleDoesNotCompile` above `COST_MAX`."""
    steps = cost(node)
    if steps > COST_MAX:
        raise RuleDoesNotCompile(f"May take {steps} steps; the limit is {COST_MAX}", source, node.span)
    return steps


def cost(node: ir.Expression) -> int:
    """Count one step per node, an operation's own steps, and a loop's body as often as it can run."""
    match node:
        case ir.Constant() | ir.Fact() | ir.SignalOf() | ir.Local():
            return 1
        case ir.Apply():
            return node.cost + sum(map(cost, node.arguments))
        case ir.Logic():
            return 1 + sum(map(cost, node.operands))
        case ir.Not() | ir.Has():
            return 1 + cost(node.operand)
        case ir.Choose():
            return 1 + cost(node.condition) + max(cost(node.then), cost(node.otherwise))
        case ir.MakeList():
            return 1 + sum(map(cost, node.items))
        case ir.MakeMap():
            return 1 + sum(map(cost, node.values))
        case _:
            return 1 + cost(node.range) + node.bound * (1 + cost(node.body))


def signals_of(node: ir.Expression) -> frozenset[ir.Signal]:
    """Give every signal that a rule may read."""
    own = frozenset({node.signal}) if isinstance(node, ir.SignalOf) else frozenset[ir.Signal]()
    return own.union(*(signals_of(child) for child in children(node)))


def children(node: ir.Expression) -> tuple[ir.Expression, ...]:
    """Give the parts of a node."""
    match node:
        case ir.Apply():
            return node.arguments
        case ir.Logic():
            return node.operands
        case ir.Not() | ir.Has():
            return (node.operand,)
        case ir.Choose():
            return (node.condition, node.then, node.otherwise)
        case ir.MakeList():
            return node.items
        case ir.MakeMap():
            return node.values
        case ir.Quantify():
            return (node.range, node.body)
        case _:
            return ()
