"""JSON Schemas of every event: ``docs/reference/events/<type>.v<version>.json`` and their list."""

import inspect
from types import ModuleType

from exporting.workspace import REFERENCE, ROOT, as_json, load, page, table
from ledgerlink_kit.outbox import Event


def modules() -> list[str]:
    """Dotted names of the contracts' event modules."""
    folder = ROOT / "libs" / "contracts" / "src"
    return [".".join(path.relative_to(folder).with_suffix("").parts) for path in sorted(folder.glob("*/*/events.py"))]


def events_of(module: ModuleType) -> list[type[Event]]:
    """The concrete events that a module defines, by type and version."""
    found = [kind for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, Event)]
    own = [kind for kind in found if kind.__module__ == module.__name__ and hasattr(kind, "event_type")]
    return sorted(own, key=lambda kind: (kind.event_type, kind.data_version))


def pages() -> dict[str, str]:
    """One schema per event and version, and the page that lists them."""
    out: dict[str, str] = {}
    rows: list[tuple[str, ...]] = []
    for name in modules():
        for kind in events_of(load(name)):
            file = f"{kind.event_type}.v{kind.data_version}.json"
            schema = {"$id": file, "title": kind.event_type, **kind.model_json_schema()}
            out[f"{REFERENCE}/events/{file}"] = as_json(schema)
            first = (inspect.getdoc(kind) or "").split("\n\n")[0]
            rows.append((f"[`{kind.event_type}`]({file})", str(kind.data_version), first, ", ".join(kind.model_fields)))
    out[f"{REFERENCE}/events/README.md"] = page(
        "Events",
        "What services tell each other, at least once, in order per aggregate. A new field is a compatible change; "
        "anything else is a new version beside the old one.",
        table(("type", "version", "says", "data"), sorted(rows)),
    )
    return out
