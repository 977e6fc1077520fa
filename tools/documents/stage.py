"""The pages of the site, made from the tree: moved to short addresses, their links turned, nothing written twice.

The site's front page is docs/README.md, whose headings and links are the navigation; the README of a folder stands over
the folder's other pages. What the front page leaves out comes last, under "More". What is no page and yet linked, a
program or a folder, becomes a page that shows it.
"""

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final
from urllib.parse import unquote

from documents.links import is_external
from documents.markdown import Link, read
from documents.tree import Tree, resolve

FRONT: Final = "docs/README.md"
REST: Final = "More"
PICTURES: Final = (".svg", ".png", ".jpg", ".jpeg", ".gif", ".webp")
LEXERS: Final = {".py": "python", ".json": "json", ".yml": "yaml", ".yaml": "yaml", ".sh": "bash", ".toml": "toml"}
SHOWN_LINES_MAX: Final = 2_000
_DECK: Final = re.compile(r"\A---\n(?:(?!---\n).*\n)*?marp: *true\n")
_TARGET: Final = re.compile(r"(?P<before>\]\(<?|\]: +|(?:href|src|srcset)=[\"'])(?P<target>[^\s)>\"']+)")
_MADE: Final = re.compile(r"\.md($|#)")
_TARGET_LINES: Final = 3  # a link's words may go over line ends: its target stands at most so far below its first line
_ORPHAN: Final = "---\norphan: true\n---\n"


@dataclass(frozen=True, slots=True)
class Branch:
    """A part of the navigation: its heading and its pages in order, by their paths in the tree."""

    heading: str
    pages: tuple[str, ...]


def is_deck(text: str) -> bool:
    """Whether a Markdown file is slides (Marp), which have a renderer of their own."""
    return bool(_DECK.match(text))


def place(path: str) -> str:
    """Where a page or picture of the tree stands in the site: ``docs/x/README.md`` at ``x/index.md``."""
    if path == FRONT:
        return "index.md"
    short = path.removeprefix("docs/")
    folder, name = posixpath.split(short)
    if name == "README.md" and folder:
        return f"{folder}/index.md".lower()
    return short.lower() if path.endswith((".md", *PICTURES)) else f"shown/{path.lower()}.md"


def page_of(tree: Tree, path: str) -> str | None:
    """The page that shows what stands at a path: of JSON that has a page made from it, that page."""
    made = f"{path.removesuffix('.json')}.md"
    return tree.page_at(path) or (made if path.endswith(".json") and made in tree.texts else None)


def branches(tree: Tree) -> list[Branch]:
    """The navigation: what the front page links, heading by heading, and what it leaves out at the end."""
    found: list[Branch] = []
    seen = {FRONT}
    for heading, part in _parts(tree.texts[FRONT]):
        pages = [page for page in dict.fromkeys(_linked_pages(tree, part)) if page not in seen]
        seen.update(pages)
        found.append(Branch(heading, tuple(pages)))
    rest = [path for path in tree.pages if path not in seen and _parent(tree, path) is None]
    return [*found, Branch(REST, tuple(sorted(rest)))] if rest else found


def children(tree: Tree, path: str) -> list[str]:
    """The pages that stand under a folder's README and nowhere else."""
    front = set(_linked_pages(tree, tree.texts[FRONT]))
    return sorted(one for one in tree.pages if one not in front and _parent(tree, one) == path)


def shown(tree: Tree) -> list[str]:
    """The files and folders that pages link and that are no pages."""
    targets = {resolve(path, _path_of(link)) for path, page in tree.pages.items() for link in _inside(page.links)}
    return sorted(one for one in targets if page_of(tree, one) is None and not one.endswith(PICTURES))


def show_file(path: str, text: str) -> str:
    """A page that shows a file."""
    lines = text.splitlines()
    rest = f"\n… {len(lines) - SHOWN_LINES_MAX} more lines.\n" if len(lines) > SHOWN_LINES_MAX else ""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    lexer = LEXERS.get(posixpath.splitext(path)[1], "none")
    body = "\n".join(lines[:SHOWN_LINES_MAX])
    return f"{_ORPHAN}# `{path}`\n\n{fence}{lexer}\n{body}\n{fence}\n{rest}"


