"""Fixtures of identity's tests: settings, and a runtime on a database of its own."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from ledgerlink_identity.app import make_app
from ledgerlink_identity.commands.keys import ensure_keys
from ledgerlink_identity.connectors.hashing import Hasher
from ledgerlink_identity.runtime import Runtime, Settings, make_runtime
from ledgerlink_kit.db import Database
from ledgerlink_kit.testing import ManualClock, client_for


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            "environment": "test",
            "database_url": "postgresql://not-used",
            "key_encryption_key": base64.b64encode(b"k" * 32).decode(),
            "service_clients": {"payments": SecretStr("p" * 32), "gateway": SecretStr("g" * 32)},
            "mail_url": f"file://{tmp_path}/mail",
            "issuer": "http://issuer.test",
            "admin_email": "root@ledgerlink.test",
            "admin_password": SecretStr("a long enough secret"),
        }
        return Settings(**{**values, **changes})

    return make


@pytest_asyncio.fixture
async def make_rt(
    make_database: Callable[[str], Awaitable[Database]], clock: ManualClock, make_settings: Callable[..., Settings]
) -> AsyncIterator[Callable[..., Awaitable[Runtime]]]:
    """A factory of runtimes with cheap password hashes; each has a fresh database unless it is given one."""
    made: list[Runtime] = []

    async def make(db: Database | None = None, **changes: Any) -> Runtime:
        database = db or await make_database("ledgerlink_identity")
        settings = make_settings(**changes)
        hasher = Hasher(threads=settings.hash_threads, waiting_max=settings.hash_waiting_max, memory_kib=64)
        rt = make_runtime(settings, "test", clock=clock, db=database, hasher=hasher)
        await ensure_keys(rt.db, rt.vault, rt.clock)
        made.append(rt)
        return rt

    yield make
    for rt in made:
        rt.hasher.close()


@pytest_asyncio.fixture
async def rt(make_rt: Callable[..., Awaitable[Runtime]]) -> Runtime:
    return await make_rt()


@pytest_asyncio.fixture
async def http(rt: Runtime) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app in process, without a token."""
    async with client_for(make_app(rt)) as client:
        yield client
