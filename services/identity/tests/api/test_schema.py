"""Proves that no request that the OpenAPI document allows, or nearly allows, meets a 500 or an undocumented answer."""

import base64
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from pydantic import SecretStr
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,  # pyright: ignore[reportUnknownVariableType] - schemathesis types it in part
    positive_data_acceptance,  # pyright: ignore[reportUnknownVariableType] - schemathesis types it in part
    unsupported_method,  # pyright: ignore[reportUnknownVariableType]
)

from ledgerlink_identity.app import make_app
from ledgerlink_identity.connectors.hashing import Hasher
from ledgerlink_identity.runtime import Settings, make_runtime
from ledgerlink_kit.testing.plugin import MakeDatabase, Templates

ADMIN, PASSWORD = "root@ledgerlink.test", "a long enough secret"
ENDS_THE_SESSION = ("/auth/logout", "/auth/logout-all")


@pytest.fixture
def served(make_database: MakeDatabase, database_templates: Templates) -> Iterator[str]:
    """Identity, served on a free port by a thread with an event loop of its own; gives its address."""
    name = database_templates.clone("ledgerlink_identity")
    chosen = Settings.model_validate(
        {
            "environment": "test",
            "database_url": database_templates.address(name),
            "key_encryption_key": base64.b64encode(b"k" * 32).decode(),
            "mail_url": "file:///never",
            "admin_email": ADMIN,
            "admin_password": SecretStr(PASSWORD),
        }
    )
    app = make_app(make_runtime(chosen, "test", hasher=Hasher(memory_kib=64)))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
    database_templates.drop(name)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")  # schemathesis draws by random
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_documented_and_none_is_a_500(served: str, mode: GenerationMode) -> None:
    api: Any = schemathesis.openapi
    form = {"username": ADMIN, "password": PASSWORD}
    probed = 0
    for found in api.from_url(f"{served}/openapi.json").get_all_operations():
        # Each operation with a session of its own: some end theirs.
        token = httpx.post(f"{served}/auth/token", data=form).json()["access_token"]
        probe(found.ok(), mode, token)
        probed += 1
    assert probed == 23


def probe(operation: Any, mode: GenerationMode, token: str) -> None:
    """Send requests that fit the operation's description, or that miss it by a little, and validate the answers."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
    def send(case: Any) -> None:
        # A weak password, an unknown code or a spent token fits the schema and is refused by the domain. In a form, an
        # empty field counts as left out (RFC 6749, section 3.2), which JSON Schema has no words for.
        left_out: list[Any] = [positive_data_acceptance, negative_data_rejection, unsupported_method]
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, excluded_checks=left_out)

    try:
        send()
    except Unsatisfiable:
        # An operation without parameters cannot be missed by a little.
        assert mode is GenerationMode.NEGATIVE
