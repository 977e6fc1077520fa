"""The list of Prometheus metrics, read from the code that makes them."""

import ast

from exporting.workspace import REFERENCE, constant, page, source_files, table

KINDS = frozenset({"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"})
NAME_AND_HELP = 2


def pages() -> dict[str, str]:
    """One page with every metric: name, kind, labels, meaning, and the module that makes it."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for module, tree in source_files():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                if len(node.args) < NAME_AND_HELP or not constant(node.args[0]):
                    continue
                row = (f"`{constant(node.args[0])}`", node.func.id.lower(), _labels(node), constant(node.args[1]))
                rows.setdefault(row, []).append(module)
    lines = [(*row, ", ".join(f"`{module}`" for module in sorted(set(rows[row])))) for row in sorted(rows)]
    text = page(
        "Metrics",
        "Served in Prometheus' text form at `/metrics` by every service and every worker.",
        table(("name", "kind", "labels", "meaning", "made in"), lines),
    )
    return {f"{REFERENCE}/metrics.md": text}


def _labels(node: ast.Call) -> str:
    """The label names of a metric's call, third argument or ``labelnames=``."""
    given = [keyword.value for keyword in node.keywords if keyword.arg == "labelnames"] + node.args[2:3]
    if given and isinstance(given[0], ast.List | ast.Tuple):
        return ", ".join(constant(element) for element in given[0].elts)
    return ""
