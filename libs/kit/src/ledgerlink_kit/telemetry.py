"""Logs, trace context and spans.

structlog writes one JSON object (or a console line) per event, with the request's and the trace's id in it. Spans are
OpenTelemetry's and cost nothing while no OTLP endpoint is set; the W3C trace context travels on all the same.
"""

import logging
import secrets
import sys
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any, Final

import orjson
import structlog
from structlog.typing import EventDict

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_traceparent: ContextVar[str] = ContextVar("traceparent", default="")

_TRACEPARENT_PARTS: Final = 4
_tracing: dict[str, Any] = {}
_UNTRACED: Final = nullcontext()
_REDACTED_NAMES: Final = frozenset(
    {"password", "secret", "token", "access_token", "refresh_token", "authorization", "client_secret", "card_number"}
)


def request_id() -> str:
    """Give the id of the request being served, or an empty text outside of one."""
    return _request_id.get()


def traceparent() -> str:
    """Give the W3C `traceparent` of the work being done, or an empty text."""
    return _traceparent.get()


def new_traceparent() -> str:
    """Make a fresh, sampled W3C trace context (Trace Context, section 3.2)."""
    ids = secrets.token_hex(24)
    return f"00-{ids[:32]}-{ids[32:]}-01"


def valid_traceparent(text: str) -> bool:
    """Say whether ``text`` is a version-00 `traceparent` with non-zero ids."""
    parts = text.split("-")
    if len(parts) != _TRACEPARENT_PARTS or parts[0] != "00" or text != text.lower():
        return False
    sizes = [len(part) for part in parts]
    if sizes != [2, 32, 16, 2]:
        return False
    try:
        return all(int(part, 16) for part in parts[1:3]) and int(parts[3], 16) >= 0
    except ValueError:
        return False


@contextmanager
def request_context(request: str, parent: str) -> Generator[None]:
    """Serve one request, or one event, under these ids; log lines, calls and events made within carry them."""
    request_reset, trace_reset = _request_id.set(request), _traceparent.set(parent)
    try:
        yield
    finally:
        _request_id.reset(request_reset)
        _traceparent.reset(trace_reset)


def _add_ids(_logger: object, _method: str, event: EventDict) -> EventDict:
    if request := _request_id.get():
        event["request_id"] = request
    if parent := _traceparent.get():
        event["trace_id"] = parent.split("-")[1]
    return event


def _redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    for name in _REDACTED_NAMES & event.keys():
        event[name] = "[redacted]"
    return event


def _to_json(event: EventDict, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def _level(name: str) -> int:
    return logging.getLevelNamesMapping()[name.upper()]


def configure_logging(service: str, *, level: str = "INFO", log_format: str = "json") -> None:
    """Send all logs, the libraries' too, to standard output as one line each."""

    def name_service(_logger: object, _method: str, event: EventDict) -> EventDict:
        return {"service": service, **event}

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_ids,
        _redact,
        structlog.processors.format_exc_info,
    ]
    renderer = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())
    )
    structlog.configure(
        processors=[name_service, *shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(_level(level)),
        logger_factory=structlog.PrintLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[name_service, renderer], foreign_pre_chain=shared)
    )
    root = logging.getLogger()  # noqa: TID251 - here is where the libraries' logs are led into ours
    root.handlers = [handler]
    root.setLevel(max(_level(level), logging.WARNING))


def configure_tracing(service: str, otlp_endpoint: str | None) -> None:
    """Export spans to ``otlp_endpoint`` (OTLP over HTTP); without one, tracing stays off and its libraries unloaded."""
    if otlp_endpoint is None:
        return
    # Loaded only when asked for: the exporter costs about 20 MiB in each process.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = OTLPSpanExporter(endpoint=otlp_endpoint.rstrip("/") + "/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _tracing["provider"] = provider
    _tracing["tracer"] = provider.get_tracer("ledgerlink")
    _tracing["propagator"] = TraceContextTextMapPropagator()


def stop_tracing() -> None:
    """Flush what is not exported yet."""
    provider = _tracing.pop("provider", None)
    _tracing.clear()
    if provider is not None:
        provider.shutdown()


def span(name: str, **attributes: str | int) -> AbstractContextManager[None]:
    """Trace one piece of work, named by its verb, as a child of the current trace context."""
    tracer = _tracing.get("tracer")
    return _UNTRACED if tracer is None else _traced(tracer, name, attributes)


@contextmanager
def _traced(tracer: Any, name: str, attributes: Mapping[str, str | int]) -> Generator[None]:
    propagator = _tracing["propagator"]
    parent = propagator.extract({"traceparent": _traceparent.get()})
    with tracer.start_as_current_span(name, context=parent, attributes=attributes) as current:
        context = current.get_span_context()
        child = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        reset = _traceparent.set(child)
        try:
            yield
        finally:
            _traceparent.reset(reset)
