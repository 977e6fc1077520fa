"""Spans leave by OTLP over HTTP, to any collector; a collector that is away costs spans and nothing else.

Finished spans wait in a bounded queue that a thread of its own empties. What finds the queue full, what the collector
does not take and what is left when the process ends is dropped and counted. OpenTelemetry's own queue does the same,
but counts only through a second metrics system and may hold a shutdown for half a minute.

The settings have the names of OpenTelemetry's specification
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/); what this page does not name
(`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_RESOURCE_ATTRIBUTES`, …) its libraries read themselves.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog
from prometheus_client import Counter
from pydantic import Field
from pydantic_settings import BaseSettings

from ledgerlink_kit import sql_spans
from ledgerlink_kit.settings import env_prefix
from ledgerlink_kit.telemetry import Span, SpanKind, Value, trace_with

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.sampling import Sampler
    from opentelemetry.trace import SpanContext

SHUTDOWN_S: Final = 2.0
"""How long the end of a process waits for spans to leave."""
ATTRIBUTE_CHARS_MAX: Final = 2_000
CONVENTIONS: Final = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the semantic conventions that names and attributes follow."""

_spans = Counter("ledgerlink_spans_total", "Spans of this process, by what became of them", ["outcome"])
_EXPORTED: Final = _spans.labels("exported")
_QUEUE_FULL: Final = _spans.labels("queue-full")
_NOT_TAKEN: Final = _spans.labels("not-taken")
_LEFT: Final = _spans.labels("left-at-end")


class TracingSettings(BaseSettings):
    """What an operator chooses of tracing, the same for every process, from variables that start with `OTEL_`."""

    model_config = env_prefix("OTEL_")

    exporter_otlp_endpoint: str | None = Field(
        default=None, description="OTLP/HTTP collector; none turns tracing off", pattern=r"^https?://"
    )
    sdk_disabled: bool = Field(default=False, description="Turns tracing off, whatever else is set")
    traces_sampler: Literal[
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ] = Field(default="parentbased_always_on", description="Which traces are recorded")
    traces_sampler_arg: float = Field(default=1.0, ge=0, le=1, description="Share of traces that a ratio records")
    bsp_schedule_delay: int = Field(default=1_000, ge=10, le=60_000, description="Milliseconds a span waits for others")
    bsp_max_queue_size: int = Field(default=4_096, ge=1, le=100_000, description="Spans that may wait at the most")
    bsp_max_export_batch_size: int = Field(default=512, ge=1, le=10_000, description="Spans sent at once at the most")


class SpanQueue:
    """Takes finished spans (a `SpanProcessor` of the SDK) and gives them to an exporter in another thread."""

    def __init__(self, exporter: "SpanExporter", settings: TracingSettings) -> None:
        """Begin to export to ``exporter``, within the bounds of ``settings``."""
        self._exporter = exporter
        self._delay_s = settings.bsp_schedule_delay / 1000
        self._waiting_max = settings.bsp_max_queue_size
        self._batch_max = min(settings.bsp_max_export_batch_size, settings.bsp_max_queue_size)
        self._waiting: deque[ReadableSpan] = deque()
        self._news = threading.Event()
        self._stopping = False
        self._flows = True
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Do nothing: a span counts when it has ended."""

    def _on_ending(self, span: Any) -> None:
        """Do nothing (the SDK asks for it)."""

    def on_end(self, span: "ReadableSpan") -> None:
        """Take a finished span, or drop it when the queue is full. Never waits."""
        if self._stopping:
            _LEFT.inc()
        elif len(self._waiting) >= self._waiting_max:
            _QUEUE_FULL.inc()
        else:
            self._waiting.append(span)
            if len(self._waiting) >= self._batch_max:
                self._news.set()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wake the thread, and wait for nothing."""
        self._news.set()
        return True

    def shutdown(self) -> None:
        """Send what waits, for at most `SHUTDOWN_S`; the rest is dropped and counted."""
        self._stopping = True
        self._news.set()
        self._thread.join(SHUTDOWN_S)
        self._exporter.shutdown()  # ends a wait between two tries
        _LEFT.inc(len(self._waiting))
        self._waiting.clear()

    def _run(self) -> None:
        while not self._stopping:
            self._news.wait(self._delay_s)
            self._news.clear()
            self._send()
        self._send()

    def _send(self) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415 - only a process that traces needs it

        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(self._batch_max, len(self._waiting)))]
            try:
                taken = self._exporter.export(batch) is SpanExportResult.SUCCESS
            except Exception:  # noqa: BLE001 - whatever an exporter does, the next batch is tried
                taken = False
            (_EXPORTED if taken else _NOT_TAKEN).inc(len(batch))
            if taken is not self._flows:
                self._flows = taken
                log = structlog.get_logger()
                (log.info if taken else log.warning)("spans_flow" if taken else "spans_lost", spans=len(batch))


