"""Pages that are made from JSON: one per service's OpenAPI document, one of all public routes, one per event."""

import json
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from documents.markdown import slug
from documents.schemas import cell, kind, said_of, shape, table

OPENAPI: Final = "docs/reference/openapi"
EVENTS: Final = "docs/reference/events"
MERGED: Final = "ledgerlink"
_SAID_BY_STATUS: Final = "Successful Response"
_INDEX: Final = """# Routes

Every route of every service, made from its OpenAPI document. [What the gateway serves](ledgerlink.md) is the public
surface; the services' own pages tell each route's parameters, bodies and answers, under the service's own paths.

| service | is for | routes |
|---|---|---|
"""


def pages(root: Path) -> dict[str, str]:
    """Every made page by the path in the tree at which it would stand."""
    documents = {path.stem: json.loads(path.read_text()) for path in sorted((root / OPENAPI).glob("*.json"))}
    services = {name: document for name, document in documents.items() if name != MERGED}
    found = {f"{OPENAPI}/{name}.md": service(name, document) for name, document in services.items()}
    found[f"{OPENAPI}/{MERGED}.md"] = merged(documents[MERGED], services)
    found[f"{OPENAPI}/README.md"] = _INDEX + "\n".join(
        f"| [{name}]({name}.md) | {cell(document['info']['summary'])} | {len(list(_operations(document)))} |"
        for name, document in documents.items()
    )
    for path in sorted((root / EVENTS).glob("*.json")):
        found[f"{EVENTS}/{path.stem}.md"] = event(path.stem, json.loads(path.read_text()))
    return found


def documents(root: Path) -> list[Path]:
    """The documents that the pages are made from."""
    return sorted([*(root / OPENAPI).glob("*.json"), *(root / EVENTS).glob("*.json")])


def service(name: str, document: Mapping[str, Any]) -> str:
    """The page of one service: its routes by tag, then the shapes that they name."""
    operations = list(_operations(document))
    parts = [f"# {name.capitalize()}: routes", document["info"]["summary"], _raw(name)]
    tags = dict.fromkeys(operation["tags"][0] for _, _, operation in operations)
    for tag in tags:
        parts.append(f"## {tag.replace('_', ' ').capitalize()}")
        parts += [_operation(m, path, one) for m, path, one in operations if one["tags"][0] == tag]
    parts.append("## Shapes")
    parts += [shape(one, schema) for one, schema in sorted(document["components"]["schemas"].items())]
    return "\n\n".join(parts)


def merged(document: Mapping[str, Any], services: Mapping[str, Mapping[str, Any]]) -> str:
    """The page of all public routes, each with a link to its service's page."""
    parts = ["# What the gateway serves", document["info"]["summary"], _raw(MERGED)]
    own = {
        f"{name}_{operation['operationId']}": f"{name}.md#{slug(f'{method.upper()} {path}')}"
        for name, one in services.items()
        for method, path, operation in _operations(one)
    }
    found: dict[str, list[str]] = {}
    for method, path, operation in _operations(document):
        to = own[operation["operationId"]]
        said = cell(operation.get("description", operation["summary"]).split("\n\n")[0])
        row = f"| [`{method.upper()} {path}`]({to}) | {said} | {' '.join(_needs(operation))} |"
        found.setdefault(operation["tags"][0], []).append(row)
    for tag, rows in sorted(found.items()):
        parts.append(f"## {tag[0].upper()}{tag[1:].replace('_', ' ')}")
        parts.append("\n".join(["| route | does | needs |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def event(name: str, schema: Mapping[str, Any]) -> str:
    """The page of one version of one event: its data, then the shapes that it names."""
    said = " ".join(str(schema.get("description", "")).replace("``", "`").split())
    shapes = [shape(one, inner, level=2) for one, inner in sorted(schema.get("$defs", {}).items())]
    return "\n\n".join([f"# `{name}`", said, _raw(name), "## Data", table(schema), *shapes])


def _raw(name: str) -> str:
    """A link to the document itself, which stands beside its page."""
    return f'The document itself: <a href="{name}.json">{name}.json</a>.'


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def _needs(operation: Mapping[str, Any]) -> list[str]:
    """The permissions that an operation's description ends with."""
    _, needs, last = operation.get("description", "").rpartition("Needs ")
    return [word.strip(" .,") for word in last.split() if word.startswith("`")] if needs else []


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    """One route: what it does, what it takes, what it answers."""
    said = operation.get("description", operation["summary"]).replace("``", "`")
    parts = [f"### `{method.upper()} {path}`", said]
    given = [
        f"| `{one['name']}` {one['in']} | {said_of(kind(one['schema']), must=bool(one.get('required')))} "
        f"| {cell(one.get('description', ''))} |"
        for one in operation.get("parameters", ())
    ]
    if given:
        parts.append("\n".join(["| parameter | is | says |", "|---|---|---|", *given]))
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"Body, `{media}`: {_body(body.get('schema', {}))}")
    parts.append("\n".join(["| answers | with | when |", "|---|---|---|", *_answers(operation["responses"])]))
    return "\n\n".join(parts)


def _body(schema: Mapping[str, Any]) -> str:
    """A body's shape: its name, or a table of its fields where it has no name."""
    return f"\n\n{table(schema)}" if schema.get("properties") else kind(schema)


def _answers(responses: Mapping[str, Any]) -> Iterator[str]:
    """One row per answer that has a shape of its own, and one for all those that are problems."""
    problems: list[str] = []
    for status, answer in responses.items():
        content = answer.get("content", {})
        if "application/problem+json" in content:
            problems.append(f"`{status}`")
            continue
        shapes = [f"`{media}` {_shape(body)}".strip() for media, body in content.items()]
        said = answer["description"].replace(_SAID_BY_STATUS, "")
        yield f"| `{status}` | {', '.join(shapes) or 'nothing'} | {cell(said)} |"
    if problems:
        to = posixpath.relpath("docs/reference/problems.md", OPENAPI)
        yield f"| {' '.join(problems)} | [a problem]({to}) | refused |"


def _shape(body: Mapping[str, Any]) -> str:
    schema = body.get("schema", {})
    return kind(schema) if schema else ""
