"""Tokens to a syntax tree: recursive descent over CEL's grammar, with its precedences.

From loosest to tightest: `?:`, `||`, `&&`, relations and `in`, `+ -`, `* / %`, `! -`, members. Chains of `&&` and
`||` become one node, so that their length costs no depth.
"""

from collections.abc import Callable
from typing import Final

from ledgerlink_risk.domain.language.source import DEPTH_MAX, ITEMS_MAX, TREE_DEPTH_MAX, RuleDoesNotCompile, Span
from ledgerlink_risk.domain.language.syntax import (
    Call,
    Conditional,
    Index,
    ListOf,
    Literal,
    MapOf,
    Name,
    Node,
    Operation,
    Select,
    parts,
)
from ledgerlink_risk.domain.language.tokens import INT_MAX, INT_MIN, RESERVED, Token, TokenKind, tokenize

_RELATIONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">="})
_WORDS: Final = {"true": True, "false": False}


def parse(source: str) -> Node:
    """Parse a whole rule. Raises `RuleDoesNotCompile`, with the place."""
    parser = _Parser(source)
    node = parser.expression()
    parser.expect_end()
    _check_depth(node, source)
    return node


def _check_depth(tree: Node, source: str) -> None:
    """Bound the tree's depth, by a loop: everything after the parser walks it by recursion."""
    waiting = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        if depth > TREE_DEPTH_MAX:
            raise RuleDoesNotCompile(f"Built of more than {TREE_DEPTH_MAX} layers", source, node.span)
        waiting.extend((part, depth + 1) for part in parts(node))


