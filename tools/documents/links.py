"""The check of every link, anchor, path and make target that a Markdown file names.

Links must point to tracked files (or folders) by relative paths, with anchors that are there: headings, or lines of
code as ``#L12``. In code between backticks a path from the root must exist (``…``, ``*`` and ``<name>`` stand for
anything), and so must a make target with its variables; the same holds for lines of shell blocks that call make. Every
page must be reachable by links from the README. Addresses of other hosts are only listed: see `outside`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Final
from urllib.parse import unquote

from documents.markdown import Link, Page
from documents.tree import Tree, resolve

START: Final = "README.md"
SHELL: Final = frozenset({"", "sh", "bash", "console", "shell"})
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_LINES: Final = re.compile(r"L(\d+)(?:-L(\d+))?")
_PATH: Final = re.compile(r"(?P<path>[\w.@…*<>{},-]+(?:/[\w.@…*<>{},-]*)+)(?:::(?P<name>\w+)|:(?P<line>\d+))?")
_ANYTHING: Final = re.compile(r"…|\*+|<[^<>]*>")
_MAKE: Final = re.compile(r"(?:^|&& )(?:\$ )?make((?: +[\w.|-]+(?:=(?:\"[^\"]*\"|'[^']*'|\S*))?)+)")
_WORD: Final = re.compile(r"([\w.|-]+)(=(?:\"[^\"]*\"|'[^']*'|\S*))?")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing named that is not there."""

    path: str
    line: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.sentence}"


@dataclass(frozen=True)
class Makefile:
    """What make can be asked for."""

    text: str

    @cached_property
    def targets(self) -> frozenset[str]:
        """The names of all targets."""
        return frozenset(re.findall(r"^([a-z0-9-]+):(?!=)", self.text, re.MULTILINE))

    @cached_property
    def variables(self) -> frozenset[str]:
        """The names that targets read."""
        return frozenset(re.findall(r"\$\((?:if \$\()?([A-Z_]+)\)", self.text))

    def missing(self, text: str) -> Iterator[str]:
        """What a piece of shell asks make for that make does not know."""
        for call in _MAKE.finditer(text.partition("  #")[0]):
            for word, value in _WORD.findall(call[1]):
                names = word.split("|")
                if value and word not in self.variables:
                    yield f"make knows no variable {word}"
                elif not value:
                    yield from (f"make knows no target {name}" for name in names if name not in self.targets)


def is_external(target: str) -> bool:
    """Whether a link names another host or another kind of address."""
    return bool(_SCHEME.match(target)) or target.startswith("//")


def external(tree: Tree) -> dict[str, list[str]]:
    """Every address of another host with the places that name it."""
    found: dict[str, list[str]] = {}
    for path, page in tree.pages.items():
        for link in page.links:
            if link.target.startswith(("http:", "https:", "//")):
                found.setdefault(link.target, []).append(f"{path}:{link.line}")
    return found


def check(tree: Tree, makefile: Makefile, made: frozenset[str], lines: dict[str, int]) -> list[Finding]:
    """Everything that is named and not there.

    ``made`` are paths that programs make and git ignores; ``lines`` counts the lines of files whose lines are linked.
    """
    found: list[Finding] = []
    for path, page in tree.pages.items():
        found += [Finding(path, link.line, said) for link in page.links for said in _link(tree, path, link, lines)]
        found += [Finding(path, line, said) for line, span in page.spans for said in _span(tree, path, span, made)]
        found += [Finding(path, line, said) for line, text in commands(page) for said in makefile.missing(text)]
    found += [Finding(path, 1, f"no link leads here from {START}") for path in unreachable(tree)]
    return sorted(found, key=lambda one: (one.path, one.line))


def commands(page: Page) -> Iterator[tuple[int, str]]:
    """Every piece of code that may call make: spans, and the lines of shell blocks."""
    yield from page.spans
    for block in page.blocks:
        if block.language in SHELL:
            yield from enumerate(block.text.splitlines(), block.line + 1)


