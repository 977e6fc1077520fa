"""The OpenAPI document of every service, as its app gives it."""

import os
from collections.abc import Callable
from typing import Any, cast

from fastapi import FastAPI

from exporting.settings import settings_of
from exporting.workspace import REFERENCE, SERVICES, CannotExport, as_json, load

FACTORY = "create"


def app_of(service: str) -> FastAPI:
    """A service's app, made from placeholder settings; nothing is opened until it serves."""
    module = load(f"ledgerlink_{service}.app")
    factory = cast("Callable[..., FastAPI] | None", getattr(module, FACTORY, None))
    if factory is None:
        raise CannotExport(f"ledgerlink_{service}.app has no function {FACTORY}(settings)")
    return factory(settings_of(service)(**_placeholders(service)))


def _placeholders(service: str) -> dict[str, Any]:
    """Values for the settings that have no default."""
    os.environ.setdefault("LEDGERLINK_EXPORT", service)
    return {}


def pages() -> dict[str, str]:
    """One document per service."""
    return {f"{REFERENCE}/openapi/{service}.json": as_json(app_of(service).openapi()) for service in SERVICES}
