"""The OpenAPI document of every service as its app gives it, and the merged one that the gateway serves at /docs."""

import asyncio
import base64
import inspect
from collections.abc import Callable
from typing import Any, cast

from fastapi import FastAPI
from pydantic import SecretStr

from exporting.settings import settings_of
from exporting.workspace import REFERENCE, SERVICES, CannotExport, as_json, load
from ledgerlink_kit.settings import ServiceSettings

# The names under which a composition root may make its runtime from settings, and its app from the runtime.
RUNTIME_MAKERS = ("make_runtime", "build_runtime", "create_runtime")
APP_MAKERS = ("make_app", "build_app", "create_wallet", "create_payments", "create_risk")
ADDRESS = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"


def pages() -> dict[str, str]:
    """One document per service, and ``ledgerlink.json``: all of them as the gateway's route table shows them."""
    return asyncio.run(_pages())


async def _pages() -> dict[str, str]:
    """The documents; apps are made inside a running loop, as they are when they serve."""
    documents = {service: _document(service) for service in SERVICES}
    out = {f"{REFERENCE}/openapi/{service}.json": as_json(document) for service, document in documents.items()}
    out[f"{REFERENCE}/openapi/ledgerlink.json"] = as_json(_merged(documents))
    return out


def _document(service: str) -> dict[str, Any]:
    """The document of one service."""
    root = load(f"ledgerlink_{service}.app")
    settings = placeholder_settings(service)
    if service == "gateway":
        return cast("FastAPI", root.create_gateway(settings)._own).openapi()  # noqa: SLF001 - the app inside the edge
    make_app, make_runtime = _maker(root, APP_MAKERS), _maker(root, RUNTIME_MAKERS)
    extra = (service,) if _wants_name(make_runtime) else ()
    return cast("FastAPI", make_app(make_runtime(settings, *extra))).openapi()


def _wants_name(maker: Callable[..., Any]) -> bool:
    """Whether a runtime is also told what process it is for."""
    required = [it for it in inspect.signature(maker).parameters.values() if it.default is inspect.Parameter.empty]
    return len(required) > len(("settings",))


def _maker(module: object, names: tuple[str, ...]) -> Callable[..., Any]:
    """The function of a composition root that goes by one of the house's names."""
    for name in names:
        if hasattr(module, name):
            return cast("Callable[..., Any]", getattr(module, name))
    raise CannotExport(f"{getattr(module, '__name__', module)} offers none of {', '.join(names)}")


def placeholder_settings(service: str) -> ServiceSettings:
    """Settings that name no real place: an app made from them describes itself, and opens nothing before it serves."""
    given: dict[str, Any] = {}
    kind = settings_of(service)
    for name, field in kind.model_fields.items():
        if not field.is_required():
            continue
        text = ADDRESS if name == "database_url" else "file:///nowhere" if name == "mail_url" else "placeholder"
        text = base64.b64encode(bytes(32)).decode() if name.endswith("_key") else text
        given[name] = SecretStr(text) if field.annotation is SecretStr else text
    return kind(**given)


def _merged(documents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the gateway would serve when all its services answer."""
    root, merging = load("ledgerlink_gateway.app"), load("ledgerlink_gateway.domain.openapi_merge")
    table = root.default_table(placeholder_settings("gateway"))
    parts = {
        name: document for name, document in documents.items() if name in {"identity", "wallet", "payments", "risk"}
    }
    return merging.merge(documents["gateway"], parts, table, {name: {"state": "served"} for name in parts})
