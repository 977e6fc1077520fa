"""Spans of a test: recorded in memory, in the order in which they ended."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ledgerlink_kit.tracing import TracingSettings, stop_tracing, trace_to

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
"""A context whose spans are recorded (the example of Trace Context, section 3.2)."""


class Spans:
    """What has been recorded."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        """Read from ``exporter``."""
        self._exporter = exporter

    def all(self) -> Sequence[ReadableSpan]:
        """Give all spans that have ended."""
        return self._exporter.get_finished_spans()

    def names(self) -> list[str]:
        """Give their names."""
        return [span.name for span in self.all()]

    def one(self, name: str) -> ReadableSpan:
        """Give the only span of that name."""
        (found,) = [span for span in self.all() if span.name == name]
        return found

    def attributes(self, name: str) -> dict[str, Any]:
        """Give the attributes of the only span of that name."""
        return dict(self.one(name).attributes or {})


@contextmanager
def recorded_spans(**settings: Any) -> Generator[Spans]:
    """Record the spans of this process, with ``settings`` of `TracingSettings`, until the block is left."""
    exporter = InMemorySpanExporter()
    trace_to(SimpleSpanProcessor(exporter), "test", "test", TracingSettings(**settings))
    try:
        yield Spans(exporter)
    finally:
        stop_tracing()
