"""Logs, trace context and spans.

structlog writes one JSON object (or a console line) per event, with the ids of the request, the trace and the span in
it. The W3C trace context travels always; spans are made while `tracing` exports them, and only under a context that is
recorded. Names and attributes of spans follow OpenTelemetry's semantic conventions
(https://opentelemetry.io/docs/specs/semconv/); ours stand under `ledgerlink.`. An attribute never holds what a caller
wrote, only ids, names and counts: no secret, token, card number or e-mail.
"""

import logging
import secrets
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Final, Literal, Protocol

import orjson
import structlog
from structlog.typing import EventDict

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_traceparent: ContextVar[str] = ContextVar("traceparent", default="")

_TRACEPARENT_PARTS: Final = 4
_RECORDED: Final = frozenset("13579bdf")
"""Last digits of a `traceparent` whose flag `sampled` is set (Trace Context, section 3.2.2.5.1)."""
_LINKS_MAX: Final = 100
_UNTRACED: Final[AbstractContextManager[None]] = nullcontext()
_REDACTED_NAMES: Final = frozenset(
    {"password", "secret", "token", "access_token", "refresh_token", "authorization", "client_secret", "card_number"}
)

Value = str | int
SpanKind = Literal["internal", "server", "client", "producer", "consumer"]


class Span(Protocol):
    """A piece of work that is recorded; ``traceparent`` is the context of what is done for it."""

    @property
    def traceparent(self) -> str:
        """The W3C `traceparent` that names this span."""
        ...

    @property
    def recorded(self) -> bool:
        """Whether anybody will see it."""
        ...

    def rename(self, name: str) -> None:
        """Give it the name that is known only now."""
        ...

    def set(self, attributes: Mapping[str, Value]) -> None:
        """Add attributes."""
        ...

    def link(self, traceparent: str) -> None:
        """Point at a span of another trace, or another branch, that belongs to this one."""
        ...

    def fail(self, kind: str) -> None:
        """Mark it as failed; ``kind`` (`error.type`) is a code or a class' name, never a text."""
        ...

    def end(self, ended_ns: int | None = None) -> None:
        """Close it, now or at a moment in nanoseconds since 1970."""
        ...


class Start(Protocol):
    """Begins a span under ``parent``, a root without one."""

    def __call__(
        self,
        name: str,
        kind: SpanKind,
        parent: str,
        attributes: Mapping[str, Value] | None = None,
        links: Sequence[str] = (),
        started_ns: int | None = None,
    ) -> Span:
        """Give the span; it says itself whether it is recorded."""
        ...


_tracing: dict[str, Start] = {}
"""Under `start` what begins spans, while they are exported. `tracing` puts it there."""


def is_tracing() -> bool:
    """Say whether spans are made at all."""
    return bool(_tracing)


def trace_with(start: Start | None) -> None:
    """Make spans by ``start`` from now on; none turns tracing off."""
    _tracing.clear()
    if start is not None:
        _tracing["start"] = start


def request_id() -> str:
    """Give the id of the request being served, or an empty text outside of one."""
    return _request_id.get()


def traceparent() -> str:
    """Give the W3C `traceparent` of the work being done, or an empty text."""
    return _traceparent.get()


def new_traceparent() -> str:
    """Make a fresh W3C trace context (Trace Context, section 3.2) that nobody records."""
    ids = secrets.token_hex(24)
    return f"00-{ids[:32]}-{ids[32:]}-00"


def is_recorded(traceparent: str) -> bool:
    """Say whether the caller that gave ``traceparent`` records its spans; an empty text says no."""
    return traceparent[-1:] in _RECORDED


def recorded_traceparent() -> str | None:
    """Give the `traceparent` of the work being done if it is recorded: what is worth keeping for work done later."""
    current = _traceparent.get()
    return current if current[-1:] in _RECORDED else None


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
        event["trace_id"] = parent[3:35]
        if _tracing:  # else the id is the caller's, not ours
            event["span_id"] = parent[36:52]
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


