"""The table of limits, read from every ``limits.py``: a constant and the sentence below it."""

import ast

from exporting.workspace import REFERENCE, constant, page, source_files, table


def pages() -> dict[str, str]:
    """One page with every shared limit, its value and what passing it means."""
    rows: list[tuple[str, ...]] = []
    for module, tree in source_files():
        if module.split(".")[-1] != "limits":
            continue
        part = module.split(".")[0].removeprefix("ledgerlink_")
        for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
                note = constant(after.value) if isinstance(after, ast.Expr) else ""
                rows.append((part, f"`{node.target.id}`", f"`{ast.unparse(node.value)}`", " ".join(note.split())))
    text = page(
        "Limits",
        "Everything has a limit, and passing one gives a clear refusal. Units stand last in each name "
        "(`_S` seconds, `_MS` milliseconds, `_BYTES`, `_CHARS`).",
        table(("part", "limit", "value", "what it means"), rows),
    )
    return {f"{REFERENCE}/limits.md": text}
