"""Where something stands in a rule's text, and what is said when the text is refused."""

from dataclasses import dataclass
from typing import Final

from ledgerlink_kit.errors import Kind, Refused

SOURCE_CHARS_MAX: Final = 4096
"""Longest rule text; past it `rule-does-not-compile`."""

DEPTH_MAX: Final = 32
"""Deepest nesting of parentheses, calls and operands that the parser follows."""

TREE_DEPTH_MAX: Final = 64
"""Most layers of a rule's tree, long chains of operators included."""

ITEMS_MAX: Final = 500
"""Most items of one list or map literal, and most operands of one chain of `&&` or `||`."""

COST_MAX: Final = 20_000
"""Most steps that one evaluation may take, by the static bound of `cost.py`."""


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range of characters in the source."""

    start: int
    end: int

    def to(self, other: "Span") -> "Span":
        """Give the range from the start of this one to the end of `other`."""
        return Span(self.start, other.end)


class RuleDoesNotCompile(Refused):
    """A rule's text is refused; `detail` ends with the line and a caret under the offending place.

    Members: `line` and `column`, both from 1; `message` without the excerpt.
    """

    def __init__(self, message: str, source: str, span: Span) -> None:
        line, column, excerpt = _locate(source, span.start)
        super().__init__(
            Kind.UNPROCESSABLE,
            "rule-does-not-compile",
            f"{message} (line {line}, column {column})\n{excerpt}\n{' ' * (column - 1)}^",
            message=message,
            line=line,
            column=column,
        )


def _locate(source: str, offset: int) -> tuple[int, int, str]:
    """Give line, column (both from 1) and the line's text of an offset."""
    start = source.rfind("\n", 0, offset) + 1
    end = source.find("\n", start)
    excerpt = source[start:] if end < 0 else source[start:end]
    # A tab would move the caret away from its place.
    return source.count("\n", 0, offset) + 1, offset - start + 1, excerpt.replace("\t", " ")