class _Recorded:
    """A span of the SDK behind our own few words (`telemetry.Span`)."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Any) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    @property
    def recorded(self) -> bool:
        return bool(self._span.is_recording())

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, attributes: Mapping[str, Value]) -> None:
        self._span.set_attributes(attributes)

    def link(self, traceparent: str) -> None:
        self._span.add_link(_context_of(traceparent, remote=False))

    def fail(self, kind: str) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - loaded by now

        self._span.set_attribute("error.type", kind)
        self._span.set_status(StatusCode.ERROR)

    def end(self, ended_ns: int | None = None) -> None:
        self._span.end(ended_ns)


_provider: dict[str, Any] = {}


def configure_tracing(service: str, environment: str, settings: TracingSettings) -> None:
    """Export spans as ``settings`` say; without an endpoint tracing stays off and its libraries unloaded."""
    if settings.exporter_otlp_endpoint is None or settings.sdk_disabled:
        return
    # Loaded only when asked for: the exporter costs about 20 MiB in each process.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

    exporter = OTLPSpanExporter(endpoint=settings.exporter_otlp_endpoint.rstrip("/") + "/v1/traces")
    _quiet_exporter()
    trace_to(SpanQueue(exporter, settings), service, environment, settings)


def trace_to(processor: Any, service: str, environment: str, settings: TracingSettings) -> None:
    """Record spans of ``service`` and give them to ``processor`` (of the SDK), until `stop_tracing`."""
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider  # noqa: PLC0415
    from opentelemetry.trace import Link  # noqa: PLC0415
    from opentelemetry.trace import SpanKind as SdkKind  # noqa: PLC0415

    provider = TracerProvider(
        sampler=_sampler(settings),
        resource=Resource.create(
            {
                "service.name": service,
                "service.namespace": "ledgerlink",
                "deployment.environment.name": environment,
            }
        ),
        shutdown_on_exit=False,
        span_limits=SpanLimits(max_span_attribute_length=ATTRIBUTE_CHARS_MAX),
    )
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("ledgerlink", schema_url=CONVENTIONS)
    kinds: dict[SpanKind, SdkKind] = {
        "internal": SdkKind.INTERNAL,
        "server": SdkKind.SERVER,
        "client": SdkKind.CLIENT,
        "producer": SdkKind.PRODUCER,
        "consumer": SdkKind.CONSUMER,
    }

    def start(
        name: str,
        kind: SpanKind,
        parent: str,
        attributes: Mapping[str, Value] | None = None,
        links: Sequence[str] = (),
        started_ns: int | None = None,
    ) -> Span:
        return _Recorded(
            tracer.start_span(
                name,
                _above(parent, remote=kind in {"server", "consumer"}),
                kinds[kind],
                attributes,
                [Link(_context_of(one, remote=False)) for one in links],
                started_ns,
                record_exception=False,
                set_status_on_exception=False,
            )
        )

    _provider["provider"] = provider
    trace_with(start)
    sql_spans.listen()


def stop_tracing() -> None:
    """Send what is not exported yet, for at most `SHUTDOWN_S`, and make no more spans."""
    trace_with(None)
    sql_spans.leave()
    provider = _provider.pop("provider", None)
    if provider is not None:
        provider.shutdown()


def _sampler(settings: TracingSettings) -> "Sampler":
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, TraceIdRatioBased  # noqa: PLC0415

    named = settings.traces_sampler.removeprefix("parentbased_")
    by_name: dict[str, Sampler] = {"always_on": ALWAYS_ON, "always_off": ALWAYS_OFF}
    sampler = by_name.get(named) or TraceIdRatioBased(settings.traces_sampler_arg)
    return sampler if named == settings.traces_sampler else ParentBased(sampler)


def _context_of(traceparent: str, *, remote: bool) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags  # noqa: PLC0415

    return SpanContext(
        int(traceparent[3:35], 16), int(traceparent[36:52], 16), remote, TraceFlags(int(traceparent[53:55], 16))
    )


def _above(parent: str, *, remote: bool) -> "Context":
    """Give the SDK's context that ``parent`` stands for; an empty one begins a trace."""
    from opentelemetry.context import Context  # noqa: PLC0415
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context  # noqa: PLC0415

    if not parent:
        return Context()
    return set_span_in_context(NonRecordingSpan(_context_of(parent, remote=remote)), Context())


def _quiet_exporter() -> None:
    """Let our own two lines tell that spans are lost and flow again; the exporter would tell it for every batch."""
    import logging  # noqa: PLC0415 - here alone

    for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # noqa: TID251 - theirs, not ours
