"""Rules about ``domain/``: pure functions, so no clock, no randomness, no I/O, no await."""

import ast
from collections.abc import Iterator

from ledgerlink_tidy.source import Source, dotted

IMPURE_MODULES = frozenset(
    {
        "asyncio",
        "io",
        "os",
        "pathlib",
        "random",
        "secrets",
        "shutil",
        "socket",
        "subprocess",
        "tempfile",
        "threading",
        "time",
    }
)
IMPURE_CALLS = frozenset(
    {
        "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "time.monotonic",
        "uuid1", "uuid4", "uuid7", "uuid.uuid1", "uuid.uuid4", "uuid.uuid7", "open", "print", "input",
    }
)  # fmt: skip


def impure_domain(source: Source) -> Iterator[tuple[int, str]]:
    """A domain module takes the time, the ids and the facts as arguments and returns what follows from them."""
    if "domain" not in source.module:
        return
    for line, name in source.imports():
        if name.split(".")[0] in IMPURE_MODULES:
            yield line, f"domain imports {name.split('.')[0]}: take what you need from it as an argument"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield node.lineno, "domain does not await: let the command fetch, and pass values"
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            if {name, ".".join(name.split(".")[-2:])} & IMPURE_CALLS:
                yield node.lineno, f"domain calls {name}(): take the value as an argument"