def linked_lines(tree: Tree) -> Iterator[str]:
    """The files of which single lines are linked."""
    for path, page in tree.pages.items():
        for link in page.links:
            target, mark, anchor = link.target.partition("#")
            if mark and _LINES.fullmatch(anchor) and not is_external(target):
                yield resolve(path, target)


def missing_paths(tree: Tree) -> frozenset[str]:
    """The paths in spans that git does not track: it may ignore them since they are made."""
    return frozenset(
        named for page in tree.pages.values() for _, span in page.spans for named in _named(tree, span) if named
    )


def unreachable(tree: Tree) -> list[str]:
    """The pages that nobody finds who follows links from the README; a link to a folder without one shows its pages."""
    seen: set[str] = set()
    waiting = [START]
    while waiting:
        path = waiting.pop()
        if path in seen or path not in tree.pages:
            continue
        seen.add(path)
        for link in tree.pages[path].links:
            if is_external(link.target):
                continue
            target = resolve(path, unquote(link.target.partition("#")[0]))
            shown = tree.page_at(target)
            waiting += [shown] if shown else [one for one in tree.texts if one.startswith(f"{target}/")]
    return sorted(set(tree.pages) - seen)


def _link(tree: Tree, path: str, link: Link, lines: dict[str, int]) -> Iterator[str]:
    """What is wrong with one link."""
    if is_external(link.target):
        return
    written, _, anchor = link.target.partition("#")
    if written.startswith("/"):
        yield f"{link.target}: an absolute path leads nowhere on GitHub and on disk; write it relative to this page"
        return
    target = resolve(path, unquote(written)) if written else path
    if not tree.has(target):
        yield f"{link.target}: there is no such file"
    elif anchor:
        yield from _anchor(tree, target, anchor, link, lines)


def _anchor(tree: Tree, target: str, anchor: str, link: Link, lines: dict[str, int]) -> Iterator[str]:
    """What is wrong with the anchor of a link whose file is there."""
    shown = tree.page_at(target)
    numbers = _LINES.fullmatch(anchor)
    if shown is not None and not numbers:
        if unquote(anchor) not in tree.pages[shown].anchors:
            yield f"{link.target}: no heading of {shown} has this anchor"
    elif numbers and target in tree.files:
        first, last = int(numbers[1]), int(numbers[2] or numbers[1])
        if not 1 <= first <= last <= lines[target]:
            yield f"{link.target}: {target} has {lines[target]} lines"
    else:
        yield f"{link.target}: {target} has no anchors"


def _span(tree: Tree, path: str, span: str, made: frozenset[str]) -> Iterator[str]:
    """What is wrong with a piece of code that names a path from the root or from the page's own folder."""
    for named in _named(tree, span):
        near = resolve(path, named)
        if not (named in made or f"{named}/" in made or tree.has(near) or _matches(tree, near)):
            yield f"`{span}` names {named}, which is not there"


def _named(tree: Tree, span: str) -> Iterator[str]:
    """The path of a span that starts at the root, unless it is there. Whatever else stands in a span is no path."""
    found = _PATH.fullmatch(span)
    if found is None or "/" not in span:
        return
    path = found["path"].rstrip("/")
    top = path.split("/", 1)[0]
    if top not in tree.folders or _ANYTHING.search(top):
        return
    if not (tree.has(path) or _matches(tree, path)):
        yield path


def _matches(tree: Tree, path: str) -> bool:
    """Whether a path with placeholders, or a choice in braces, stands for something that is there."""
    if not re.search(r"[…*<{]", path):
        return False
    patterns = [_ANYTHING.sub("*", one) for one in _choices(path)]
    names: Sequence[str] = [*tree.files, *tree.folders]
    return all(any(fnmatchcase(name, pattern) for name in names) for pattern in patterns)


def _choices(path: str) -> list[str]:
    """``a/{b,c}`` as ``a/b`` and ``a/c``."""
    found = re.search(r"\{([^{}]*)\}", path)
    if found is None:
        return [path]
    return [
        one for choice in found[1].split(",") for one in _choices(path[: found.start()] + choice + path[found.end() :])
    ]