class _Parser:
    """One pass over the tokens of one rule."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = tokenize(source)
        self._at = 0
        self._depth = 0

    # -- the grammar, from loosest to tightest ---------------------------------------------------------------------

    def expression(self) -> Node:
        """Parse `condition ? then : otherwise`, or less."""
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._refuse(f"Nested deeper than {DEPTH_MAX} levels")
        condition = self._chain("||", lambda: self._chain("&&", self._relation))
        if self._take("?"):
            then = self._chain("||", lambda: self._chain("&&", self._relation))
            self._expect(":")
            otherwise = self.expression()
            condition = Conditional(condition, then, otherwise, condition.span.to(otherwise.span))
        self._depth -= 1
        return condition

    def expect_end(self) -> None:
        """Refuse what stands after a whole expression."""
        if self._token.kind is not TokenKind.END:
            raise self._refuse(f"Expected an operator or the end, found {self._token.text!r}")

    def _chain(self, sign: str, operand: Callable[[], Node]) -> Node:
        operands = [operand()]
        sign_span = self._token.span
        while self._take(sign):
            operands.append(operand())
        if len(operands) == 1:
            return operands[0]
        if len(operands) > ITEMS_MAX:
            raise self._refuse(f"More than {ITEMS_MAX} operands in one chain")
        return Operation(sign, tuple(operands), operands[0].span.to(operands[-1].span), sign_span)

    def _relation(self) -> Node:
        return self._left_to_right(self._addition, _RELATIONS)

    def _addition(self) -> Node:
        return self._left_to_right(self._multiplication, frozenset({"+", "-"}))

    def _multiplication(self) -> Node:
        return self._left_to_right(self._unary, frozenset({"*", "/", "%"}))

    def _left_to_right(self, operand: Callable[[], Node], signs: frozenset[str]) -> Node:
        left = operand()
        count = 0
        while (token := self._token).text in signs or (signs is _RELATIONS and token.text == "in"):
            count += 1
            if count > DEPTH_MAX:
                raise self._refuse(f"More than {DEPTH_MAX} operators in a row")
            self._at += 1
            right = operand()
            left = Operation(token.text, (left, right), left.span.to(right.span), token.span)
        return left

    def _unary(self) -> Node:
        token = self._token
        if token.kind is not TokenKind.SIGN or token.text not in {"!", "-"}:
            return self._member()
        self._at += 1
        if token.text == "-" and self._token.kind in {TokenKind.INT, TokenKind.DOUBLE}:
            return self._suffixes(self._number(token.span))
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._refuse(f"Nested deeper than {DEPTH_MAX} levels")
        operand = self._unary()
        self._depth -= 1
        return Operation(token.text, (operand,), token.span.to(operand.span), token.span)

    def _member(self) -> Node:
        return self._suffixes(self._primary())

    def _suffixes(self, node: Node) -> Node:
        count = 0
        while True:
            count += 1
            if count > DEPTH_MAX:
                raise self._refuse(f"More than {DEPTH_MAX} members in a row")
            if self._take("."):
                node = self._selected(node)
            elif self._take("["):
                key = self.expression()
                node = Index(node, key, node.span.to(self._expect("]").span))
            else:
                return node

    def _selected(self, operand: Node) -> Node:
        field = self._token
        if field.kind is not TokenKind.NAME:
            raise self._refuse(f"Expected a name after '.', found {field.text!r}")
        self._at += 1
        if self._take("("):
            arguments, end = self._items(")")
            return Call(field.text, operand, arguments, operand.span.to(end))
        return Select(operand, field.text, operand.span.to(field.span))

    def _primary(self) -> Node:
        token = self._token
        if token.kind in {TokenKind.INT, TokenKind.DOUBLE}:
            return self._number(None)
        self._at += 1
        if token.kind is TokenKind.STRING:
            return Literal(token.value, token.span)
        if token.kind is TokenKind.NAME:
            return self._named(token)
        if token.kind is TokenKind.SIGN and token.text == "(":
            inner = self.expression()
            self._expect(")")
            return inner
        if token.kind is TokenKind.SIGN and token.text == "[":
            items, end = self._items("]")
            return ListOf(items, token.span.to(end))
        if token.kind is TokenKind.SIGN and token.text == "{":
            return self._map(token)
        self._at -= 1
        raise self._refuse(f"Expected a value, found {token.text!r}")

    def _named(self, token: Token) -> Node:
        if token.text in _WORDS:
            return Literal(_WORDS[token.text], token.span)
        if token.text in RESERVED or token.text == "in":
            self._at -= 1
            raise self._refuse(f"{token.text!r} is a reserved word")
        if self._take("("):
            arguments, end = self._items(")")
            return Call(token.text, None, arguments, token.span.to(end))
        return Name(token.text, token.span)

    def _number(self, minus: Span | None) -> Literal:
        """Read a number; the sign belongs to it, so that the smallest integer can be written."""
        token = self._token
        self._at += 1
        span = token.span if minus is None else minus.to(token.span)
        assert not isinstance(token.value, str)
        value = token.value if minus is None else -token.value
        if isinstance(value, int) and not INT_MIN <= value <= INT_MAX:
            raise RuleDoesNotCompile("An integer has 64 bits; this one is out of range", self._source, span)
        return Literal(value, span)

    def _map(self, opening: Token) -> Node:
        entries: list[tuple[Node, Node]] = []
        while self._token.text != "}" or self._token.kind is not TokenKind.SIGN:
            key = self.expression()
            self._expect(":")
            entries.append((key, self.expression()))
            self._bounded(len(entries))
            if not self._take(","):
                break
        return MapOf(tuple(entries), opening.span.to(self._expect("}").span))

    def _items(self, closing: str) -> tuple[tuple[Node, ...], Span]:
        items: list[Node] = []
        while self._token.text != closing or self._token.kind is not TokenKind.SIGN:
            items.append(self.expression())
            self._bounded(len(items))
            if not self._take(","):
                break
            if closing == ")" and self._token.text == closing:
                raise self._refuse("Expected an argument after ','")
        return tuple(items), self._expect(closing).span

    # -- tokens ----------------------------------------------------------------------------------------------------

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _take(self, sign: str) -> bool:
        if self._token.kind is TokenKind.SIGN and self._token.text == sign:
            self._at += 1
            return True
        return False

    def _expect(self, sign: str) -> Token:
        token = self._token
        if not self._take(sign):
            raise self._refuse(f"Expected {sign!r}, found {token.text!r}")
        return token

    def _bounded(self, count: int) -> None:
        if count > ITEMS_MAX:
            raise self._refuse(f"More than {ITEMS_MAX} items")

    def _refuse(self, message: str) -> RuleDoesNotCompile:
        return RuleDoesNotCompile(message, self._source, self._token.span)
