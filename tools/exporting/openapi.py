"""The OpenAPI document of every service as its app gives it, and the merged one that the gateway serves at /docs."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr

from exporting.settings import settings_of
from exporting.workspace import REFERENCE, SERVICES, CannotExport, as_json, load
from ledgerlink_kit.auth import HttpJwks, TokenVerifier
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.settings import ServiceSettings

ADDRESS = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"


def pages() -> dict[str, str]:
    """One document per service, and ``ledgerlink.json``: all of them as the gateway's route table shows them."""
    return asyncio.run(_pages())


async def _pages() -> dict[str, str]:
    """The documents; apps are made inside a running loop, as they are when they serve."""
    documents: dict[str, dict[str, Any]] = {}
    for service in SERVICES:
        if service not in APPS:
            raise CannotExport(f"tools/exporting/openapi.py does not know how {service}'s app is made")
        documents[service] = APPS[service](placeholder_settings(service)).openapi()
    out = {f"{REFERENCE}/openapi/{service}.json": as_json(document) for service, document in documents.items()}
    out[f"{REFERENCE}/openapi/ledgerlink.json"] = as_json(_merged(documents))
    return out


def _verifier(settings: ServiceSettings) -> TokenVerifier:
    """A verifier that never verifies."""
    clock = SystemClock()
    jwks = HttpJwks(settings.identity_url, clock)
    return TokenVerifier(issuer=settings.issuer, audience=settings.audience, jwks=jwks, clock=clock)


def _gateway(settings: ServiceSettings) -> FastAPI:
    edge = load("ledgerlink_gateway.app").create_gateway(settings)
    return edge._own  # noqa: SLF001 - the app inside the edge describes the gateway's own routes


def _identity(settings: ServiceSettings) -> FastAPI:
    root = load("ledgerlink_identity.app")
    return root.make_app(root.make_runtime(settings, "identity"))


def _payments(settings: ServiceSettings) -> FastAPI:
    root = load("ledgerlink_payments.app")
    return root.make_app(settings, root.open_runtime(settings, "payments"), _verifier(settings))


def _risk(settings: ServiceSettings) -> FastAPI:
    root = load("ledgerlink_risk.app")
    database = Database(ADDRESS, application_name="export", pool_size=1)
    return root.build_app(settings, root.Runtime(database, SystemClock()), _verifier(settings))


def _sandbox(settings: ServiceSettings) -> FastAPI:
    root = load("ledgerlink_sandbox.app")
    return root.build_app(root.build_runtime(settings))


def _wallet(settings: ServiceSettings) -> FastAPI:
    root = load("ledgerlink_wallet.app")
    return root.build_app(settings, SystemClock(), _verifier(settings))


APPS: dict[str, Callable[[ServiceSettings], FastAPI]] = {
    "gateway": _gateway,
    "identity": _identity,
    "payments": _payments,
    "risk": _risk,
    "sandbox": _sandbox,
    "wallet": _wallet,
}


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
