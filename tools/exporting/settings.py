"""The settings of every service: a page, and ``.env.example`` with each variable and no secret."""

import inspect
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from exporting.workspace import MADE, REFERENCE, ROOT, SERVICES, CannotExport, load, page, table
from ledgerlink_kit.settings import ServiceSettings
from ledgerlink_kit.tracing import TracingSettings


def settings_of(service: str) -> type[ServiceSettings]:
    """The one settings class that a service defines in ``runtime.py`` (or a module of that package)."""
    folder = ROOT / "services" / service / "src" / f"ledgerlink_{service}"
    names = [path.stem for path in folder.glob("*.py") if path.stem in {"runtime", "settings"}]
    found: list[type[ServiceSettings]] = []
    for name in sorted(names):
        module = load(f"ledgerlink_{service}.{name}")
        found += [
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if issubclass(kind, ServiceSettings) and kind.__module__ == module.__name__
        ]
    if len(found) != 1:
        raise CannotExport(f"{service} should define exactly one settings class in runtime.py, found {len(found)}")
    return found[0]


def pages() -> dict[str, str]:
    """docs/reference/settings.md and .env.example."""
    sections: list[str] = []
    example = [
        f"# {MADE}",
        "# `make up` needs none of these: the local stack makes its own values.",
        "# NAME_FILE=/path gives NAME by a file.",
        "",
    ]
    for service in SERVICES:
        kind = settings_of(service)
        prefix = str(kind.model_config.get("env_prefix", ""))
        rows: list[tuple[str, ...]] = []
        example.append(f"# ── {service} ──")
        for name, field in sorted(kind.model_fields.items()):
            variable = f"{prefix}{name}".upper()
            rows.append((f"`{variable}`", _type(field), _default(field), field.description or ""))
            example += [f"# {field.description}"] if field.description else []
            example.append(f"{'' if field.is_required() else '# '}{variable}={_example(field)}")
        example.append("")
        sections.append(f"## {service}\n\n{table(('variable', 'type', 'default', 'meaning'), rows)}")
    sections.append(_tracing(example))
    introduction = (
        "Read from the environment at start, checked, frozen. A secret has no default and is printed masked.\n"
        "Each may be given by a file instead: `WALLET_DATABASE_URL_FILE` names what holds `WALLET_DATABASE_URL`."
    )
    text = page("Settings", introduction, "\n\n".join(sections))
    return {f"{REFERENCE}/settings.md": text, ".env.example": "\n".join(example)}


def _tracing(example: list[str]) -> str:
    """The section of the settings that have no service's prefix, and their lines of the example."""
    rows: list[tuple[str, ...]] = []
    example.append("# ── every process: traces, by OpenTelemetry's own names ──")
    for name, field in sorted(TracingSettings.model_fields.items()):
        variable = f"{TracingSettings.model_config.get('env_prefix', '')}{name}".upper()
        rows.append((f"`{variable}`", _type(field), _default(field), field.description or ""))
        example += [f"# {field.description}", f"# {variable}={_example(field)}"]
    example.append("")
    return f"## every process\n\n{table(('variable', 'type', 'default', 'meaning'), rows)}"


def _type(field: FieldInfo) -> str:
    """A field's type as a person says it."""
    text = (
        str(field.annotation)
        if "[" in str(field.annotation)
        else getattr(field.annotation, "__name__", str(field.annotation))
    )
    return f"`{text.replace('typing.', '').replace('pydantic.types.', '')}`"


def _default(field: FieldInfo) -> str:
    """A field's default, empty for none; secrets are never shown."""
    value: Any = field.default
    if field.is_required():
        return "required"
    if value is PydanticUndefined or value is None or isinstance(value, SecretStr):
        return ""
    return f"`{value}`"


def _example(field: FieldInfo) -> str:
    """What stands behind the equals sign in ``.env.example``."""
    return _default(field).strip("`") if not field.is_required() else ""
