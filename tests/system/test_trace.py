"""Proves that one payment is one trace: from the client's `traceparent` through every process that does something for
it, their SQL, events and the provider, to the webhook that tells of it; and that logs lead to it and hold no secret.
"""

import importlib.util
import json
import re
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_stack.layout import SERVICES
from ledgerlink_stack.traces.command import CARD, DECLINED_CARD, Payer, new_trace, newcomer, pay, whole
from ledgerlink_stack.traces.receiver import Receiver, SeenSpan, receiving
from ledgerlink_stack.traces.tree import drawn, outline
from tests.crash.own_stack import OwnStack, start
from tests.system.expected_traces import DECLINED, PAID, RESOLVED

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("stack"), pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Traced:
    """A stack that sends its spans to ``receiver``, and somebody who has paid before: keys and owners are known."""

    stack: OwnStack
    receiver: Receiver
    payer: Payer

    def until(self, trace_id: str, wanted: Callable[[list[SeenSpan]], bool]) -> list[SeenSpan]:
        """Give the spans of a trace once those that are wanted are there."""
        deadline = time.monotonic() + 60
        while not wanted(self.receiver.trace(trace_id)):
            assert time.monotonic() < deadline, drawn(self.receiver.trace(trace_id))
            time.sleep(0.2)
        return self.receiver.trace(trace_id)


@pytest.fixture(scope="module")
def traced() -> Iterator[Traced]:
    with (
        receiving() as receiver,
        tempfile.TemporaryDirectory(prefix="ledgerlink-trace-", ignore_cleanup_errors=True) as folder,
    ):
        Path(folder).chmod(0o711)
        json_logs = {f"{service.prefix}LOG_FORMAT": "json" for service in SERVICES}
        running = start(Path(folder), OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url, **json_logs)
        try:
            payer = newcomer(running.url, receiver.webhook_url)
            trace_id, _ = pay(payer, CARD)
            assert whole(receiver, trace_id), drawn(receiver.trace(trace_id))
            yield Traced(running, receiver, payer)
        finally:
            running.ledgerlink("reset", "--yes")


def followed(traced: Traced, card: str) -> tuple[str, dict[str, Any]]:
    """Pay, and give the trace's id and the answer.

    The provider's news may overtake our own answer, on a busy machine, and is then noted otherwise: that is proven
    elsewhere, and here somebody pays once more.
    """
    for _ in range(5):
        trace_id, answer = pay(traced.payer, card)
        spans = traced.until(
            trace_id, lambda spans: {"hear_provider", "create_intent"} <= {span.name for span in spans}
        )
        (heard,) = [span for span in spans if span.name == "hear_provider"]
        (answered,) = [span for span in spans if span.name == "create_intent"]
        if heard.started_ns > answered.ended_ns:
            return trace_id, answer
    raise AssertionError("the provider's news came before our own answer five times")


def is_whole(traced: Traced, trace_id: str, expected: str) -> list[SeenSpan]:
    """Wait for the trace to be what is expected, and a little longer for what would be too much; give its spans."""
    deadline = time.monotonic() + 30
    while outline(traced.receiver.trace(trace_id)) != expected.strip() and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(1.5)
    spans = traced.receiver.trace(trace_id)
    assert outline(spans) == expected.strip(), f"the trace is another one:\n{outline(spans)}\n\n{drawn(spans)}"
    return spans


@pytest.fixture(scope="module")
def paid(traced: Traced) -> list[SeenSpan]:
    """The spans of a card payment: the trace is one, span by span."""
    trace_id, answer = followed(traced, CARD)
    assert answer["status"] == "succeeded", answer
    return is_whole(traced, trace_id, PAID)


def test_a_card_payment_is_one_trace_span_by_span(paid: list[SeenSpan]) -> None:
    assert outline(paid) == PAID.strip()
    assert len({span.trace_id for span in paid}) == 1
    assert {span.service for span in paid} == {
        "gateway",
        "payments",
        "payments-worker",
        "risk",
        "sandbox",
        "wallet",
        "wallet-worker",
    }


def conventional() -> set[str]:
    """Every name in quotes in OpenTelemetry's own list of the conventions, which comes with its SDK."""
    spec = importlib.util.find_spec("opentelemetry.semconv")
    assert spec is not None
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    texts = [file.read_text() for folder in folders for file in folder.rglob("*.py")]
    return {name for text in texts for name in re.findall(r'"([a-z_]+(?:\.[a-z_]+)+)"', text)}


