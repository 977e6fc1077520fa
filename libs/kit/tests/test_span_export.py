"""Proves that a collector that is away, slow or failing costs spans, which are counted, and nothing else."""

import socket
import threading
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from prometheus_client import REGISTRY

from ledgerlink_kit.telemetry import request_context, span
from ledgerlink_kit.testing.spans import PARENT
from ledgerlink_kit.tracing import SHUTDOWN_S, TracingSettings, configure_tracing, stop_tracing

SPANS = 500
QUEUE = 100


def counted() -> dict[str, float]:
    """How many spans came to which end, so far in this process."""
    ends = ("exported", "queue-full", "not-taken", "left-at-end")
    return {end: REGISTRY.get_sample_value("ledgerlink_spans_total", {"outcome": end}) or 0.0 for end in ends}


@contextmanager
def collector(status: int, wait: threading.Event | None = None) -> Generator[str]:
    """A collector that answers ``status``, after ``wait`` if there is one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if wait is not None:
                wait.wait(30)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        if wait is not None:
            wait.set()
        server.shutdown()
        thread.join()


@contextmanager
def nobody() -> Generator[str]:
    """The address of a port that nobody listens at."""
    with closing(socket.socket()) as place:
        place.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{place.getsockname()[1]}"


def work(endpoint: str, spans: int = SPANS, batch: int = QUEUE) -> tuple[float, float, dict[str, float]]:
    """Trace ``spans`` pieces of work; give the seconds that they took, those of the end, and what became of them."""
    before = counted()
    settings = TracingSettings(
        exporter_otlp_endpoint=endpoint,
        bsp_max_queue_size=QUEUE,
        bsp_max_export_batch_size=batch,
        bsp_schedule_delay=10,
    )
    configure_tracing("test", "test", settings)
    begun = time.monotonic()
    with request_context("req", PARENT):
        for _ in range(spans):
            with span("work"):
                pass
    done = time.monotonic()
    stop_tracing()
    ended = time.monotonic()
    after = counted()
    return done - begun, ended - done, {end: after[end] - before[end] for end in after}


@pytest.mark.parametrize("kind", ["away", "failing", "refusing", "slow"])
def test_a_collector_in_trouble_holds_up_nothing_and_what_is_lost_is_counted(kind: str) -> None:
    waits = threading.Event()
    places = {"away": nobody(), "failing": collector(503), "refusing": collector(400), "slow": collector(200, waits)}
    with places[kind] as endpoint:
        worked_s, ended_s, ends = work(endpoint)
    assert worked_s < 5  # five hundred spans; ten milliseconds each would be a scandal
    assert ended_s < SHUTDOWN_S + 3
    assert ends["exported"] == 0
    # All but the batch that is under way when a slow collector is left: what became of it nobody knows.
    assert SPANS - QUEUE <= sum(ends.values()) <= SPANS
    assert ends["queue-full"] > 0


def test_a_collector_that_takes_them_gets_all_that_fit() -> None:
    with collector(200) as endpoint:
        _, _, ends = work(endpoint, spans=QUEUE // 2)
    assert ends == {"exported": QUEUE // 2, "queue-full": 0, "not-taken": 0, "left-at-end": 0}


def test_no_more_wait_than_the_queue_holds() -> None:
    with collector(200, threading.Event()) as endpoint:
        _, _, ends = work(endpoint, batch=1)
    # One is on its way, the queue is full, the rest was never kept.
    assert SPANS - QUEUE - 1 <= ends["queue-full"] <= SPANS - QUEUE


@pytest.mark.parametrize(
    "off",
    [
        TracingSettings(exporter_otlp_endpoint=None),
        TracingSettings(exporter_otlp_endpoint="http://127.0.0.1:4318", sdk_disabled=True),
    ],
)
def test_without_an_endpoint_nothing_is_exported_and_nothing_is_made(off: TracingSettings) -> None:
    configure_tracing("test", "test", off)
    before = counted()
    with request_context("req", PARENT), span("work") as made:
        assert made is None
    stop_tracing()
    assert counted() == before
