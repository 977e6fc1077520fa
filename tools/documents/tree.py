"""What git tracks, as a tree that links may point into."""

import posixpath
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from documents.markdown import Page, read

ROOT: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Tree:
    """Every file by its path from the root, and the text of those that are Markdown."""

    files: frozenset[str]
    texts: Mapping[str, str]

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that holds a file; the root is ``.``."""
        found = {"."}
        for path in self.files:
            while (path := posixpath.dirname(path)) and path not in found:
                found.add(path)
        return frozenset(found)

    @cached_property
    def pages(self) -> Mapping[str, Page]:
        """Every Markdown file, taken apart."""
        return {path: read(text) for path, text in self.texts.items()}

    def has(self, path: str) -> bool:
        """Whether there is such a file or folder."""
        return path in self.files or path in self.folders

    def page_at(self, path: str) -> str | None:
        """The page that is shown at a path: itself, or the README of a folder; None when there is none."""
        for found in (path, posixpath.normpath(posixpath.join(path, "README.md"))):
            if found in self.texts:
                return found
        return None


def resolve(page: str, target: str) -> str:
    """The path from the root that a relative link of a page points to; it may lead outside (``../x``)."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def tracked(root: Path = ROOT) -> Tree:
    """What git tracks or would track; raises CalledProcessError outside of a repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    files = frozenset(path for path in done.stdout.split("\0") if path and (root / path).exists())
    return Tree(files, {path: (root / path).read_text("utf-8") for path in sorted(files) if path.endswith(".md")})


def ignored(paths: Iterable[str], root: Path = ROOT) -> frozenset[str]:
    """Those of the paths that git ignores: what is made, not kept."""
    given = "\0".join(paths)
    if not given:
        return frozenset()
    command = ["git", "check-ignore", "--no-index", "-z", "--stdin"]
    done = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True, input=given)
    return frozenset(path for path in done.stdout.split("\0") if path)
