"""Rules about money: an amount is an integer of minor units, and no float comes near it."""

import ast
import re
from collections.abc import Iterator

from ledgerlink_tidy.source import Source, dotted

MONEY = re.compile(r"^(amount|balance|fee|price)s?$|_minor$|(^|_)(amount|balance)$")


def float_money(source: Source) -> Iterator[tuple[int, str]]:
    """No float annotation, conversion, literal or true division on a name that means money."""
    if source.is_test:
        return
    for node in ast.walk(source.tree):
        sentence = _breach(node)
        if sentence:
            yield getattr(node, "lineno", 1), sentence


def _breach(node: ast.AST) -> str:
    """What is wrong with one node, or an empty string."""
    if isinstance(node, ast.AnnAssign) and _is_float(node.annotation):
        name = _money_in(node.target)
        return f"{name} is money and annotated float: use int minor units" if name else ""
    if isinstance(node, ast.arg) and node.annotation is not None and _is_float(node.annotation):
        return f"{node.arg} is money and annotated float: use int minor units" if MONEY.search(node.arg) else ""
    if isinstance(node, ast.Call) and dotted(node.func) == "float" and node.args:
        name = _money_in(node.args[0])
        return f"float({name}) loses minor units: keep the int, or use Decimal" if name else ""
    if isinstance(node, ast.BinOp):
        name = _money_in(node.left) or _money_in(node.right)
        if name and isinstance(node.op, ast.Div):
            return f"{name} is divided with /, which gives a float: use // or kit's money.convert"
        if name and (_is_float_literal(node.left) or _is_float_literal(node.right)):
            return f"{name} is combined with a float literal: use int or Decimal"
    return ""


def _is_float(annotation: ast.expr) -> bool:
    """Whether ``float`` stands in an annotation, alone or in a union."""
    return any(isinstance(part, ast.Name) and part.id == "float" for part in ast.walk(annotation))


def _is_float_literal(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, float)


def _money_in(node: ast.expr) -> str:
    """The money name that an expression is (``x``, ``self.x``), or an empty string."""
    if isinstance(node, ast.Name) and MONEY.search(node.id):
        return node.id
    if isinstance(node, ast.Attribute) and MONEY.search(node.attr):
        return node.attr
    return ""
