"""What a consumer of an event may rely on: fields stay, keep their type, and stay present where they were promised."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

Schema = Mapping[str, Any]
NOTES = frozenset({"title", "description", "examples", "$id", "deprecated"})


def breaks(old: Schema, new: Schema, place: str = "") -> Iterator[str]:
    """Say, one sentence each, what someone who reads by the ``old`` schema would miss in data of the ``new`` one."""
    was, now = _fields(old), _fields(new)
    for name, field in was.items():
        path = f"{place}.{name}" if place else name
        if name not in now:
            yield f"{path} is gone"
        elif _meaning(field) != _meaning(now[name]):
            yield f"{path} changed its form"
    for name in set(old.get("required", [])) - set(new.get("required", [])):
        if name in now:
            yield f"{place}.{name} is no longer always there" if place else f"{name} is no longer always there"
    definitions = cast("dict[str, Schema]", new.get("$defs", {}))
    for name, definition in cast("dict[str, Schema]", old.get("$defs", {})).items():
        if name in definitions:
            yield from breaks(definition, definitions[name], f"{place}.{name}" if place else name)


def _fields(schema: Schema) -> dict[str, Any]:
    """A schema's properties."""
    return dict(schema.get("properties", {}))


def _meaning(value: Any) -> Any:
    """A schema without the notes that are for people."""
    if isinstance(value, dict):
        return {key: _meaning(inner) for key, inner in cast("dict[str, Any]", value).items() if key not in NOTES}
    if isinstance(value, list):
        return [_meaning(inner) for inner in cast("list[Any]", value)]
    return value
