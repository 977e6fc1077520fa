"""Rules about wiring: dependencies are arguments, made in one place, and errors are never swallowed."""

import ast
from collections.abc import Iterator
from typing import TypeGuard

from ledgerlink_tidy.source import Source, dotted

RESOURCES = frozenset(
    {
        "AsyncClient",
        "AsyncSession",
        "Client",
        "Database",
        "FastAPI",
        "HttpClient",
        "Redis",
        "Redis.from_url",
        "Session",
        "async_sessionmaker",
        "create_app",
        "create_async_engine",
        "create_engine",
        "redis.from_url",
        "sessionmaker",
    }
)
HTTP_LIBRARIES = frozenset({"httpx", "requests", "aiohttp", "urllib3", "urllib.request", "http.client"})
EVERYTHING = frozenset({"Exception", "BaseException"})


def stray_depends(source: Source) -> Iterator[tuple[int, str]]:
    """``Depends`` and ``Security`` stand only in ``api/`` and in the kit; elsewhere a function takes arguments."""
    if not source.module or "api" in source.module or source.module[0] == "ledgerlink_kit":
        return
    for line, name in source.imports():
        if name in {"fastapi.Depends", "fastapi.Security", "fastapi.params.Depends"}:
            yield line, "Depends belongs in api/: pass the dependency as an argument"


def resource_at_import(source: Source) -> Iterator[tuple[int, str]]:
    """No engine, session, client or app comes to life when a shipped module is imported."""
    if not source.is_shipped:
        return
    for node in _import_time(source.tree):
        if isinstance(node, ast.Call):
            name = dotted(node.func)
            if {name.split(".")[-1], ".".join(name.split(".")[-2:])} & RESOURCES:
                yield node.lineno, f"{name}() runs at import: make it in app.py or worker.py and pass it on"


def _import_time(tree: ast.Module) -> Iterator[ast.AST]:
    """Every node that runs at import: all but the bodies of functions and of ``if __name__ == "__main__"``."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for child in ast.iter_child_nodes(node):
            main = isinstance(child, ast.If) and "__main__" in ast.unparse(child.test)
            if not main and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                waiting.append(child)


def stray_http(source: Source) -> Iterator[tuple[int, str]]:
    """HTTP libraries stand behind kit's HttpClient, in connectors, and in the tools that play the outside."""
    if not source.module or source.module[0] in {"ledgerlink_kit", "ledgerlink_stack", "ledgerlink_sandbox"}:
        return
    if "connectors" in source.module or source.module[-1] in {"client", "proxy"}:
        return
    for line, name in source.imports():
        for library in HTTP_LIBRARIES:
            if name == library or name.startswith(f"{library}."):
                yield line, f"{library} belongs in connectors/ or a client: use kit's HttpClient"


def swallowed_error(source: Source) -> Iterator[tuple[int, str]]:
    """No ``except Exception: pass``: what is caught is named and answered."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and _catches_all(node.type) and all(_is_nothing(it) for it in node.body):
            yield node.lineno, "this swallows every error: name what you expect, or let it rise"
        elif _is_suppress(node) and any(_catches_all(argument) for argument in node.args):
            yield node.lineno, "this suppresses every error: name what you expect, or let it rise"


def _is_suppress(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether a node is a call to contextlib.suppress."""
    return isinstance(node, ast.Call) and dotted(node.func) in {"suppress", "contextlib.suppress"}


def _catches_all(kind: ast.expr | None) -> bool:
    """Whether an except clause catches everything: bare, Exception, or a tuple that holds it."""
    if kind is None:
        return True
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return any(dotted(it) in EVERYTHING for it in kinds)


def _is_nothing(node: ast.stmt) -> bool:
    """Whether a statement does nothing: ``pass``, ``...``, ``continue`` or a string."""
    quiet = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return quiet or isinstance(node, ast.Pass | ast.Continue)
