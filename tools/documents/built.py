"""The check of the built site: every href and src resolves, every anchor is there, nothing is loaded from elsewhere."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

# What a browser fetches by itself, with the attribute that names it; following a link (``a``) is the reader's own act.
LOADED: Final = {
    ("link", "href"),
    ("script", "src"),
    ("img", "src"),
    ("img", "srcset"),
    ("source", "src"),
    ("source", "srcset"),
    ("iframe", "src"),
    ("embed", "src"),
    ("object", "data"),
    ("audio", "src"),
    ("video", "src"),
    ("video", "poster"),
    ("form", "action"),
    ("use", "href"),
    ("image", "href"),
    ("image", "xlink:href"),
    ("use", "xlink:href"),
    ("base", "href"),
}
_CSS: Final = re.compile(r"url\(\s*['\"]?([^)'\"\s]+)|@import\s+['\"]([^'\"]+)")
_CALLS: Final = re.compile(
    r"(?:fetch|importScripts|import|new\s+(?:WebSocket|EventSource|Worker)|sendBeacon)\(\s*[`'\"](https?:|//|wss?:)"
    r"|\.src\s*=\s*[`'\"](?:https?:)?//"
)


@dataclass(slots=True)
class Html:
    """What one page names: anchors that it sets, and everything that it points to with how."""

    anchors: set[str] = field(default_factory=set[str])
    names: list[tuple[str, str, str]] = field(default_factory=list[tuple[str, str, str]])
    styles: list[str] = field(default_factory=list[str])
    scripts: list[str] = field(default_factory=list[str])


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Html()
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag if tag in {"style", "script"} else ""
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.page.anchors.add(value)
            elif name == "style":
                self.page.styles.append(value)
            elif (tag, name) in LOADED or (tag == "a" and name == "href"):
                self.page.names.append((tag, name, value))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.page.styles.append(data)
        elif self._inside == "script":
            self.page.scripts.append(data)


def read_html(text: str) -> Html:
    """Take a page of HTML apart."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    return reader.page


def check(folder: Path) -> list[str]:
    """Everything in a built site that leads nowhere or loads from another host, one sentence each."""
    folder = folder.resolve()
    files = sorted([*folder.rglob("*.html"), *folder.rglob("*.svg")])
    pages = {path: read_html(path.read_text("utf-8")) for path in files}
    found = [said for path, page in pages.items() for said in _page(folder, path, page, pages)]
    for path in sorted(folder.rglob("*.css")):
        found += [f"{path.relative_to(folder)} {said}" for said in _css(path, path.read_text("utf-8"))]
    for path in sorted(folder.rglob("*.js")):
        if _CALLS.search(path.read_text("utf-8")):
            found.append(f"{path.relative_to(folder)} loads from another host")
    return found


def _page(folder: Path, path: Path, page: Html, pages: dict[Path, Html]) -> Iterator[str]:
    here = path.relative_to(folder)
    for tag, name, value in page.names:
        if (tag, name) in LOADED and _is_elsewhere(value):
            yield f"{here} loads {value} from another host"
        elif not _is_elsewhere(value) and not value.startswith(("data:", "mailto:", "javascript:")):
            yield from (f"{here} {said}" for said in _target(folder, path, value, pages))
    for text in page.styles:
        yield from (f"{here} {said}" for said in _css(path, text))
    if any(_CALLS.search(text) for text in page.scripts):
        yield f"{here} loads from another host"


def _is_elsewhere(value: str) -> bool:
    return value.startswith("//") or urlsplit(value).scheme in {"http", "https", "ws", "wss", "ftp"}


def _target(folder: Path, path: Path, value: str, pages: dict[Path, Html]) -> Iterator[str]:
    """What is wrong with a reference to something of the site."""
    parts = urlsplit(value)
    if parts.path.startswith("/"):
        yield f"points to {value}: the site must work below any address"
        return
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_relative_to(folder):
        yield f"points to {value}, outside of the site"
    elif not target.is_file():
        yield f"points to {value}, which is not there"
    elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors | {"top"}:
        yield f"points to {value}, but there is no such anchor"


def _css(path: Path, text: str) -> Iterator[str]:
    for found in _CSS.finditer(text):
        value = found[1] or found[2]
        if _is_elsewhere(value):
            yield f"loads {value} from another host"
        elif not value.startswith(("data:", "#")) and not (path.parent / urlsplit(value).path).exists():
            yield f"points to {value}, which is not there"
