"""The list of Prometheus metrics, read from the code that makes them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from exporting.workspace import REFERENCE, constant, page, source_files, table

KINDS = frozenset({"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"})
NAME_AND_HELP = 2


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as a module makes it; ``kind`` is Prometheus' word for it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    module: str


def found() -> Iterator[Metric]:
    """Every metric that shipped code makes, in the order of the files."""
    for module, tree in source_files():
        kinds = _kinds(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
                if len(node.args) < NAME_AND_HELP or not constant(node.args[0]):
                    continue
                kind = kinds[node.func.id].lower()
                yield Metric(constant(node.args[0]), kind, _labels(node), constant(node.args[1]), module)


def _kinds(tree: ast.Module) -> dict[str, str]:
    """The names under which a module knows the kinds of metrics, also by ``import … as``."""
    return {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
        for alias in node.names
        if alias.name in KINDS
    }


def pages() -> dict[str, str]:
    """One page with every metric: name, kind, labels, meaning, and the module that makes it."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for each in found():
        row = (f"`{each.name}`", each.kind, ", ".join(each.labels), each.meaning)
        rows.setdefault(row, []).append(each.module)
    lines = [(*row, ", ".join(f"`{module}`" for module in sorted(set(rows[row])))) for row in sorted(rows)]
    text = page(
        "Metrics",
        "Served in Prometheus' text form at `/metrics` by every service and every worker.",
        table(("name", "kind", "labels", "meaning", "made in"), lines),
    )
    return {f"{REFERENCE}/metrics.md": text}


def _labels(node: ast.Call) -> tuple[str, ...]:
    """The label names of a metric's call, third argument or ``labelnames=``."""
    given = [keyword.value for keyword in node.keywords if keyword.arg == "labelnames"] + node.args[2:3]
    if given and isinstance(given[0], ast.List | ast.Tuple):
        return tuple(constant(element) for element in given[0].elts)
    return ()
