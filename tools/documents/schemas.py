"""JSON Schemas in words and tables: the fields of requests, answers and events, as Markdown."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

CHOICES_MAX: Final = 12
DEPTH_MAX: Final = 4
_ID: Final = re.compile(r"\^([a-z]+_)\[0-7\]")
_FORMATS: Final = {"date-time": "moment (RFC 3339)", "date": "date"}


def cell(text: str) -> str:
    """Text for a cell of a table: one line, no mark that ends the cell."""
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def kind(schema: Schema, link: str = "#") -> str:
    """What a value is, in words; a shape of its own is a link (``link`` is put before its anchor)."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"[{name}]({link}{name.lower()})"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return _choices([str(one) for one in schema["enum"]])
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(kind(one, link) for one in schema[several]))
    if schema.get("type") == "array":
        bounds = _bounds(schema, "minItems", "maxItems")
        return f"list of {kind(schema.get('items', {}), link)}{f', {bounds} of them' if bounds else ''}"
    if schema.get("type") == "string":
        if schema.get("format") in _FORMATS:
            return _FORMATS[schema["format"]]
        if prefix := _ID.match(schema.get("pattern", "")):
            return f"id, `{prefix[1]}…`"
        bounds = _bounds(schema, "minLength", "maxLength")
        return f"text of {bounds} characters" if bounds else "text"
    words = {"integer": "integer", "number": "number", "boolean": "`true` or `false`", "null": "`null`"}
    bounds = _bounds(schema, "minimum", "maximum")
    said = words.get(str(schema.get("type")), "object" if schema.get("type") == "object" else "anything")
    return f"{said}, {bounds}" if bounds else said


def _choices(values: list[str]) -> str:
    if len(values) > CHOICES_MAX:
        return f"`{values[0]}`, `{values[1]}` … `{values[-1]}` ({len(values)} codes)"
    return ", ".join(f"`{one}`" for one in values)


def _bounds(schema: Schema, least: str, most: str) -> str:
    low, high = schema.get(least), schema.get(most)
    if low is None and high is None:
        return ""
    if low == high:
        return f"{int(low or 0):,}"
    if high is None:
        return f"at least {int(low or 0):,}"
    return f"at most {int(high):,}" if low is None else f"{int(low):,} to {int(high):,}"


def said_of(words: str, *, must: bool) -> str:
    """A cell that tells what a value is, and whether it has to be there."""
    return cell(f"{words}; required" if must else words)


def rows(schema: Schema, link: str = "#", before: str = "", depth: int = 0) -> Iterator[str]:
    """The rows of a table of an object's fields; the fields of an object inside stand under its name and a dot."""
    required = set(schema.get("required", ()))
    for name, field in schema.get("properties", {}).items():
        inner = _object_in(field)
        said = cell(str(field.get("description", "")))
        if field.get("default") not in (None, ""):
            said = f"{said + '; ' if said else ''}`{field['default']}` unless given".replace("`True`", "`true`")
            said = said.replace("`False`", "`false`")
        yield f"| `{before}{name}` | {said_of(kind(field, link), must=name in required)} | {said} |"
        if inner is not None and depth < DEPTH_MAX:
            yield from rows(inner, link, f"{before}{name}.", depth + 1)


def _object_in(field: Schema) -> Schema | None:
    """The object with fields that a field holds, alone or beside null, where it has no name of its own."""
    for one in (field, *field.get("anyOf", ())):
        if one.get("properties"):
            return one
    return None


def table(schema: Schema, link: str = "#") -> str:
    """A table of an object's fields, or a sentence for what has none."""
    found = list(rows(schema, link))
    if not found:
        return f"{kind(schema, link)}\n"
    return "\n".join(["| field | is | says |", "|---|---|---|", *found]) + "\n"


def shape(name: str, schema: Schema, level: int = 3) -> str:
    """A named shape: its heading, what it is for, its fields."""
    said = " ".join(str(schema.get("description", "")).replace("``", "`").split())
    return f"{'#' * level} {name}\n\n{said}\n\n{table(schema)}"
