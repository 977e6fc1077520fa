"""Problem details for HTTP APIs (RFC 9457): the only place where errors meet HTTP statuses.

Every 4xx and 5xx of every service is `application/problem+json` with ``type``, ``title``, ``status``, ``detail``, a
stable ``code``, the ``request_id``, and whatever members the refusal carries.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final, TypeVar

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from ledgerlink_kit.errors import Kind, LedgerLinkError, Refused, Unavailable
from ledgerlink_kit.telemetry import request_id

Model = TypeVar("Model", bound=BaseModel)

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "https://ledgerlink.dev/problems/"

STATUS: Final[dict[Kind, int]] = {
    Kind.INVALID: 400,
    Kind.UNAUTHENTICATED: 401,
    Kind.DECLINED: 402,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.CONFLICT: 409,
    Kind.GONE: 410,
    Kind.TOO_LARGE: 413,
    Kind.UNSUPPORTED: 415,
    Kind.UNPROCESSABLE: 422,
    Kind.LOCKED: 423,
    Kind.RATE_LIMITED: 429,
}
_KIND: Final = {status: kind for kind, status in STATUS.items()}

_FRAMEWORK_CODES: Final = {
    400: "malformed-body",
    404: "unknown-path",
    405: "method-not-allowed",
    413: "body-too-large",
    415: "unsupported-media-type",
}
_KEY_HEADER: Final = ("header", "idempotency-key")

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "Problem details (RFC 9457). `code` never changes meaning; other members depend on it.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "examples": ["insufficient-funds"]},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
    "additionalProperties": True,
}


def status_of(error: LedgerLinkError) -> int:
    """Give the HTTP status of ``error``."""
    if isinstance(error, Refused):
        return STATUS[error.kind]
    return 503 if isinstance(error, Unavailable) else 500


def problem_body(error: LedgerLinkError) -> dict[str, Any]:
    """Give the problem object of ``error``; a defect tells nothing but that it happened."""
    status = status_of(error)
    internal = status == HTTPStatus.INTERNAL_SERVER_ERROR
    return {
        "type": TYPE_PREFIX + error.code,
        "title": error.code.replace("-", " ").capitalize(),
        "status": status,
        "detail": "Something broke on our side; the request id finds it in our logs." if internal else error.detail,
        "code": error.code,
        "request_id": request_id(),
        **({} if internal else error.members),
    }


def problem_headers(error: LedgerLinkError) -> dict[str, str]:
    """Give the headers that belong to ``error``: Retry-After and, for 401, the challenge (RFC 6750, section 3)."""
    headers: dict[str, str] = {}
    retry_after = error.retry_after_s if isinstance(error, Unavailable) else error.members.get("retry_after_s")
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if isinstance(error, Refused) and error.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = f'Bearer realm="ledgerlink", error="{_bearer_error(error.code)}"'
    return headers


def _bearer_error(code: str) -> str:
    return "invalid_request" if code == "token-missing" else "invalid_token"


def problem_response(error: LedgerLinkError) -> Response:
    """Write ``error`` as an HTTP response."""
    return Response(
        content=orjson.dumps(problem_body(error)),
        status_code=status_of(error),
        headers=problem_headers(error),
        media_type=MEDIA_TYPE,
    )


def validation_refusal(errors: Iterable[Any]) -> Refused:
    """Turn a model's complaints into one refusal that names each field and never repeats its value."""
    listed: list[dict[str, str]] = []
    for error in errors:
        location = tuple(str(part) for part in error["loc"])
        if error["type"] == "json_invalid":
            return Refused(Kind.INVALID, "malformed-body", "The body is not valid JSON.")
        if location == _KEY_HEADER and error["type"] == "missing":
            return Refused(
                Kind.INVALID,
                "idempotency-key-missing",
                "Send an Idempotency-Key header: a fresh random value for each new request, the same for a retry.",
            )
        listed.append({"path": ".".join(location), "message": str(error["msg"])})
    first = f"{listed[0]['path']}: {listed[0]['message']}" if listed else "the request"
    more = f" (and {len(listed) - 1} more)" if len(listed) > 1 else ""
    return Refused(Kind.UNPROCESSABLE, "invalid-request", f"The request does not fit: {first}{more}.", errors=listed)


def framework_response(error: HTTPException) -> Response:
    """Write an error of the web framework's own (unknown path, method, media type, size) as a problem."""
    code = _FRAMEWORK_CODES.get(error.status_code, "request-refused")
    body = {
        "type": TYPE_PREFIX + code,
        "title": code.replace("-", " ").capitalize(),
        "status": error.status_code,
        "detail": error.detail or HTTPStatus(error.status_code).phrase,
        "code": code,
        "request_id": request_id(),
    }
    return Response(orjson.dumps(body), error.status_code, headers=error.headers, media_type=MEDIA_TYPE)


KNOWN: Final = (LedgerLinkError, RequestValidationError, HTTPException)
"""The errors that have a problem of their own."""


def response_to(error: Exception) -> Response:
    """Write one of the `KNOWN` errors as the problem that it is."""
    if isinstance(error, RequestValidationError):
        return problem_response(validation_refusal(error.errors()))
    if isinstance(error, HTTPException):
        return framework_response(error)
    assert isinstance(error, LedgerLinkError)
    if status_of(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
        structlog.get_logger().warning("request_failed", code=error.code, detail=error.detail)
    return problem_response(error)


def install(app: FastAPI) -> None:
    """Give ``app`` the handlers that turn every error into a problem."""

    async def respond(_request: Request, error: Exception) -> Response:
        return response_to(error)

    for kind in KNOWN:
        app.add_exception_handler(kind, respond)


def read_body(model: type[Model], raw: bytes) -> Model:
    """Read a JSON body as ``model``, in one pass. Raises `Refused` as a route of the framework would refuse it."""
    if not raw:
        raise validation_refusal([{"loc": ("body",), "type": "missing", "msg": "Field required"}])
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise validation_refusal([{**one, "loc": ("body", *one["loc"])} for one in found]) from None


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Document problem answers with these ``statuses`` for a route's ``responses=``."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def refusal_from_problem(status: int, body: dict[str, Any]) -> Refused:
    """Turn a problem answered by another service back into the refusal that it was."""
    known = {"type", "title", "status", "detail", "code", "request_id"}
    members = {name: value for name, value in body.items() if name not in known}
    code, detail = str(body.get("code", "refused-upstream")), str(body.get("detail", "The upstream refused."))
    refusal = Refused(_KIND.get(status, Kind.INVALID), code, detail)
    refusal.members.update(members)
    return refusal