def begin(
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, Value] | None = None,
    *,
    parent: str | None = None,
    links: Sequence[str] = (),
    started_ns: int | None = None,
) -> Span | None:
    """Begin a span under ``parent`` (else under the work being done), or none when that is not recorded.

    The caller ends it. What is done meanwhile does not become part of it, unless given its `traceparent`.
    """
    start = _tracing.get("start")
    above = _traceparent.get() if parent is None else parent
    if start is None or above[-1:] not in _RECORDED:
        return None
    return start(name, kind, above, attributes, links, started_ns)


def span(name: str, **attributes: Value) -> AbstractContextManager[Span | None]:
    """Trace one piece of work of our own, named by its verb; its attributes are named `ledgerlink.<name>`."""
    start = _tracing.get("start")
    above = _traceparent.get()
    if start is None or above[-1:] not in _RECORDED:
        return _UNTRACED
    named = {f"ledgerlink.{key}": value for key, value in attributes.items()}
    return _Within(start(name, "internal", above, named))


def wire_span(name: str, kind: SpanKind, attributes: Mapping[str, Value]) -> AbstractContextManager[Span | None]:
    """Trace one exchange with somebody else, its name and ``attributes`` by the semantic conventions."""
    made = begin(name, kind, attributes)
    return _UNTRACED if made is None else _Within(made)


def shared_span(name: str, asked: Sequence[Span], **attributes: Value) -> AbstractContextManager[Span | None]:
    """Trace work that is done once for several who ``asked``: it stands under the first and is linked with the others.

    So the first one's trace is whole, and from each of the others one step leads to what was done for it.
    """
    if not asked:
        return _UNTRACED
    first, *others = asked
    named = {f"ledgerlink.{key}": value for key, value in attributes.items()}
    links = [other.traceparent for other in others[:_LINKS_MAX]]
    made = begin(name, "internal", named, parent=first.traceparent, links=links)
    if made is None:
        return _UNTRACED
    for other in others:
        other.link(made.traceparent)
    return _Within(made)


def entry(request: str, parent: str, name: str, kind: SpanKind) -> AbstractContextManager[Span | None]:
    """Do one request, event or piece of background work under its ids; logs, calls and events within carry them.

    ``parent`` is the `traceparent` that came with it, empty for none: then a trace begins here, if the sampler says so.
    Gives the span when it is recorded.
    """
    start = _tracing.get("start")
    if start is None:
        return _Entered(request, parent or new_traceparent(), None)
    made = start(name, kind, parent)
    return _Entered(request, made.traceparent, made)


class _Within:
    """A span that is the work being done, until the block is left."""

    __slots__ = ("_reset", "_span")

    def __init__(self, made: Span) -> None:
        self._span = made
        self._reset: Token[str] | None = None

    def __enter__(self) -> Span:
        self._reset = _traceparent.set(self._span.traceparent)
        return self._span

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._reset is not None
        _traceparent.reset(self._reset)
        if error is not None:
            self._span.fail(error_type(error))
        self._span.end()


class _Entered:
    """The ids of a request, and its span if there is one, until the block is left."""

    __slots__ = ("_parent", "_request", "_resets", "_span")

    def __init__(self, request: str, parent: str, made: Span | None) -> None:
        self._request = request
        self._parent = parent
        self._span = made
        self._resets: tuple[Token[str], Token[str]] | None = None

    def __enter__(self) -> Span | None:
        self._resets = _request_id.set(self._request), _traceparent.set(self._parent)
        return self._span if self._span is not None and self._span.recorded else None

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        assert self._resets is not None
        _request_id.reset(self._resets[0])
        _traceparent.reset(self._resets[1])
        if self._span is not None:
            if error is not None:
                self._span.fail(error_type(error))
            self._span.end()


def error_type(error: BaseException) -> str:
    """Name ``error`` for a span: the code of one of ours, else its class; never its text, which may quote a caller."""
    code = getattr(getattr(error, "reason", error), "code", None)
    return code if isinstance(code, str) else type(error).__name__
