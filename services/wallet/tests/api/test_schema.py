"""Proves that whatever is sent, within the OpenAPI description or beside it, is answered as documented, never 500."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,  # pyright: ignore[reportUnknownVariableType] - schemathesis types it in part
    positive_data_acceptance,  # pyright: ignore[reportUnknownVariableType]
    unsupported_method,  # pyright: ignore[reportUnknownVariableType]
)

from ledgerlink_contracts.ids import UserId
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.testing import TokenMint
from ledgerlink_kit.testing.plugin import MakeDatabase, Templates
from ledgerlink_wallet.app import build_app
from ledgerlink_wallet.runtime import WalletSettings

OPERATIONS = 66


@schemathesis.serializer("application/x-ndjson")
def write_lines(_context: Any, value: Any) -> bytes:
    """Send what was drawn for a body of lines: a text as it is, anything else as one line of JSON."""
    return value.encode(errors="replace") if isinstance(value, str) else json.dumps(value).encode()


@pytest.fixture
def served(make_database: MakeDatabase, database_templates: Templates) -> Iterator[tuple[str, str]]:
    """The wallet, served on a free port by a thread with an event loop of its own; gives its address and a token."""
    name = database_templates.clone("ledgerlink_wallet")
    mint = TokenMint()
    chosen = WalletSettings.model_validate(
        {
            "environment": "test",
            "self_funding": True,
            "database_url": database_templates.address(name),
            "checkpoint_key": base64.b64encode(bytes(32)).decode(),
        }
    )
    app = build_app(chosen, SystemClock(), mint.verifier())
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    scopes = ["wallet:read", "wallet:write", "ledger:read", "ledger:write", "ledger:audit"]
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield address, mint.token(str(UserId.derive("alice")), scopes, life_s=3_600)
    server.should_exit = True
    thread.join()
    database_templates.drop(name)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")  # schemathesis draws by random
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_documented_and_none_is_a_500(served: tuple[str, str], mode: GenerationMode) -> None:
    api: Any = schemathesis.openapi
    probed = 0
    for found in api.from_url(f"{served[0]}/openapi.json").get_all_operations():
        probe(found.ok(), mode, served[1])
        probed += 1

    assert probed == OPERATIONS


def probe(operation: Any, mode: GenerationMode, token: str) -> None:
    """Send requests that fit the operation's description, or that miss it by a little, and validate the answers."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
    def send(case: Any) -> None:
        # An unknown wallet, code or hold fits the schema and is refused by the ledger; an unknown query parameter does
        # not fit it and is ignored, as HTTP is used to. What must be rejected stands in `test_bad_input`.
        case.call_and_validate(
            headers={"Authorization": f"Bearer {token}"},
            excluded_checks=[positive_data_acceptance, negative_data_rejection, unsupported_method],
        )

    try:
        send()
    except Unsatisfiable:
        # An operation without parameters cannot be missed by a little.
        assert mode is GenerationMode.NEGATIVE
