"""One effect and one answer for one Idempotency-Key.

The key stands in the service's own PostgreSQL, committed together with the effect. A replay answers byte for byte with
``Idempotency-Replayed: true``; another request under the same key is refused and told what differs; a refusal is
remembered like a success. (IETF draft *The Idempotency-Key HTTP Header Field*, and Stripe's documented behavior.)

Two forms: `run_once` for work that fits one transaction, `phased.run` for work that calls the outside between
transactions. What is stored of the request are hashes of its fields, never their values.
"""

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl
from uuid import UUID

import orjson
from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel
from sqlalchemy import text

from ledgerlink_kit.auth import Caller, authenticated
from ledgerlink_kit.db import Database, LockTimeout, Tx
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.ids import TypedId
from ledgerlink_kit.limits import IDEMPOTENCY_KEY_CHARS_MAX, IDEMPOTENCY_LEASE_S
from ledgerlink_kit.problem import MEDIA_TYPE, problem_body, problem_headers, status_of

Result = TypeVar("Result")
Id = TypeVar("Id", bound=TypedId)

REPLAYED_HEADER: Final = "Idempotency-Replayed"
FORGOTTEN: Final = frozenset({Kind.RATE_LIMITED, Kind.LOCKED, Kind.UNAUTHENTICATED})
"""Refusals that say "not now": a later try under the same key must be judged afresh."""
_POLL_S: Final = 0.05
_FIRST_ERROR: Final = 400


@dataclass(frozen=True, slots=True)
class Reply:
    """A finished answer: status, body as bytes, headers; ``replayed`` when it was given before."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    replayed: bool = False

    def to_response(self) -> Response:
        """Give the HTTP response."""
        headers = {**self.headers, REPLAYED_HEADER: "true"} if self.replayed else dict(self.headers)
        headers.setdefault("Content-Type", "application/json" if self.status < _FIRST_ERROR else MEDIA_TYPE)
        return Response(self.body, self.status, headers=headers)


def json_reply(status: int, content: BaseModel | dict[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
    """Write ``content`` as the JSON body of a reply."""
    body = content.model_dump_json().encode() if isinstance(content, BaseModel) else orjson.dumps(content)
    return Reply(status, body, headers or {})


def refusal_reply(refusal: Refused) -> Reply:
    """Write a refusal as the problem that will be remembered."""
    return Reply(status_of(refusal), orjson.dumps(problem_body(refusal)), problem_headers(refusal))


@dataclass(frozen=True, slots=True)
class Once:
    """One caller's request under one key: who, which operation, and what was asked (as hashes of its fields)."""

    caller: str
    operation: str
    key: str
    fields: Mapping[str, str]

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 over the canonical request."""
        return hashlib.sha256(orjson.dumps(dict(self.fields), option=orjson.OPT_SORT_KEYS)).digest()

    def derive(self, kind: type[Id], *parts: str) -> Id:
        """Give the id that belongs to this caller, operation and key: the same for every retry."""
        return kind.derive(self.caller, self.operation, self.key, *parts)


def once_for(caller: str, operation: str, key: str, content: Mapping[str, Any]) -> Once:
    """Make a `Once` for ``content``, any JSON-able request."""
    fields: dict[str, str] = {}
    _hash_fields("", dict(content), fields)
    return Once(caller, operation, key, fields)


def _hash_fields(path: str, value: Any, into: dict[str, str]) -> None:
    """Hash each leaf of ``value`` under its dotted path."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            _hash_fields(f"{path}.{name}" if path else str(name), inner, into)  # pyright: ignore[reportUnknownArgumentType]
    else:
        into[path] = hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()[:32]


def check_key(key: str) -> str:
    """Give ``key`` if it is 1 to 255 printable ASCII characters. Raises `Refused`."""
    if not 1 <= len(key) <= IDEMPOTENCY_KEY_CHARS_MAX or not key.isascii() or not key.isprintable():
        raise Refused(
            Kind.INVALID,
            "idempotency-key-invalid",
            f"An Idempotency-Key has 1 to {IDEMPOTENCY_KEY_CHARS_MAX} printable ASCII characters.",
        )
    return key


async def request_content(request: Request) -> dict[str, Any]:
    """Give what was asked, canonically: path, query and body (JSON or form), whatever the order of its members."""
    body = await request.body()
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        parsed: Any = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    else:
        try:
            parsed = orjson.loads(body) if body else None
        except orjson.JSONDecodeError:
            # Malformed JSON is refused by the model that reads it; here it only has to hash.
            parsed = {"raw": hashlib.sha256(body).hexdigest()}
    content: dict[str, Any] = {"path": request.url.path, "query": sorted(request.query_params.multi_items())}
    return {**content, **(parsed if isinstance(parsed, dict) else {"body": parsed})}


async def once_from(
    request: Request,
    caller: Annotated[Caller, Depends(authenticated)],
    idempotency_key: Annotated[str, Header(description="Fresh random value for a new request, the same for a retry")],
) -> Once:
    """Read the request's Idempotency-Key; the operation is the method and the route's template."""
    operation = f"{request.method} {request.scope['route'].path}"
    return once_for(caller.subject, operation, check_key(idempotency_key), await request_content(request))


OnceHeader = Annotated[Once, Depends(once_from)]
"""A route parameter of this type makes the Idempotency-Key header required."""


