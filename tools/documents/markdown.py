"""Reading Markdown as GitHub shows it: headings with their anchors, links with their lines, code, tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

_PARSER: Final = MarkdownIt("commonmark").enable("table")
_NO_SLUG: Final = re.compile(r"[^\w\- ]")
_BREAKS: Final = ("softbreak", "hardbreak")


@dataclass(frozen=True, slots=True)
class Link:
    """A link or a picture: where it stands (lines count from 1) and what it points to, as it is written."""

    line: int
    target: str


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the line of its first mark, the word after the mark, and what it holds."""

    line: int
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown text, taken apart. ``spans`` are pieces of code inside sentences, with their lines."""

    title: str
    headings: tuple[tuple[int, str], ...]
    anchors: frozenset[str]
    links: tuple[Link, ...]
    spans: tuple[tuple[int, str], ...]
    blocks: tuple[Block, ...]


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading's plain text."""
    return _NO_SLUG.sub("", heading.strip().lower()).replace(" ", "-")


@cache
def read(text: str) -> Page:
    """Take a Markdown text apart."""
    tokens = _PARSER.parse(text)
    headings = [(int(token.tag[1]), _plain(tokens[at + 1])) for at, token in enumerate(tokens) if _opens(token)]
    links: list[Link] = []
    spans: list[tuple[int, str]] = []
    named: list[str] = []
    for line, token in _inline(tokens):
        if token.type == "code_inline":
            spans.append((line, token.content))
        elif token.type == "html_inline":
            _read_html(token.content, line, links, named)
        elif target := token.attrGet("href" if token.type == "link_open" else "src"):
            links.append(Link(line, str(target)))
    for token in tokens:
        if token.type == "html_block":
            _read_html(token.content, (token.map or [0])[0] + 1, links, named)
    fences = [token for token in tokens if token.type == "fence"]
    return Page(
        title=next((words for level, words in headings if level == 1), ""),
        headings=tuple(headings),
        anchors=frozenset([*_anchors(words for _, words in headings), *named]),
        links=tuple(links),
        spans=tuple(spans),
        blocks=tuple(Block((one.map or [0])[0] + 1, one.info.strip(), one.content) for one in fences),
    )


def _opens(token: Token) -> bool:
    return token.type == "heading_open"


def _plain(inline: Token) -> str:
    """A heading's words without their marks."""
    return "".join(token.content for token in inline.children or () if token.type in {"text", "code_inline"})


def _anchors(headings: Iterator[str]) -> Iterator[str]:
    """The anchors of headings in their order; GitHub numbers those that come again."""
    seen: dict[str, int] = {}
    for heading in headings:
        anchor = slug(heading)
        seen[anchor] = seen.get(anchor, -1) + 1
        yield f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor


def _inline(tokens: list[Token]) -> Iterator[tuple[int, Token]]:
    """Every token inside of sentences with the line it stands in; the cells of a table stand in their row's."""
    line = 1
    for token in tokens:
        if token.map:
            line = token.map[0] + 1
        if token.type != "inline":
            continue
        down = 0
        for child in token.children or ():
            yield line + down, child
            down += child.type in _BREAKS


def _read_html(text: str, line: int, links: list[Link], named: list[str]) -> None:
    """Add what a piece of HTML links to and which anchors it sets."""

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            for name, value in attrs:
                if value and (name == "id" or (tag == "a" and name == "name")):
                    named.append(value)
                elif value and ((tag == "a" and name == "href") or name in {"src", "srcset"}):
                    links.append(Link(line + self.getpos()[0] - 1, value))

    Reader().feed(text)
