"""How Stripe's clients write and read: bracketed forms or JSON in, Stripe's `error` object beside every problem out."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl
from uuid import uuid4

import orjson
from fastapi import Header, Request
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, WithJsonSchema
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ledgerlink_kit.auth import Caller
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.idempotency import Once, Reply, check_key, once_for
from ledgerlink_kit.money import MAX_MINOR, CurrencyCode
from ledgerlink_kit.problem import MEDIA_TYPE, problem_body, problem_headers, status_of
from ledgerlink_payments.domain import refusals
from ledgerlink_payments.domain.actors import Actor

Model = TypeVar("Model", bound=BaseModel)

FORM: Final = "application/x-www-form-urlencoded"
DEPTH_MAX: Final = 4
PARAMS_MAX: Final = 200

_PART: Final = re.compile(r"\[([^\[\]]*)\]")
_NAME: Final = re.compile(r"[^\[\]]+")


def _integer(value: Any) -> Any:
    """Read a form's digits; JSON brings an integer, and nothing else is guessed."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,16}", value):
        return int(value)
    return value


def _flag(value: Any) -> Any:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


Amount = Annotated[
    int,
    Field(strict=True, ge=1, le=MAX_MINOR, description="Minor units of the currency"),
    BeforeValidator(_integer),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_MINOR}),
]
"""An amount: a JSON integer, or digits in a form."""

Flag = Annotated[bool, Field(strict=True), BeforeValidator(_flag), WithJsonSchema({"type": "boolean"})]
"""A truth value: JSON's, or the words true and false in a form."""

Currency = CurrencyCode