def test_what_a_span_says_follows_the_semantic_conventions(paid: list[SeenSpan]) -> None:
    by_kind: dict[tuple[str, str], list[dict[str, str | int]]] = {}
    for span in paid:
        system = str(span.attributes.get("db.system.name") or span.attributes.get("messaging.system") or "http")
        by_kind.setdefault((span.kind, system), []).append(span.attributes)
    needed = {
        ("server", "http"): {
            "http.request.method",
            "http.route",
            "http.response.status_code",
            "url.path",
            "url.scheme",
        },
        ("client", "http"): {
            "http.request.method",
            "http.response.status_code",
            "server.address",
            "server.port",
            "url.full",
        },
        ("client", "postgresql"): {"db.operation.name", "db.namespace", "db.query.text"},
        ("client", "redis"): {"db.operation.name"},
        ("producer", "redis"): {
            "messaging.operation.type",
            "messaging.operation.name",
            "messaging.destination.name",
            "messaging.message.id",
        },
    }
    assert by_kind.keys() - {("internal", "http")} == needed.keys()
    names = {name for span in paid for name in span.attributes if not name.startswith("ledgerlink.")}
    assert names <= conventional(), "these names are none of the conventions'"
    for kind, names in needed.items():
        for attributes in by_kind[kind]:
            assert names <= attributes.keys(), (kind, attributes)


def test_the_webhook_carries_the_context_of_the_span_that_sent_it(traced: Traced, paid: list[SeenSpan]) -> None:
    (sent,) = [span for span in paid if span.attributes.get("service.peer.name") == "webhook endpoint"]
    carried = [headers["traceparent"] for headers, _ in traced.receiver.webhooks]
    assert f"00-{sent.trace_id}-{sent.span_id}-01" in carried


def logged(stack: OwnStack, trace_id: str) -> dict[str, list[dict[str, Any]]]:
    """What each process wrote about a trace, by its name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(stack.home.logs.glob("*.log")):
        lines = [json.loads(line) for line in file.read_text().splitlines() if trace_id in line]
        if lines:
            found[file.stem] = lines
    return found


def test_every_process_logs_the_trace_with_its_span_and_the_request(traced: Traced, paid: list[SeenSpan]) -> None:
    found = logged(traced.stack, paid[0].trace_id)
    assert found.keys() == {span.service for span in paid}
    lines = [line for of_process in found.values() for line in of_process]
    assert {line["trace_id"] for line in lines} == {paid[0].trace_id}
    assert {line["span_id"] for line in lines} <= {span.span_id for span in paid}
    assert all(line["request_id"] for line in lines)
    (request,) = {line["request_id"] for line in found["gateway"]}
    for asked in ("payments", "risk", "wallet", "sandbox"):
        assert request in {line["request_id"] for line in found[asked]}, f"{asked} was asked under another request id"


def test_a_reviewed_payment_is_heard_by_the_worker_and_goes_on_in_its_own_trace(traced: Traced) -> None:
    stranger = Payer(traced.stack.url)
    login = {
        "grant_type": "password",
        "username": traced.stack.admin_email,
        "password": traced.stack.secrets.admin_password,
    }
    admin = Payer(traced.stack.url, str(stranger.post("/api/v1/auth/token", login, form=True)["access_token"]))
    shop = admin.post("/v1/accounts", {"business_profile[name]": "Corner shop"}, form=True)["id"]
    trace_id, answer = pay(traced.payer, CARD, 6_000_000, str(shop))
    assert answer["status"] == "processing", answer
    resolving = new_trace()
    decision = {"resolution": "approve", "note": "Looked at it."}
    admin.post(f"/api/v1/risk/cases/{answer['review']}/resolve", decision, trace=resolving)
    is_whole(traced, resolving[3:35], RESOLVED)
    gone_on = traced.until(trace_id, lambda spans: {"sweep attempt", "post_transfer"} <= {span.name for span in spans})
    (begun,) = [span for span in gone_on if span.name == "create_intent"]
    (swept,) = [span for span in gone_on if span.name == "sweep attempt"]
    assert (swept.service, swept.parent_id) == ("payments-worker", begun.span_id), drawn(gone_on)
    called = {
        str(span.attributes["service.peer.name"])
        for span in gone_on
        if span.parent_id == swept.span_id and "service.peer.name" in span.attributes
    }
    assert called - {"identity"} == {"risk", "sandbox", "wallet"}, drawn(
        gone_on
    )  # identity, for the worker's first token


def test_no_span_holds_a_secret_a_token_a_card_number_or_an_address(traced: Traced, paid: list[SeenSpan]) -> None:
    known = traced.stack.secrets
    secrets = {traced.payer.token, known.admin_password, known.sandbox_api_key, known.sandbox_webhook_secret}
    secrets |= {known.redis, *known.clients.values(), *known.databases.values()}
    assert len(traced.receiver.spans) > len(paid)
    shapes = re.compile(r"eyJ|whsec_|[\w.+-]+@[\w-]+\.\w|(?<![\w-])\d{12,19}(?![\w-])")
    for span in list(traced.receiver.spans):
        # The largest amount stands in statements of ours and looks like a card's number.
        for value in (span.name, *(str(value).replace(str(MAX_MINOR), "") for value in span.attributes.values())):
            assert not [secret for secret in secrets if secret in value], drawn([span])
            assert shapes.search(value) is None, f"{span.name}: {value}"


def metrics_of(port: str) -> dict[str, set[str]]:
    """The names of the metrics that a process serves, each with its lines."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found: dict[str, set[str]] = {}
    for line in lines:
        if not line.startswith("#"):
            found.setdefault(re.split(r"[{ ]", line, maxsplit=1)[0], set()).add(line)
    return found


