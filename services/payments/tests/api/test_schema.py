"""Proves that whatever is sent, by the OpenAPI or a little beside it, is answered as documented, never with a 500."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from pydantic import SecretStr
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,  # pyright: ignore[reportUnknownVariableType] - schemathesis types it in part
    positive_data_acceptance,  # pyright: ignore[reportUnknownVariableType]
    unsupported_method,  # pyright: ignore[reportUnknownVariableType]
)

from ledgerlink_contracts.ids import UserId
from ledgerlink_contracts.risk.fake import FakeRisk
from ledgerlink_contracts.wallet.fake import FakeWallet
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.testing import TokenMint
from ledgerlink_kit.testing.plugin import MakeDatabase, Templates
from ledgerlink_payments.app import make_app
from ledgerlink_payments.connectors.fake import FakeConnector
from ledgerlink_payments.runtime import Open, Runtime, Settings

SUPPRESSED: list[HealthCheck] = list(HealthCheck)  # pyright: ignore[reportAssignmentType] - a metaclass of hypothesis's own
SCOPES = ["payments:read", "payments:write", "payments:refund", "payments:payout", "payments:exchange"]


@pytest.fixture
def served(make_database: MakeDatabase, database_templates: Templates) -> Iterator[tuple[str, str]]:
    """Payments, served on a free port by a thread with an event loop of its own; gives its address and a token."""
    name = database_templates.clone("ledgerlink_payments")
    url, mint, clock = database_templates.address(name), TokenMint(), SystemClock()
    fake = FakeConnector(clock)
    runtime = Runtime(
        db=Database(url, application_name="test"),
        clock=clock,
        wallet=FakeWallet(clock),
        risk=FakeRisk(clock),
        connectors={"fake": fake},
        default_connector="fake",
    )
    chosen: dict[str, Any] = {"environment": "test", "database_url": SecretStr(url)}
    app = make_app(Settings(**chosen), Open(runtime, ()), mint.verifier())
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield address, mint.token(str(UserId.derive("alice")), SCOPES, life_s=3_600)
    server.should_exit = True
    thread.join()
    database_templates.drop(name)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")  # schemathesis draws by random
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_documented_and_none_is_a_500(served: tuple[str, str], mode: GenerationMode) -> None:
    api: Any = schemathesis.openapi
    probed: set[str] = set()
    for found in api.from_url(f"{served[0]}/openapi.json").get_all_operations():
        operation = found.ok()
        probe(operation, mode, served[1])
        probed.add(f"{operation.method.upper()} {operation.path}")
    assert {"POST /v1/payment_intents", "POST /v1/refunds", "POST /v1/payouts", "GET /v1/events"} <= probed
    assert len(probed) >= 18


def probe(operation: Any, mode: GenerationMode, token: str) -> None:
    """Send requests that fit the operation's description, or that miss it by a little, and validate the answers."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=12, deadline=None, suppress_health_check=SUPPRESSED)
    def send(case: Any) -> None:
        # An unknown merchant or intent fits the schema and is refused by the domain; a form has no types, so that a
        # number in the place of a text, or a list of one, is what it reads like.
        left_out: list[Any] = [positive_data_acceptance, negative_data_rejection, unsupported_method]
        case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, excluded_checks=left_out)

    try:
        send()
    except Unsatisfiable:
        # An operation without parameters cannot be missed by a little.
        assert mode is GenerationMode.NEGATIVE
