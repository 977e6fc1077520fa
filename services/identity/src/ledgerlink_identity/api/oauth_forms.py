"""Bodies of the OAuth 2 endpoints: a form, as the standards say, or the same fields as JSON.

Their refusals carry OAuth 2's `error` and `error_description` (RFC 6749, section 5.2) inside the
problem that every refusal here is, so that clients of either kind understand them.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote_plus

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError

from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.problem import validation_refusal

FORM: Final = "application/x-www-form-urlencoded"
_FIELDS_MAX: Final = 50
Model = TypeVar("Model", bound=BaseModel)


def invalid_request(detail: str, **members: Any) -> Refused:
    """Return OAuth 2's refusal of a request that lacks something, repeats something or cannot be read."""
    return Refused(
        Kind.INVALID, "invalid-request", detail, error="invalid_request", error_description=detail, **members
    )


async def fields_of(request: Request) -> dict[str, Any]:
    """Read the body's fields. Raises `Refused` invalid-request; a field that is given twice is refused as well."""
    raw = await request.body()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
        return _form(raw)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise invalid_request("The body is neither a form nor JSON.") from None
    if not isinstance(body, dict):
        raise invalid_request("The body must be a JSON object.")
    return {str(name): value for name, value in body.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _form(raw: bytes) -> dict[str, Any]:
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX)
    except ValueError:
        raise invalid_request("The form cannot be read.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise invalid_request("A field is given more than once.")
    # An empty value counts as left out (RFC 6749, section 3.2).
    return {name: value for name, value in fields.items() if value}


def read(model: type[Model], fields: Mapping[str, Any]) -> Model:
    """Return the fields as a model. Raises `Refused` invalid-request that names each wrong field, never its value."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        found = validation_refusal(error.errors())
        raise invalid_request(found.detail, errors=found.members["errors"]) from None


def basic_credentials(request: Request) -> tuple[str, str] | None:
    """Return client id and secret from HTTP Basic (RFC 6749, section 2.3.1); null when there is none."""
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise invalid_request("The Authorization header cannot be read.") from None
    client_id, colon, secret = text.partition(":")
    if not colon:
        raise invalid_request("The Authorization header cannot be read.")
    return unquote_plus(client_id), unquote_plus(secret)


def body_of(*models: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description of a body that is one of these models, as a form or as JSON."""
    schemas = [model.model_json_schema() for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"oneOf": schemas}
    content = {FORM: {"schema": schema}, "application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}
