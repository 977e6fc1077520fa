"""Spans of HTTP, by the semantic conventions for HTTP servers and clients.

Of an address only what is ours is recorded: the path of a request to one of our services with `*` in place of whatever
may be a caller's own words, never a query, and of a stranger's address (a webhook's) host and port alone.
"""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final
from urllib.parse import urlsplit

from ledgerlink_kit.telemetry import Span, Value, recorded_traceparent, wire_span

_PLAIN_SEGMENT: Final = re.compile(r"(?!.*\d{12})(?:[a-z]{2,8}_[A-Za-z0-9_-]{1,80}|[a-z0-9_.-]{1,32}|)")
_FIRST_ERROR: Final = 400
_FIRST_DEFECT: Final = 500


def plain_path(path: str) -> str:
    """Give ``path`` with `*` in place of each segment that may be anything but a word of ours or an id."""
    return "/".join([part if _PLAIN_SEGMENT.fullmatch(part) else "*" for part in path.split("/")])


def served(span: Span, method: str, scheme: str, path: str, route: str | None, status: int) -> None:
    """Name the span of a request that was answered; ``route`` is its pattern, if it has one.

    A refusal is no failure of the server; a 5xx is, and so is no answer at all (``status`` 0).
    """
    described: dict[str, Value] = {
        "http.request.method": method,
        "url.path": plain_path(path),
        "url.scheme": scheme,
    }
    if status:
        described["http.response.status_code"] = status
    else:
        span.fail("not-answered")
    if route is not None:
        span.rename(f"{method} {route}")
        described["http.route"] = route
    span.set(described)
    if status >= _FIRST_DEFECT:
        span.fail(str(status))


def called(method: str, url: str, *, peer: str, ours: bool = True) -> AbstractContextManager[Span | None]:
    """Trace one request to ``peer``; ``ours`` says that the address is known to hold no secret."""
    if recorded_traceparent() is None:
        return nullcontext()
    return wire_span(method, "client", _address(method, url, peer, ours=ours))


def _address(method: str, url: str, peer: str, *, ours: bool) -> Mapping[str, Value]:
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    place = f"{parts.scheme}://{parts.hostname}:{parts.port or default}"
    return {
        "http.request.method": method,
        "server.address": parts.hostname or "",
        "server.port": parts.port or default,
        "service.peer.name": peer,
        "url.full": place + (plain_path(parts.path) if ours else "/"),
    }


def answered(span: Span | None, status: int) -> None:
    """Note the answer to a request of ours; one from 400 on is a failure, since we got not what we asked for."""
    if span is None:
        return
    span.set({"http.response.status_code": status})
    if status >= _FIRST_ERROR:
        span.fail(str(status))
