"""The demo's client: real HTTP through the gateway, patient with outages, safe to repeat, and timed."""

import asyncio
import hashlib
import hmac
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import orjson

from ledgerlink_stack.trouble import Trouble

PATIENCE_S: Final = 120.0
"""How long one request is repeated while the stack is away or busy; a stack that heals does so sooner."""

_AGAIN: Final = frozenset({429, 502, 503, 504})
_PAUSE_S: Final = 0.5
_RENEW_BEFORE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back in the end."""

    status: int
    body: Any

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.status < HTTPStatus.BAD_REQUEST


@dataclass
class Timings:
    """Seconds of every answered request, by kind of work."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def quantile(self, kind: str, share: float) -> float:
        """Give the time that ``share`` of the requests of ``kind`` stayed within, in seconds."""
        ordered = sorted(self.seconds[kind])
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def brackets(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Write nested content as Stripe's form fields: ``metadata[row]=7``."""
    fields: list[tuple[str, str]] = []
    for name, value in content.items():
        path = f"{prefix}[{name}]" if prefix else name
        if isinstance(value, Mapping):
            fields += brackets(value, path)  # pyright: ignore[reportUnknownArgumentType]
        else:
            fields.append((path, str(value).lower() if isinstance(value, bool) else str(value)))
    return fields


class Gateway:
    """One base address and the connections to it."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        """Send to ``url``."""
        self._url = url.rstrip("/")
        self._session = session
        self.timings = Timings()

    async def send(
        self,
        method: str,
        path: str,
        *,
        kind: str,
        token: "Person | None" = None,
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        key: str | None = None,
        account: str | None = None,
    ) -> Answer:
        """Send one request until it is answered; an outage or a full queue is waited for, with the same key."""
        body = None if json is None else orjson.dumps(json)
        headers: dict[str, str] = {} if json is None else {"Content-Type": "application/json"}
        if form is not None:
            body = urlencode(brackets(form)).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if key is not None:
            headers["Idempotency-Key"] = key
        if account is not None:
            headers["Stripe-Account"] = account
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if token is not None:
                headers["Authorization"] = f"Bearer {await token.access()}"
            started = time.monotonic()
            answer, pause = await self._try(method, path, headers, body)
            if answer is not None and answer.status == HTTPStatus.UNAUTHORIZED and token is not None:
                token.forget()
                answer = None
            if answer is not None:
                self.timings.seconds[kind].append(time.monotonic() - started)
                return answer
            if time.monotonic() > deadline:
                raise Trouble(
                    f"{method} {path} was not answered for {PATIENCE_S:.0f} s.",
                    "See `ledgerlink status`, mend it with `ledgerlink up`, and run the demo again: it goes on.",
                )
            await asyncio.sleep(pause)

    async def _try(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[Answer | None, float]:
        try:
            async with self._session.request(method, self._url + path, data=body, headers=headers) as answer:
                content = await answer.read()
                parsed: Any = orjson.loads(content) if content else None
                busy = answer.status == HTTPStatus.CONFLICT and parsed["code"] == "idempotency-in-flight"
                if answer.status in _AGAIN or busy:
                    return None, min(float(answer.headers.get("Retry-After", _PAUSE_S)), 5.0)
                return Answer(answer.status, parsed), 0
        except (aiohttp.ClientError, TimeoutError, OSError, orjson.JSONDecodeError):
            return None, _PAUSE_S

    async def done(self, method: str, path: str, **options: Any) -> Any:
        """Send a request that must succeed, and give its body. Raises `Trouble` with what was refused."""
        answer = await self.send(method, path, **options)
        if not answer.ok:
            raise Trouble(
                f"{method} {path} was refused: {answer.status} {answer.body.get('code')}: {answer.body.get('detail')}",
                "The demo needs it; `ledgerlink logs` may tell more.",
            )
        return answer.body


class Person:
    """Somebody who logs in, and again before the token ends."""

    def __init__(self, gateway: Gateway, email: str, password: str) -> None:
        """Log in on first use."""
        self._gateway = gateway
        self.email = email
        self.password = password
        self._token = ""
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def access(self) -> str:
        """Give an access token that lives for another minute."""
        async with self._lock:
            if time.monotonic() > self._until:
                login = {"grant_type": "password", "username": self.email, "password": self.password}
                body = await self._gateway.done("POST", "/api/v1/auth/token", kind="log in", form=login)
                self._token = body["access_token"]
                self._until = time.monotonic() + float(body["expires_in"]) - _RENEW_BEFORE_S
        return self._token

    def forget(self) -> None:
        """Log in again before the next request."""
        self._until = 0.0


def password_of(secret: str, email: str) -> str:
    """Derive a demo person's password, so that a second run can log in as well."""
    return hmac.digest(secret.encode(), email.encode(), hashlib.sha256).hex()[:32]
