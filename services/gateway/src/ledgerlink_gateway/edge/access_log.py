"""One access log line a request, written in batches: a line costs a few microseconds and no system call of its own."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson
import structlog

from ledgerlink_gateway.domain.card_data import masked
from ledgerlink_gateway.domain.route_table import OWN
from ledgerlink_gateway.edge.answers import shown
from ledgerlink_gateway.edge.visit import Visit
from ledgerlink_gateway.metrics import REFUSALS
from ledgerlink_kit.http_app import account_request

FLUSH_S: Final = 0.05
"""How long a line waits for others; a process that is killed loses at most this much of its log."""
_FIRST_DEFECT: Final = 500


class AccessLog:
    """Writes what became of each request, in the form of all other log lines."""

    def __init__(self, write: Callable[[bytes], object], log_format: Literal["json", "console"]) -> None:
        """``write`` takes whole lines; it is called off the request's path."""
        self._write = write
        self._log_format = log_format
        self._lines: list[bytes] = []

    def account(self, visit: Visit, seconds: float) -> None:
        """Log and count one request that has ended."""
        if visit.route is None or visit.route.upstream != OWN or visit.reason is not None:
            account_request(visit.method, visit.route_name, visit.status, seconds)
        elif visit.status:
            return  # answered by the FastAPI app, which has counted and logged it under the same ids
        if visit.reason is not None:
            REFUSALS.labels(visit.route_name, visit.reason).inc()
        fields: dict[str, Any] = {
            "service": "gateway",
            "method": visit.method,
            "path": masked(visit.path),
            "route": visit.route_name,
            "status": visit.status,
            "ms": round(seconds * 1000, 2),
            "bytes": visit.answered_bytes,
            "client": visit.client,
            "caller": visit.caller.subject if visit.caller is not None else None,
            "reason": visit.reason,
            "request_id": visit.request_id.decode("ascii"),
            "trace_id": visit.traceparent[3:35].decode("ascii"),
        }
        if visit.span is not None:
            fields["span_id"] = visit.traceparent[36:52].decode("ascii")
        if self._log_format == "console":
            structlog.get_logger().info("request", **shown(fields))
            return
        fields["event"] = "request"
        fields["level"] = "warning" if visit.status >= _FIRST_DEFECT else "info"
        fields["timestamp"] = datetime.now(UTC)
        if not self._lines:
            asyncio.get_running_loop().call_later(FLUSH_S, self.flush)
        self._lines.append(orjson.dumps(fields))

    def flush(self) -> None:
        """Write the lines that wait."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._write(b"\n".join(lines) + b"\n")
