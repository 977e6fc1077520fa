"""Proves that no request that the OpenAPI document allows, or nearly allows, meets a 500 or an undocumented answer."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, assume, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error  # pyright: ignore[reportUnknownVariableType] - typed in part
from schemathesis.specs.openapi.checks import (
    positive_data_acceptance,  # pyright: ignore[reportUnknownVariableType] - schemathesis types it in part
)

from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.testing.plugin import MakeDatabase, Templates
from ledgerlink_sandbox.app import build_app
from ledgerlink_sandbox.connectors.recording import RecordingListener
from ledgerlink_sandbox.runtime import FaultPlan, Runtime, Settings

SLOW_CARDS = ("pm_card_slow", "pm_card_hangAfterCommit")
API_KEY = "a-key-for-tests-only"


@pytest.fixture
def served(make_database: MakeDatabase, database_templates: Templates) -> Iterator[tuple[Any, FaultPlan]]:
    """The provider's description and its planned faults; a thread with a loop of its own serves it on a free port."""
    name = database_templates.clone("ledgerlink_sandbox")
    url = database_templates.address(name)
    chosen = Settings.model_validate(
        {
            "environment": "test",
            "database_url": url,
            "api_key": API_KEY,
            "webhook_secret": "whsec_c2FuZGJveC10ZXN0LXNlY3JldC0zMi1ieXRlcyE=",
            "webhook_url": "http://127.0.0.1:9/never",
        }
    )
    runtime = Runtime(chosen, Database(url, application_name="test"), SystemClock(), RecordingListener())
    server = uvicorn.Server(uvicorn.Config(build_app(runtime), host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    api: Any = schemathesis.openapi
    yield api.from_url(f"http://127.0.0.1:{port}/openapi.json"), runtime.faults
    server.should_exit = True
    thread.join()
    database_templates.drop(name)


@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")  # schemathesis draws by random
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_documented_and_none_is_a_500(served: tuple[Any, FaultPlan], mode: GenerationMode) -> None:
    schema, faults = served
    probed = 0
    for found in schema.get_all_operations():
        probe(found.ok(), mode, faults)
        probed += 1
    assert probed == 12


def probe(operation: Any, mode: GenerationMode, faults: FaultPlan) -> None:
    """Send requests that fit the operation's description, or that miss it by a little, and validate the answers."""

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
    def send(case: Any) -> None:
        # Two published cards take seconds to answer on purpose; their answers are proved elsewhere.
        assume(not any(card in str(case.body) for card in SLOW_CARDS))
        faults.clear()
        answer = case.call_and_validate(
            headers={"Authorization": f"Bearer {API_KEY}"},
            # JSON Schema calls 5.0 an integer, which the house refuses where money is meant; and a card may be one of
            # those that are published to be answered 504.
            excluded_checks=[positive_data_acceptance, not_a_server_error],
        )
        assert answer.status_code != 500

    try:
        send()
    except Unsatisfiable:
        # An operation without parameters cannot be missed by a little.
        assert mode is GenerationMode.NEGATIVE
