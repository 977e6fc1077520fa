"""Text to tokens, by the lexis of CEL's specification less what the profile leaves out.

Left out: `bytes` literals, unsigned integers, triple-quoted strings. A token carries its value, so that the parser
never looks at characters.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from ledgerlink_risk.domain.language.source import SOURCE_CHARS_MAX, RuleDoesNotCompile, Span

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

RESERVED: Final = frozenset(
    {
        "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "namespace",
        "null", "package", "return", "var", "void", "while",
    }
)  # fmt: skip
"""CEL's reserved words, and `null`, which the profile does not have: what is absent is missing."""


class TokenKind(Enum):
    """What a token is; operators and punctuation are told apart by their text."""

    INT = auto()
    DOUBLE = auto()
    STRING = auto()
    NAME = auto()
    SIGN = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token. `value` is the literal's value: int (without its sign), float or str."""

    kind: TokenKind
    text: str
    span: Span
    value: int | float | str = 0


_SPACE: Final = re.compile(r"(?:[ \t\r\n\f]+|//[^\n]*)+")
_NUMBER: Final = re.compile(r"0[xX][0-9a-fA-F]+|(?:[0-9]*\.[0-9]+|[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SIGN: Final = re.compile(r"&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}]")
_STRING: Final = re.compile(r"([rR]?)(?:\"((?:[^\"\\\n]|\\.)*)\"|'((?:[^'\\\n]|\\.)*)')")
_RAW_STRING: Final = re.compile(r"[rR](?:\"([^\"\n]*)\"|'([^'\n]*)')")
_ESCAPE: Final = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))", re.DOTALL
)
_SIMPLE_ESCAPES: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?",
}  # fmt: skip


def tokenize(source: str) -> list[Token]:
    """Split a rule's text; the last token is END. Raises `RuleDoesNotCompile`."""
    if len(source) > SOURCE_CHARS_MAX:
        raise RuleDoesNotCompile(
            f"A rule has at most {SOURCE_CHARS_MAX} characters; this one has {len(source)}", source, Span(0, 0)
        )
    tokens: list[Token] = []
    at = 0
    while True:
        space = _SPACE.match(source, at)
        at = space.end() if space else at
        if at == len(source):
            tokens.append(Token(TokenKind.END, "the end of the rule", Span(at, at)))
            return tokens
        token = _next_token(source, at)
        tokens.append(token)
        at = token.span.end


def _next_token(source: str, at: int) -> Token:
    """Read the token that starts exactly at `at`."""
    if source[at] in "rR\"'":
        string = _string(source, at)
        if string is not None:
            return string
    name = _NAME.match(source, at)
    if name:
        return Token(TokenKind.NAME, name[0], Span(at, name.end()))
    number = _NUMBER.match(source, at)
    if number:
        return _number(source, number)
    sign = _SIGN.match(source, at)
    if sign:
        return Token(TokenKind.SIGN, sign[0], Span(at, sign.end()))
    if source[at] in "\"'":
        raise RuleDoesNotCompile("This text has no closing quote on its line", source, Span(at, at + 1))
    raise RuleDoesNotCompile(f"{source[at]!r} has no meaning here", source, Span(at, at + 1))


def _number(source: str, match: re.Match[str]) -> Token:
    text, span = match[0], Span(match.start(), match.end())
    if _NAME.match(source, span.end):
        raise RuleDoesNotCompile("A number ends before a letter; unsigned integers do not exist here", source, span)
    if text[:2] in {"0x", "0X"}:
        return Token(TokenKind.INT, text, span, int(text, 16))
    if text.isdigit():
        return Token(TokenKind.INT, text, span, int(text))
    return Token(TokenKind.DOUBLE, text, span, float(text))


def _string(source: str, at: int) -> Token | None:
    """Read a quoted text, or nothing when an `r` begins a name. Raw texts know no escapes."""
    raw = _RAW_STRING.match(source, at)
    if raw:
        return Token(TokenKind.STRING, raw[0], Span(at, raw.end()), raw[1] if raw[1] is not None else raw[2])
    if source[at] in "rR":
        return None
    match = _STRING.match(source, at)
    if match is None:
        return None
    body = match[2] if match[2] is not None else match[3]
    offset = at + 1

    def unescape(escape: re.Match[str]) -> str:
        place = Span(offset + escape.start(), offset + escape.end())
        digits = escape[1] or escape[2] or escape[3]
        code = int(digits, 16) if digits else int(escape[4], 8) if escape[4] else None
        if code is None:
            if escape[5] not in _SIMPLE_ESCAPES:
                raise RuleDoesNotCompile(f"Unknown escape {escape[0]!r}", source, place)
            return _SIMPLE_ESCAPES[escape[5]]
        if 0xD800 <= code <= 0xDFFF or code > 0x10FFFF or code == 0:
            raise RuleDoesNotCompile(f"{escape[0]!r} is no character that can be stored", source, place)
        return chr(code)

    return Token(TokenKind.STRING, match[0], Span(at, match.end()), _ESCAPE.sub(unescape, body))