ALL = {"ledgerlink_spans_total"}
STORED = {"ledgerlink_db_pool_in_use", "ledgerlink_db_pool_limit"}
SERVER = {"ledgerlink_http_requests_total", "ledgerlink_http_request_duration_seconds_bucket", "ledgerlink_ready"}
RELAY = {"ledgerlink_outbox_lag_seconds", "ledgerlink_invariant_broken"}
METRICS = {
    "gateway": SERVER | {"ledgerlink_gateway_upstream_in_flight", "ledgerlink_gateway_upstream_circuit"},
    "identity": SERVER | STORED | {"ledgerlink_identity_sign_ins_total"},
    "wallet": SERVER | STORED | {
        "ledgerlink_wallet_batch_commands_bucket",
        "ledgerlink_wallet_commands_total",
        "ledgerlink_wallet_credits_total",
        "ledgerlink_wallet_debits_total",
        "ledgerlink_wallet_idempotency_replays_total",
        "ledgerlink_wallet_queue_commands",
        "ledgerlink_wallet_queue_limit_commands",
        "ledgerlink_wallet_refusals_total",
    },
    "payments": SERVER | STORED | {"ledgerlink_payments_attempts_total", "ledgerlink_payments_provider_events_total"},
    "risk": SERVER | STORED | {"ledgerlink_risk_decisions_total", "ledgerlink_risk_decide_seconds_bucket"},
    "sandbox": SERVER | STORED | {"sandbox_events_sent_total"},
    "identity-worker": RELAY | STORED,
    "wallet-worker": RELAY | STORED | {"ledgerlink_wallet_tree_size", "ledgerlink_outbox_published_total"},
    "payments-worker": RELAY | STORED | {
        "ledgerlink_outbox_published_total",
        "ledgerlink_payments_unfinished",
        "ledgerlink_payments_webhook_tries_total",
    },
    "risk-worker": RELAY | STORED,
}  # fmt: skip
"""What each process must show once somebody has paid, been refused for want of funds, and sent one request twice."""


def test_every_process_serves_its_metrics(traced: Traced, paid: list[SeenSpan]) -> None:
    wallet, key = f"/api/v1/wallets/{traced.payer.wallet}", "twice"
    for verb, amount in (("credit", 100), ("credit", 100), ("debit", 100), ("debit", 10**12)):
        traced.payer.post(f"{wallet}/{verb}", {"amount_minor": amount, "currency": "GBP"}, key=f"{key} {verb} {amount}")
    served = {name: metrics_of(port) for name, port in ports(traced.stack).items()}
    missing = {name: sorted((METRICS[name] | ALL) - found.keys()) for name, found in served.items()}
    assert not {name: metrics for name, metrics in missing.items() if metrics}
    assert served.keys() == METRICS.keys()
    assert any('code="insufficient-funds"' in line for line in served["wallet"]["ledgerlink_wallet_refusals_total"])
    for name, found in served.items():
        lines = found["ledgerlink_spans_total"]
        assert not [line for line in lines if 'outcome="exported"' not in line and not line.endswith(" 0.0")], name


def ports(stack: OwnStack) -> dict[str, str]:
    """The port of every process of ours, by its name."""
    found = {service.name: stack.environment[f"{service.prefix}PORT"] for service in SERVICES}
    workers = [service for service in SERVICES if service.worker_port is not None]
    return found | {f"{one.name}-worker": stack.environment[f"{one.prefix}WORKER_PORT"] for one in workers}


def test_a_declined_payment_shows_where_it_failed(traced: Traced) -> None:
    trace_id, answer = followed(traced, DECLINED_CARD)
    assert answer["code"] == "card-declined", answer
    spans = is_whole(traced, trace_id, DECLINED)
    (failed,) = [span for span in spans if span.failed]
    assert (failed.service, failed.kind, failed.attributes["error.type"]) == ("gateway", "client", "402")