async def run_once(
    db: Database, once: Once, work: Callable[[Tx], Awaitable[Result]], render: Callable[[Result], Reply]
) -> Reply:
    """Do ``work`` at most once under the key, in one transaction with it, and give its answer or the stored one.

    ``work`` must be re-runnable up to its commit (it may be rolled back and tried again). A `Refused` that it raises
    rolls its changes back and is remembered as the answer.
    """

    async def body(tx: Tx) -> Reply:
        try:
            claimed = await claim(tx, once, None)
        except LockTimeout:
            raise in_flight() from None
        if isinstance(claimed, Reply):
            return claimed
        try:
            async with tx.begin_nested():
                reply = render(await work(tx))
        except Refused as refusal:
            if refusal.kind in FORGOTTEN:
                raise
            reply = refusal_reply(refusal)
        await store(tx, once, reply)
        return reply

    try:
        return await db.retrying(body)
    except LockTimeout:
        raise in_flight() from None


_INSERT: Final = text(
    "INSERT INTO idempotency_keys (caller, operation, key, fingerprint, fields, lease_token, lease_until) "
    "VALUES (:caller, :operation, :key, :fingerprint, CAST(:fields AS jsonb), CAST(:token AS uuid), "
    "CASE WHEN CAST(:token AS uuid) IS NULL THEN NULL ELSE now() + make_interval(secs => :lease_s) END) "
    "ON CONFLICT DO NOTHING RETURNING true"
)
_SELECT: Final = text(
    "SELECT fingerprint, fields, status, body, headers FROM idempotency_keys "
    "WHERE caller = :caller AND operation = :operation AND key = :key"
)
_TAKE_OVER: Final = text(
    "UPDATE idempotency_keys SET lease_token = :token, lease_until = now() + make_interval(secs => :lease_s) "
    "WHERE caller = :caller AND operation = :operation AND key = :key "
    "AND status IS NULL AND coalesce(lease_until, '-infinity') < now() RETURNING true"
)
_STORE: Final = text(
    "UPDATE idempotency_keys SET status = :status, body = :body, headers = CAST(:headers AS jsonb), "
    "lease_token = NULL, lease_until = NULL "
    "WHERE caller = :caller AND operation = :operation AND key = :key AND status IS NULL"
)
_RELEASE: Final = text(
    "UPDATE idempotency_keys SET lease_token = NULL, lease_until = NULL "
    "WHERE caller = :caller AND operation = :operation AND key = :key AND lease_token = :token AND status IS NULL"
)


def _names(once: Once) -> dict[str, Any]:
    return {"caller": once.caller, "operation": once.operation, "key": once.key}


async def claim(tx: Tx, once: Once, token: UUID | None) -> Reply | bool:
    """Claim the key: true when it is ours, the stored reply when it is answered, false when another holds it."""
    row = {
        **_names(once),
        "fingerprint": once.fingerprint,
        "fields": orjson.dumps(dict(once.fields)).decode(),
        "token": token,
        "lease_s": IDEMPOTENCY_LEASE_S,
    }
    if (await tx.execute(_INSERT, row)).first() is not None:
        return True
    stored = (await tx.execute(_SELECT, _names(once))).one_or_none()
    if stored is None:
        return False
    if stored.fingerprint != once.fingerprint:
        raise _reused(stored.fields, once.fields)
    if stored.status is not None:
        return Reply(stored.status, stored.body, stored.headers, replayed=True)
    taken = await tx.execute(_TAKE_OVER, {**_names(once), "token": token, "lease_s": IDEMPOTENCY_LEASE_S})
    return taken.first() is not None


async def store(tx: Tx, once: Once, reply: Reply) -> None:
    """Remember ``reply`` as the answer under the key, in the caller's transaction."""
    row = {"status": reply.status, "body": reply.body, "headers": orjson.dumps(dict(reply.headers)).decode()}
    await tx.execute(_STORE, {**_names(once), **row})


async def release(db: Database, once: Once, token: UUID) -> None:
    """Give the key back unanswered, so that a retry need not wait for the lease to end."""
    async with db.transaction() as tx:
        await tx.execute(_RELEASE, {**_names(once), "token": token})


async def purge(tx: Tx, older_than_s: float) -> int:
    """Forget answered keys older than ``older_than_s`` seconds; gives how many went."""
    deleted = await tx.execute(
        text(
            "DELETE FROM idempotency_keys WHERE created_at < now() - make_interval(secs => :age) AND status IS NOT NULL"
        ),
        {"age": older_than_s},
    )
    return deleted.rowcount


def _reused(stored: Mapping[str, str], given: Mapping[str, str]) -> Refused:
    differs = sorted(path for path in stored.keys() | given.keys() if stored.get(path) != given.get(path))
    return Refused(
        Kind.UNPROCESSABLE,
        "idempotency-key-reused",
        "This Idempotency-Key was used for another request. Send a fresh key, or the same request; what differs: "
        + ", ".join(differs[:10])
        + ".",
        differs=differs,
    )


def in_flight() -> Refused:
    """Say that another request with the key is still being worked on."""
    return Refused(
        Kind.CONFLICT,
        "idempotency-in-flight",
        "A request with this Idempotency-Key is still being worked on. Ask again in a moment with the same key.",
        retry_after_s=1,
    )
