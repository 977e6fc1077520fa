"""One OpenAPI 3.1 document out of the services' own: paths as the public sees them, component names without conflict.

An operation stands in the merged document if and only if the route table leads to it. A component name that two parts
fill differently (or alike, but with a reference to such a one) is prefixed with its part's name in each of them.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from ledgerlink_gateway.domain.route_table import Access, RouteTable, public_path

OPENAPI: Final = "3.1.0"
PARTS_MEMBER: Final = "x-ledgerlink-parts"

_METHODS: Final = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
_REFERENCE: Final = re.compile(r"^#/components/([A-Za-z]+)/(.+)$")
_EDGE_ANSWERS: Final = {
    "429": "Too many requests; Retry-After says when to try again",
    "502": "The service ended the connection, or gave no valid answer",
    "503": "The service, or a part of it, cannot be reached now",
    "504": "The service did not answer in time",
}
_PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}

Document = dict[str, Any]
_Name = tuple[str, str]


def merge(
    own: Document, parts: Mapping[str, Document], table: RouteTable, states: Mapping[str, Mapping[str, str]]
) -> Document:
    """Merge the gateway's ``own`` document with those of the services.

    ``parts`` hold the documents that are at hand, by upstream name; ``states`` say of every part whether it is served,
    stale or unavailable, and stand in the result.
    """
    everything = {"gateway": own, **parts}
    conflicts = _conflicts(everything)
    paths: dict[str, Any] = {}
    components: dict[str, dict[str, Any]] = {}
    for part, document in everything.items():
        rename = _renamer(part, conflicts)
        for path, item in sorted(_object(document.get("paths")).items()):
            public = path if part == "gateway" else _public(table, part, path)
            if public is not None:
                paths.setdefault(public, {}).update(_operations(part, public, rename(item), table))
        for section, members in _object(document.get("components")).items():
            target = components.setdefault(section, {})
            for name, value in _object(members).items():
                target[_renamed(part, (section, name), conflicts)] = rename(value)
    info = {**_object(own.get("info"))}
    missing = sorted(name for name, state in states.items() if state.get("state") == "unavailable")
    if missing:
        note = f"**Not shown now, because they do not answer: {', '.join(missing)}.**"
        info["description"] = f"{info.get('description', '')}\n\n{note}".strip()
    return {
        "openapi": OPENAPI,
        "info": info,
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {section: dict(sorted(members.items())) for section, members in sorted(components.items())},
        PARTS_MEMBER: {name: dict(state) for name, state in states.items()},
    }


def _public(table: RouteTable, part: str, path: str) -> str | None:
    public = public_path(table.of_upstream(part), path)
    if public is None:
        return None
    route = table.match(public)
    return public if route is not None and route.upstream == part else None


def _operations(part: str, path: str, item: Document, table: RouteTable) -> Document:
    route = table.match(path)
    result: Document = {}
    for key, value in item.items():
        if key not in _METHODS:
            result[key] = value
            continue
        operation: Document = {**value}
        if "operationId" in operation:
            operation["operationId"] = f"{part}_{operation['operationId']}"
        tags = cast("list[str]", operation.get("tags", []))
        operation["tags"] = [f"{part}: {tag}" for tag in tags if tag != part] or [part]
        if part != "gateway" and route is not None:
            answers = {**_object(operation.get("responses"))}
            for status, description in _EDGE_ANSWERS.items():
                answers.setdefault(status, {"description": description, "content": _PROBLEM})
            if route.access is Access.CALLER:
                operation.setdefault("security", [{"bearer": []}])
                answers.setdefault("401", {"description": "No valid access token", "content": _PROBLEM})
            operation["responses"] = dict(sorted(answers.items()))
        result[key] = operation
    return result


def _conflicts(everything: Mapping[str, Document]) -> set[_Name]:
    """Find the component names that may not be shared: filled differently, or leading to such a one."""
    fillings: dict[_Name, list[Any]] = {}
    for document in everything.values():
        for section, members in _object(document.get("components")).items():
            for name, value in _object(members).items():
                fillings.setdefault((section, name), []).append(value)
    conflicts = {name for name, values in fillings.items() if any(value != values[0] for value in values[1:])}
    shared = {name: _references(values[0]) for name, values in fillings.items() if name not in conflicts and values[1:]}
    grew = True
    while grew:
        reached = {name for name, led_to in shared.items() if led_to & conflicts} - conflicts
        conflicts |= reached
        grew = bool(reached)
    return conflicts


def _references(value: Any) -> set[_Name]:
    found: set[_Name] = set()
    pending = [value]
    while pending:
        current = pending.pop()
        if isinstance(current, str):  # a `$ref`, or a target in a discriminator's mapping
            match = _REFERENCE.match(current)
            if match is not None:
                found.add((match.group(1), match.group(2)))
        elif isinstance(current, dict):
            pending.extend(cast("Document", current).values())
        elif isinstance(current, list):
            pending.extend(cast("list[Any]", current))
    return found


class _renamer:  # noqa: N801 - used as a function
    """Rewrites the references in a part's document."""

    def __init__(self, part: str, conflicts: set[_Name]) -> None:
        self._part = part
        self._conflicts = conflicts

    def __call__(self, value: Any) -> Any:
        if isinstance(value, dict):
            members = cast("Document", value)
            return {key: self._reference(key, member) for key, member in members.items()}
        if isinstance(value, list):
            return [self(member) for member in cast("list[Any]", value)]
        return value

    def _reference(self, key: str, member: Any) -> Any:
        if key == "$ref" and isinstance(member, str):
            return self._moved(member)
        if key == "mapping" and isinstance(member, dict):  # a discriminator's
            mapping = cast("Document", member)
            return {
                name: self._moved(target) if isinstance(target, str) else target for name, target in mapping.items()
            }
        return self(member)

    def _moved(self, reference: str) -> str:
        match = _REFERENCE.match(reference)
        if match is None:
            return reference
        name = (match.group(1), match.group(2))
        return f"#/components/{name[0]}/{_renamed(self._part, name, self._conflicts)}"


def _renamed(part: str, name: _Name, conflicts: set[_Name]) -> str:
    return f"{part.capitalize()}{name[1]}" if name in conflicts else name[1]


def _object(value: Any) -> Document:
    return cast("Document", value) if isinstance(value, dict) else {}