def unflatten(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Turn ``a[b]=c`` into nested objects, ``a[]=x`` and ``a[0]=x`` into lists. Refuses what is malformed."""
    if len(pairs) > PARAMS_MAX:
        raise refusals.invalid("", f"At most {PARAMS_MAX} parameters may be sent.")
    root: dict[str, Any] = {}
    for key, value in pairs:
        path = _path(key)
        node: dict[str, Any] = root
        for name in path[:-1]:
            inner = node.setdefault(name, {})
            if not isinstance(inner, dict):
                raise refusals.invalid(key, f"Invalid form: {key[:80]!r} is both a value and an object.")
            node = inner  # pyright: ignore[reportUnknownVariableType]
        name = path[-1] or str(len(node))
        if name in node:
            raise refusals.invalid(key, f"Invalid form: {key[:80]!r} was sent twice.")
        node[name] = value
    return {name: _lists(value) for name, value in root.items()}


def _path(key: str) -> list[str]:
    head = _NAME.match(key)
    rest = key[head.end() :] if head else ""
    parts = _PART.findall(rest)
    if head is None or "".join(f"[{part}]" for part in parts) != rest or len(parts) >= DEPTH_MAX:
        raise refusals.invalid(key[:80], f"Invalid form: the name {key[:80]!r} is malformed.")
    return [head[0], *parts]


def _lists(value: Any) -> Any:
    """Turn objects whose names are 0, 1, 2 … into lists."""
    if not isinstance(value, dict):
        return value
    inner: dict[str, Any] = {name: _lists(item) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return list(inner.values()) if inner and list(inner) == [str(i) for i in range(len(inner))] else inner


async def _content(request: Request) -> dict[str, Any]:
    body = await request.body()
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == FORM or not body:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused(Kind.INVALID, "malformed-body", "The form is not UTF-8.") from None
        return unflatten(parse_qsl(text, keep_blank_values=True))
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Refused(Kind.INVALID, "malformed-body", "The body is not valid JSON.") from None
    if not isinstance(content, dict):
        raise Refused(Kind.INVALID, "malformed-body", "The body must be a JSON object.")
    return content  # pyright: ignore[reportUnknownVariableType]


def read(model: type[Model], content: Mapping[str, Any]) -> Model:
    """Read parameters. Refuses in Stripe's words: `parameter-unknown`, `parameter-missing`, `parameter-invalid`."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise bad_parameters(error.errors()) from None


def bad_parameters(errors: Any) -> Refused:
    """Turn a model's complaints into one refusal that names each parameter and never repeats its value."""
    listed = [{"param": _param(error["loc"]), "message": str(error["msg"])} for error in errors]
    first, kind = listed[0], errors[0]["type"]
    if kind == "extra_forbidden":
        refusal = refusals.invalid(first["param"], f"Received unknown parameter: {first['param']}", "parameter-unknown")
    elif kind == "missing":
        refusal = refusals.absent(first["param"])
    else:
        refusal = refusals.invalid(first["param"], f"Invalid {first['param']}: {first['message']}")
    refusal.members["errors"] = listed
    return refusal


_NO_PARAM: Final = frozenset({"query", "path", "header", "body"})


def _param(location: tuple[Any, ...]) -> str:
    # Where a type has several readings pydantic names the reading as well, such as `is-instance[UserId]`.
    names = [str(part)[:80] for part in location if part not in _NO_PARAM and "[" not in str(part)]
    return names[0] + "".join(f"[{name}]" for name in names[1:]) if names else ""


async def params(request: Request, model: type[Model]) -> Model:
    """Read a request's body, form or JSON, as ``model``. Raises `Refused`."""
    return read(model, await _content(request))


IdempotencyKey = Annotated[
    str | None, Header(description="Fresh random value for a new request, the same for a retry; made up when absent")
]
StripeAccount = Annotated[str | None, Header(description="The merchant (`acct_…`) in whose name this is asked")]


def once(request: Request, caller: Caller, key: str | None, content: BaseModel, account: str | None = None) -> Once:
    """Make the `Once` of a POST. Without a key the request is its own: a random one is made up, as Stripe's SDKs do."""
    asked = {"path": request.url.path, "account": account, **content.model_dump(mode="json", exclude_unset=True)}
    operation = f"{request.method} {request.scope['route'].path}"
    return once_for(caller.subject, operation, check_key(key) if key is not None else f"auto-{uuid4()}", asked)


def actor_of(caller: Caller) -> Actor:
    """Say what payments needs to know of a caller."""
    return Actor(
        subject=caller.subject,
        sees_all=caller.has("ledger:read"),
        any_wallet=caller.has("ledger:write"),
        may_exchange=caller.has("payments:exchange"),
    )


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """Document a body that is read as a form or as JSON, for a route's ``openapi_extra=``."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs", {})
    schema = _inlined(schema, definitions)
    nested = [name for name, value in schema["properties"].items() if "object" in str(value) or "array" in str(value)]
    encoding = {name: {"style": "deepObject", "explode": True} for name in nested}
    required = bool(schema.get("required"))
    content = {"application/json": {"schema": schema}, FORM: {"schema": schema, "encoding": encoding}}
    return {"requestBody": {"content": content, "required": required}}


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(item, definitions) for item in schema]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(reference, str):
        return _inlined(definitions[reference.rpartition("/")[2]], definitions)
    return {name: _inlined(value, definitions) for name, value in schema.items()}  # pyright: ignore[reportUnknownVariableType]


def error_of(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Give Stripe's `error` object for a problem."""
    code, status = str(problem.get("code", "")), int(problem.get("status", 500))
    error: dict[str, Any] = {
        "type": _type(code, status),
        "code": code.replace("-", "_"),
        "message": problem.get("detail", ""),
        "request_id": problem.get("request_id"),
    }
    if problem.get("param"):
        error["param"] = problem["param"]
    return error


def _type(code: str, status: int) -> str:
    if code.startswith("idempotency-"):
        return "idempotency_error"
    if status == 402:
        return "card_error"
    return "api_error" if status >= 500 else "invalid_request_error"


def refusal_reply(refusal: Refused, **members: Any) -> Reply:
    """Write a refusal, with Stripe's `error`, to be remembered under its key; ``members`` join the error."""
    body = problem_body(refusal)
    body["error"] = {**error_of(body), **members}
    return Reply(status_of(refusal), orjson.dumps(body), problem_headers(refusal))


class StripeErrors:
    """ASGI middleware: every problem that lacks one, whoever wrote it, gets Stripe's `error` object."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand around ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on; hold back problems until their body is complete."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: Message | None = None
        body = b""

        async def sending(message: Message) -> None:
            nonlocal held, body
            if message["type"] == "http.response.start" and message["status"] >= 400:
                held = message
                return
            if held is None:
                await send(message)
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            start, held = held, None
            content = _with_error(start, body)
            await send(start)
            await send({"type": "http.response.body", "body": content})

        await self._app(scope, receive, sending)


def _with_error(start: Message, body: bytes) -> bytes:
    headers = MutableHeaders(raw=start["headers"])
    if not headers.get("content-type", "").startswith(MEDIA_TYPE):
        return body
    problem = orjson.loads(body)
    if start["status"] == 423:
        headers["Stripe-Should-Retry"] = "true"
    if "error" not in problem:
        problem["error"] = error_of(problem)
        body = orjson.dumps(problem)
        headers["Content-Length"] = str(len(body))
    return body
