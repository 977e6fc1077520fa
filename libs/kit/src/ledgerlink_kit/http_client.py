"""Calls to other services: bounded in time, traced, authorized, and never made inside a transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, cast
from urllib.parse import urlencode

import aiohttp
import orjson

from ledgerlink_kit.auth import ServiceTokens
from ledgerlink_kit.db import forbid_network
from ledgerlink_kit.errors import Refused, Unavailable
from ledgerlink_kit.http_spans import answered, called
from ledgerlink_kit.limits import HTTP_CONNECTIONS_MAX, HTTP_TIMEOUT_S
from ledgerlink_kit.problem import refusal_from_problem
from ledgerlink_kit.telemetry import new_traceparent, request_id, traceparent

_UNAUTHORIZED: Final = 401
_FIRST_ERROR: Final = 400
_FIRST_DEFECT: Final = 500


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What an upstream answered: status, headers with lower-case names, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Read the body as JSON. Raises `Unavailable` when it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise Unavailable(
                "upstream-malformed", "An upstream answered something that is no JSON.", outcome_unknown=True
            ) from error


class Transport(Protocol):
    """How bytes travel; tests give one that calls an app in process."""

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpReply:
        """Send one request. Raises `TimeoutError`, `ConnectionRefusedError` (nothing was sent) or `OSError`."""
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


class PooledTransport:
    """Keep-alive connections over aiohttp, opened on first use."""

    def __init__(self) -> None:
        """Prepare an empty pool."""
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpReply:
        """Send one request over a pooled connection."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=HTTP_CONNECTIONS_MAX, keepalive_timeout=30)
            self._session = aiohttp.ClientSession(
                connector=connector, auto_decompress=True, cookie_jar=aiohttp.DummyCookieJar()
            )
        try:
            async with self._session.request(
                method,
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout_s, connect=min(timeout_s, 3.0)),
            ) as answer:
                content = await answer.read()
                lower = {name.lower(): value for name, value in answer.headers.items()}
                return HttpReply(answer.status, lower, content)
        except aiohttp.ClientConnectorError as error:
            raise ConnectionRefusedError(str(error)) from error
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error)) from error

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None


class HttpClient:
    """A client of one upstream, named ``name`` in errors, logs and spans."""

    def __init__(
        self,
        base_url: str,
        *,
        name: str,
        tokens: ServiceTokens | None = None,
        timeout_s: float = HTTP_TIMEOUT_S,
        transport: Transport | None = None,
    ) -> None:
        """Call ``base_url``, with this service's own token when ``tokens`` are given."""
        self._base_url = base_url.rstrip("/")
        self._name = name
        self._tokens = tokens
        self._timeout_s = timeout_s
        self._transport: Transport = transport or PooledTransport()

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        timeout_s: float | None = None,
    ) -> HttpReply:
        """Send one request and give whatever the upstream answered below 500.

        Raises `Unavailable` for a 5xx, a timeout or a broken connection; its ``outcome_unknown`` is false only when
        nothing can have been done (the connection was refused, or the upstream said 503 before working).
        """
        forbid_network(self._name)
        body = orjson.dumps(json) if json is not None else content
        sent = {"Accept": "application/json", **(headers or {})}
        if json is not None:
            sent["Content-Type"] = "application/json"
        if idempotency_key is not None:
            sent["Idempotency-Key"] = idempotency_key
        url = self._base_url + path
        if params:
            url += "?" + urlencode(params)
        reply = await self._send(method, url, sent, body, timeout_s or self._timeout_s)
        if reply.status == _UNAUTHORIZED and self._tokens is not None:
            # Our token may have been revoked or its key retired; one fresh one decides.
            self._tokens.forget()
            reply = await self._send(method, url, sent, body, timeout_s or self._timeout_s)
        return reply

    async def call(self, method: str, path: str, **options: Any) -> Any:
        """Send one request and give its JSON; a 4xx is raised as the `Refused` that the upstream meant."""
        reply = await self.request(method, path, **options)
        if reply.status >= _FIRST_ERROR:
            raise problem_to_refusal(reply)
        return reply.json() if reply.body else None

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpReply:
        sent = dict(headers)
        if request_id():
            sent["X-Request-ID"] = request_id()
        if self._tokens is not None:
            sent["Authorization"] = f"Bearer {await self._tokens.token()}"
        try:
            with called(method, url, peer=self._name) as span:
                sent["traceparent"] = traceparent() or new_traceparent()
                reply = await self._transport.send(method, url, headers=sent, body=body, timeout_s=timeout_s)
                answered(span, reply.status)
        except ConnectionRefusedError as error:
            raise self._away("cannot be reached", unknown=False) from error
        except TimeoutError as error:
            raise self._away("did not answer in time", unknown=True) from error
        except OSError as error:
            raise self._away("broke the connection", unknown=True) from error
        if reply.status >= _FIRST_DEFECT:
            raise self._away(f"answered {reply.status}", unknown=True)
        return reply

    def _away(self, what: str, *, unknown: bool) -> Unavailable:
        return Unavailable(f"{self._name}-unavailable", f"{self._name} {what}; try again.", outcome_unknown=unknown)

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.close()


def problem_to_refusal(reply: HttpReply) -> Refused:
    """Turn a 4xx answer back into the refusal that the upstream meant."""
    try:
        body: Any = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        body = None
    return refusal_from_problem(reply.status, cast(dict[str, Any], body) if isinstance(body, dict) else {})
