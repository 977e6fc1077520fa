"""The list of problem codes: every refusal that stands in the code, with its HTTP status."""

import ast
import enum
import inspect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from exporting.workspace import REFERENCE, constant, load, page, source_files, table
from ledgerlink_kit.errors import Kind
from ledgerlink_kit.problem import STATUS

KIND_AND_CODE = 2
ERROR_STATUSES = range(400, 600)


def pages() -> dict[str, str]:
    """One page: code, status, and which parts of the system answer it."""
    where: dict[tuple[str, str], set[str]] = defaultdict(set)
    for module, tree in source_files():
        if module.endswith(".fake"):
            continue  # a fake answers what its service answers
        for status, code in [*_literal(tree), *_enumerated(module, tree)]:
            where[code, status].add(_part(module))
    rows = [(f"`{code}`", status, ", ".join(sorted(where[code, status]))) for code, status in sorted(where)]
    text = page(
        "Problem codes",
        "Every 4xx and 5xx is `application/problem+json` (RFC 9457). `code` is what a program should look at: "
        "it never changes its meaning. A code of the kit may be answered by every service.",
        table(("code", "status", "answered by"), rows),
    )
    return {f"{REFERENCE}/problems.md": text}


def _part(module: str) -> str:
    """The part of the system that a module belongs to; a contract belongs to its service."""
    package, _, rest = module.partition(".")
    return rest.split(".")[0] if package == "ledgerlink_contracts" and rest else package.removeprefix("ledgerlink_")


def _literal(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Status and code of every refusal and outage that is raised, or that a class of its own is made of."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield from _made(node.func.id, node.args)
        elif isinstance(node, ast.ClassDef):
            families = [base.id for base in node.bases if isinstance(base, ast.Name)]
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__":
                    yield from _made(families[0] if families else "", call.args)


def _made(family: str, arguments: list[ast.expr]) -> Iterator[tuple[str, str]]:
    """Status and code of ``Refused(Kind.X, "code", …)`` and ``Unavailable("code", …)``, wherever they are written."""
    of_a_kind = len(arguments) >= KIND_AND_CODE and ast.unparse(arguments[0]).startswith("Kind.")
    if len(arguments) >= KIND_AND_CODE and (of_a_kind or family == "Refused") and constant(arguments[1]):
        yield _status(arguments[0]), constant(arguments[1])
    elif family == "Unavailable" and arguments and constant(arguments[0]):
        yield "503", constant(arguments[0])


def _status(node: ast.expr) -> str:
    """The HTTP status of a ``Kind.X`` expression; a dash where the kind is worked out at run time."""
    if isinstance(node, ast.Attribute) and node.attr in Kind.__members__:
        return str(STATUS[Kind[node.attr]])
    return "—"


def _enumerated(name: str, tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Status and code from a module's tables: enum members to kinds, HTTP statuses to codes, members that are both."""
    names = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    if not names & {"Kind", "Enum"}:
        return
    for _, value in inspect.getmembers(load(name)):
        if isinstance(value, Mapping):
            yield from _from_mapping(cast("Mapping[Any, Any]", value))
        elif isinstance(value, type) and issubclass(value, enum.Enum):
            yield from _from_members(member.value for member in value)


def _from_mapping(mapping: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    """Pairs from ``{RefusalCode.X: Kind.Y}`` and ``{404: "unknown-path"}``."""
    for key, value in mapping.items():
        if isinstance(key, enum.Enum) and isinstance(key.value, str) and isinstance(value, Kind):
            yield str(STATUS[value]), key.value
        elif isinstance(key, int) and isinstance(value, str) and value.islower():
            yield str(key), value


def _from_members(values: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Pairs from enum members that are ``(code, status, …)``."""
    for value in values:
        match value:
            case (str() as code, int() as status, *_) if status in ERROR_STATUSES:
                yield str(status), code
            case _:
                pass
