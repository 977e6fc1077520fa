"""What a rule sees: one file, and what it answers: findings."""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

ALLOW = re.compile(r"tidy: allow (?P<rule>[a-z-]+) -- (?P<reason>\S.{9,})")


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule at one place. ``line`` counts from 1; ``sentence`` says what to do about it."""

    path: str
    line: int
    rule: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.rule} {self.sentence}"


@dataclass(frozen=True)
class Source:
    """One tracked file: its path from the repository's root, with forward slashes, and its text."""

    path: str
    text: str

    @classmethod
    def read(cls, root: Path, path: str) -> "Source | None":
        """The file at ``path`` under ``root``; None for what is no text (pictures, archives) or is gone."""
        try:
            return cls(path, (root / path).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, FileNotFoundError, IsADirectoryError):
            return None

    @cached_property
    def pure_path(self) -> PurePosixPath:
        """The path, taken apart."""
        return PurePosixPath(self.path)

    @cached_property
    def lines(self) -> list[str]:
        """The text's lines, without their ends."""
        return self.text.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree; only for Python files. Raises SyntaxError where the text is no Python."""
        return ast.parse(self.text, filename=self.path)

    @property
    def is_python(self) -> bool:
        """Whether the file is Python."""
        return self.pure_path.suffix == ".py"

    @property
    def is_test(self) -> bool:
        """Whether the file stands among tests (test modules, conftest, fakes beside them)."""
        return "tests" in self.pure_path.parts[:-1] or self.pure_path.parts[0] == "bench"

    @property
    def is_test_module(self) -> bool:
        """Whether pytest collects the file."""
        return self.is_test and self.is_python and self.pure_path.name.startswith("test_")

    @property
    def is_migration(self) -> bool:
        """Whether the file is a migration or its environment."""
        return "migrations" in self.pure_path.parts[:-1]

    @property
    def is_shipped(self) -> bool:
        """Whether the file is Python that runs in a service, a library or the stack."""
        return self.is_python and "src" in self.pure_path.parts[:-1] and not self.is_test

    @property
    def module(self) -> tuple[str, ...]:
        """The dotted name of a shipped module, e.g. ``("ledgerlink_wallet", "domain", "apply")``; else empty."""
        if not self.is_shipped:
            return ()
        parts = self.pure_path.with_suffix("").parts
        return parts[parts.index("src") + 1 :]

    def allows(self, line: int, rule: str) -> bool:
        """Whether the line, or the one above it, carries ``tidy: allow <rule> -- <reason>``."""
        for number in (line, line - 1):
            match = ALLOW.search(self.lines[number - 1]) if 0 < number <= len(self.lines) else None
            if match and match["rule"] == rule:
                return True
        return False

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and full dotted name of everything imported: ``from a import b`` gives ``a.b``."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield node.lineno, alias.name
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    yield node.lineno, f"{node.module}.{alias.name}"


@dataclass(frozen=True, slots=True)
class Rule:
    """A house rule: its name, why it is one, and the check that yields (line, sentence) for each breach."""

    name: str
    why: str
    check: Callable[[Source], Iterator[tuple[int, str]]]
    any_text: bool = field(default=False)

    def findings(self, source: Source) -> Iterator[Finding]:
        """The breaches in one file, without those that are allowed where they stand, with a reason."""
        if not self.any_text and not source.is_python:
            return
        for line, sentence in self.check(source):
            if not source.allows(line, self.name):
                yield Finding(source.path, line, self.name, sentence)


def dotted(node: ast.AST) -> str:
    """The dotted name of an expression (``datetime.now``), empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""
