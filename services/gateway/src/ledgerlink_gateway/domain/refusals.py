"""Every answer with which the gateway itself refuses a request, as one table of data.

The gateway's own matter is HTTP, so here, unlike in the other services, a reason and its status stand side by side.
A reason is checked in the order of this table: the shape of the request first, then who asks, then how much, then the
upstream. The code is the last segment of the problem's ``type`` and never changes its meaning.
"""

from enum import Enum
from typing import Any


class Reason(Enum):
    """Why the gateway answered in place of a service: ``(code, status, title)``."""

    HEADERS_TOO_LARGE = ("headers-too-large", 431, "Request header fields too large")
    VERSION_UNSUPPORTED = ("http-version-unsupported", 505, "HTTP version not supported")
    HOST_INVALID = ("host-invalid", 400, "The Host header is missing, double or malformed")
    HEAD_SLOW = ("head-slow", 408, "The request did not arrive in time")
    FRAMING_INVALID = ("framing-invalid", 400, "The body's length is ambiguous")
    HEADER_INVALID = ("header-invalid", 400, "A header is malformed")
    PATH_INVALID = ("path-invalid", 400, "The path is ambiguous")
    PATH_UNKNOWN = ("unknown-path", 404, "Unknown path")
    METHOD_UNSUPPORTED = ("method-not-allowed", 405, "Method not allowed")
    TOKEN_MISSING = ("token-missing", 401, "An access token is required")
    TOKEN_INVALID = ("token-invalid", 401, "The access token is not valid")
    TOKEN_EXPIRED = ("token-expired", 401, "The access token has expired")
    KEYS_UNAVAILABLE = ("keys-unavailable", 503, "Tokens cannot be verified")
    RATE_LIMITED = ("rate-limited", 429, "Too many requests")
    LIMITS_UNAVAILABLE = ("limits-unavailable", 503, "Rate limits cannot be checked")
    MEDIA_TYPE_UNSUPPORTED = ("unsupported-media-type", 415, "Unsupported media type")
    BODY_TOO_LARGE = ("body-too-large", 413, "The body is too large")
    BODY_SLOW = ("body-slow", 408, "The body did not arrive in time")
    CARD_DATA = ("card_data_not_allowed", 400, "Card data is not accepted")
    UPSTREAM_CIRCUIT_OPEN = ("upstream-circuit-open", 503, "The service has been failing")
    UPSTREAM_BUSY = ("upstream-busy", 503, "The service is at its limit")
    UPSTREAM_UNAVAILABLE = ("upstream-unavailable", 503, "The service cannot be reached")
    UPSTREAM_LOST = ("upstream-lost", 502, "The service ended the connection without an answer")
    UPSTREAM_INVALID = ("upstream-invalid", 502, "The service gave an invalid answer")
    UPSTREAM_TIMEOUT = ("upstream-timeout", 504, "The service did not answer in time")
    DEFECT = ("internal-error", 500, "Internal error")

    def __init__(self, code: str, status: int, title: str) -> None:
        self.code = code
        self.status = status
        self.title = title


class EdgeRefusal(Exception):
    """The gateway's own refusal of one request.

    ``retry_after_s`` becomes Retry-After. ``outcome_unknown`` says that the request may have had its effect: it had
    been sent when the upstream fell silent; repeat it under the same Idempotency-Key. ``members`` stand in the body.
    """

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        retry_after_s: int | None = None,
        outcome_unknown: bool = False,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        **members: Any,
    ) -> None:
        super().__init__(f"{reason.code}: {detail}")
        self.reason = reason
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.outcome_unknown = outcome_unknown
        self.headers = headers
        self.members: dict[str, Any] = members


class ClientGone(Exception):
    """The caller closed its connection; nothing can be answered."""
