"""Reading JSON documents from an upstream, for what the gateway composes itself."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import orjson

from ledgerlink_gateway.connectors.http1 import UpstreamSilent
from ledgerlink_gateway.connectors.upstream import OutRequest, Upstream
from ledgerlink_gateway.domain.refusals import EdgeRefusal
from ledgerlink_kit.http_spans import answered, called
from ledgerlink_kit.telemetry import traceparent

DOCUMENT_BYTES_MAX: Final = 8 * 1024 * 1024
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Missing(Exception):
    """A document could not be had; ``reason`` is a code: the upstream's own, or the gateway's for its silence."""

    reason: str


async def get_json(
    upstream: Upstream, target: str, headers: Sequence[tuple[bytes, bytes]], timeout_s: float
) -> dict[str, Any]:
    """GET a JSON object within ``timeout_s`` in all. Raises `Missing`."""
    with called("GET", upstream.origin + target, peer=upstream.name) as span:
        trace = traceparent()
        if trace:
            headers = [*headers, (b"traceparent", trace.encode("ascii"))]
        status, document = await _document(upstream, target, headers, timeout_s)
        answered(span, status)
    if status != _OK or document is None:
        code = None if document is None else document.get("code")
        raise Missing(str(code or f"answered-{status}"))
    return document


async def _document(
    upstream: Upstream, target: str, headers: Sequence[tuple[bytes, bytes]], timeout_s: float
) -> tuple[int, dict[str, Any] | None]:
    lines = [b"GET %b HTTP/1.1\r\nhost: %b\r\n" % (target.encode("ascii"), upstream.authority)]
    lines += [b"%b: %b\r\n" % pair for pair in headers]
    lines.append(b"accept: application/json\r\n\r\n")
    request = OutRequest(method="GET", head=b"".join(lines), body=b"", is_repeatable=True)
    try:
        async with asyncio.timeout(timeout_s):
            status, body = await _get(upstream, request, timeout_s)
    except TimeoutError:
        raise Missing("upstream-timeout") from None
    except (UpstreamSilent, EdgeRefusal) as silent:
        raise Missing(silent.reason.code) from None
    return status, _object(body)


async def _get(upstream: Upstream, request: OutRequest, timeout_s: float) -> tuple[int, bytes]:
    exchange, _ = await upstream.send(request, timeout_s)
    try:
        pieces: list[bytes] = []
        size = 0
        while (piece := await exchange.chunk(timeout_s)) is not None:
            size += len(piece)
            if size > DOCUMENT_BYTES_MAX:
                raise Missing("upstream-too-large")
            pieces.append(piece)
        return exchange.status, b"".join(pieces)
    finally:
        exchange.abandon()


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None