def show_folder(tree: Tree, path: str) -> str:
    """A page that lists a folder; what has a page of its own is linked."""
    names = sorted({one.removeprefix(f"{path}/").split("/")[0] for one in tree.files if one.startswith(f"{path}/")})
    items: list[str] = []
    for name in names:
        page = tree.page_at(f"{path}/{name}")
        items.append(f"- [`{name}`]({_between(place(path), place(page))})" if page else f"- `{name}`")
    return f"{_ORPHAN}# `{path}/`\n\n" + "\n".join(items) + "\n"


def turned(tree: Tree, path: str) -> str:
    """A page's text with its links turned to where things stand in the site."""
    turns: dict[str, str] = {}
    lines_of: dict[str, set[int]] = {}
    for link in _inside(tree.pages[path].links):
        target = resolve(path, _path_of(link))
        page = page_of(tree, target)
        if page == path and target != path:
            continue  # a made page that names the document it is made from
        _, mark, anchor = link.target.partition("#")
        turns[link.target] = _between(place(path), place(page or target)) + (mark + anchor if page else "")
        lines_of.setdefault(link.target, set()).update(range(link.line, link.line + _TARGET_LINES))

    def turn(line: int, found: re.Match[str]) -> str:
        target = found["target"]
        here = line in lines_of.get(target, ()) or found["before"].startswith("]:")
        to = turns.get(target, target) if here else target
        # Sphinx leaves HTML as it is, so its links must name what Sphinx makes.
        return found["before"] + (_MADE.sub(r".html\1", to) if found["before"].startswith("href") and here else to)

    lines = enumerate(tree.texts[path].splitlines(), 1)
    return "".join(f"{_TARGET.sub(partial(turn, line), text)}\n" for line, text in lines)


def navigation(caption: str, pages: list[str]) -> str:
    """A part of the navigation, as Sphinx wants it said at the end of a page."""
    entries = "\n".join(f"/{place(page).removesuffix('.md')}" for page in pages)
    head = f":caption: {caption}\n" if caption else ""
    return f"\n```{{toctree}}\n:hidden:\n:maxdepth: 1\n{head}\n{entries}\n```\n"


def staged(tree: Tree, text_of: Callable[[str], str]) -> dict[str, str]:
    """Every page of the site by its place, ready for Sphinx; ``text_of`` reads a file that is no page."""
    found = {place(path): turned(tree, path) for path in tree.pages}
    for path in tree.pages:
        below = children(tree, path)
        if below:
            found[place(path)] += navigation("", below)
    found[place(FRONT)] += "".join(navigation(branch.heading, list(branch.pages)) for branch in branches(tree))
    for path in shown(tree):
        found[place(path)] = show_folder(tree, path) if path in tree.folders else show_file(path, text_of(path))
    return found


def collisions(tree: Tree) -> list[str]:
    """Files that would stand at one place of the site, one sentence for each two."""
    taken: dict[str, str] = {}
    return [
        f"{path} and {taken[place(path)]} would both stand at {place(path)}: rename one"
        for path in sorted([*tree.pages, *shown(tree), *pictures(tree)])
        if taken.setdefault(place(path), path) != path
    ]


def pictures(tree: Tree) -> list[str]:
    """The pictures that pages show or link."""
    targets = {resolve(path, _path_of(link)) for path, page in tree.pages.items() for link in _inside(page.links)}
    return sorted(one for one in targets if one.endswith(PICTURES))


def _inside(links: tuple[Link, ...]) -> Iterator[Link]:
    """The links that lead to something of ours in another file."""
    return (link for link in links if not is_external(link.target) and not link.target.startswith("#"))


def _path_of(link: Link) -> str:
    return unquote(link.target.partition("#")[0])


def _between(here: str, there: str) -> str:
    return posixpath.relpath(there, posixpath.dirname(here) or ".")


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """The second-level headings of a page with the text under each."""
    for part in re.split(r"(?m)^## ", text)[1:]:
        heading, _, rest = part.partition("\n")
        yield heading.strip(), rest


def _linked_pages(tree: Tree, text: str) -> list[str]:
    """The pages that a piece of the front page links."""
    targets = (resolve(FRONT, _path_of(link)) for link in _inside(read(text).links))
    return [page for one in targets if (page := tree.page_at(one)) is not None]


def _parent(tree: Tree, path: str) -> str | None:
    """The page over this one: the README beside it, or of a folder above; none for what stands at a root."""
    folder, name = posixpath.split(path)
    if name == "README.md":
        folder = posixpath.dirname(folder)
    while folder:
        over = f"{folder}/README.md"
        if over in tree.pages:
            return None if over == FRONT else over
        folder = posixpath.dirname(folder)
    return None
