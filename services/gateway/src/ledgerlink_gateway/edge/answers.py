"""The gateway's own answers on the hot path: problems (RFC 9457), security headers, rate limit headers, CORS."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final

import orjson

from ledgerlink_gateway.connectors.limiter import Verdict
from ledgerlink_gateway.domain.gcra import MICROS
from ledgerlink_gateway.domain.refusals import EdgeRefusal
from ledgerlink_gateway.domain.route_table import Dialect
from ledgerlink_kit.problem import MEDIA_TYPE, TYPE_PREFIX

Headers = tuple[tuple[bytes, bytes], ...]

SECURITY_HEADERS: Final[Headers] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
"""On every answer of a service. An API answer is never a page: nothing in it may load, run or be framed."""

TRANSPORT_SECURITY: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")

_PREFLIGHT_AGE_S: Final = b"600"
_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS: Final = b"Authorization, Content-Type, Idempotency-Key, Stripe-Account, X-Request-ID, traceparent"
_EXPOSED: Final = (
    b"Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-ID"
)
_FIRST_DEFECT: Final = 500
_UNAUTHENTICATED: Final = 401


def problem(refusal: EdgeRefusal, request_id: bytes, dialect: Dialect) -> tuple[Headers, bytes]:
    """Give the headers and the body of a refusal; in Stripe's dialect with the `error` object its clients read."""
    reason = refusal.reason
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + reason.code,
        "title": reason.title,
        "status": reason.status,
        "detail": refusal.detail,
        "code": reason.code,
        "request_id": request_id.decode("ascii"),
    }
    if refusal.outcome_unknown:
        body["outcome_unknown"] = True
    if refusal.retry_after_s is not None:
        body["retry_after_s"] = refusal.retry_after_s
    body |= refusal.members
    if dialect is Dialect.STRIPE:
        kind = "api_error" if reason.status >= _FIRST_DEFECT else "invalid_request_error"
        body["error"] = {"type": kind, "code": reason.code, "message": refusal.detail}
    content = orjson.dumps(body)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", b"%d" % len(content)),
        (b"cache-control", b"no-store"),
        *refusal.headers,
    ]
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % refusal.retry_after_s))
    if reason.status == _UNAUTHENTICATED:
        error = "invalid_request" if reason.code == "token-missing" else "invalid_token"
        headers.append((b"www-authenticate", f'Bearer realm="ledgerlink", error="{error}"'.encode()))
    return tuple(headers), content


def limit_headers(verdict: Verdict) -> Headers:
    """Give `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers): every policy that was asked.

    ``q`` units per ``w`` seconds; ``r`` units are left now, and in ``t`` seconds all of them are back.
    """
    standings = verdict.standings
    if not standings:
        return ()
    policies = ", ".join([each.policy.item for each in standings])
    state = ", ".join(
        [f'"{policy.name}";r={max(0, left)};t={-(-reset_us // MICROS)}' for policy, left, reset_us, _ in standings]
    )
    return ((b"ratelimit-policy", policies.encode()), (b"ratelimit", state.encode()))


def retry_after_s(verdict: Verdict) -> int:
    """Give the whole seconds after which the refused request would pass, at least one."""
    return max(1, ceil(max((each.retry_us for each in verdict.standings), default=0) / MICROS))


def cors_headers(origin: bytes | None, allowed: frozenset[bytes]) -> Headers:
    """Give what lets a page of an allowed origin read the answer; nothing for others, who then cannot."""
    if not allowed:
        return ()
    if origin is None or origin not in allowed:
        return ((b"vary", b"Origin"),)
    return (
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"Origin"),
    )


def preflight_headers(origin: bytes, allowed: frozenset[bytes]) -> Headers:
    """Give the answer to a preflight of an allowed origin (Fetch standard, section 3.2.2)."""
    return (
        *cors_headers(origin, allowed),
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _REQUEST_HEADERS),
        (b"access-control-max-age", _PREFLIGHT_AGE_S),
    )


def header_of(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Give the first value of a header, None without one."""
    return next((value for key, value in headers if key == name), None)


def shown(members: Mapping[str, Any]) -> dict[str, Any]:
    """Give members without empty ones, for a log line."""
    return {name: value for name, value in members.items() if value not in (None, "")}
