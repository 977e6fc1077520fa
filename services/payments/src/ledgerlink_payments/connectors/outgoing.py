"""How a webhook leaves: one POST to a stranger's address, with a guard at the moment of connecting.

The guard resolves the name once, refuses it when any of its addresses is not public, and connects to the very
addresses it judged, so that a name cannot change its mind in between (DNS rebinding). No redirect is followed, no proxy
used, no connection kept: a kept one would be trusted for the next name that claims the same address. The answer's body
is read up to a snippet, and never decompressed.
"""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import forbid_network
from ledgerlink_payments.domain.addresses import literal_address, may_be_called
from ledgerlink_payments.domain.webhooks import Outcome, read_retry_after

CONNECT_S: Final = 5.0
TOTAL_S: Final = 15.0
SNIPPET_BYTES: Final = 256
USER_AGENT: Final = "LedgerLink-Webhooks/1"


@dataclass(frozen=True, slots=True)
class Try:
    """One try: what came of it, the first bytes of the answer as text, and how long it took."""

    outcome: Outcome
    snippet: str = ""
    duration_ms: int = 0


class Sender(Protocol):
    """Takes a signed message to an address."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Try:
        """Send once; whatever goes wrong is an outcome, never an exception."""
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...


class AddressRefused(OSError):
    """The name leads to an address that is not public."""


class GuardedResolver(AbstractResolver):
    """Resolves names and refuses those that lead inside."""

    def __init__(self, *, allow_loopback: bool) -> None:
        """Judge addresses; on a developer's machine loopback may be allowed."""
        self._allow_loopback = allow_loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Give the addresses of ``host``. Raises `AddressRefused` when any of them is not public, `OSError` if none."""
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        results: list[ResolveResult] = []
        for address_family, _, protocol, _, place in found:
            literal = literal_address(str(place[0]))
            if literal is None or not may_be_called(literal, allow_loopback=self._allow_loopback):
                raise AddressRefused(f"{host} leads to an address that is not public")
            results.append(
                ResolveResult(
                    hostname=host,
                    host=str(literal),
                    port=port,
                    family=address_family,
                    proto=protocol,
                    flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
                )
            )
        return results

    async def close(self) -> None:
        """Nothing is open."""


class GuardedSender:
    """Sends over HTTP to public addresses only."""

    def __init__(self, clock: Clock, *, allow_loopback: bool, resolver: AbstractResolver | None = None) -> None:
        """Open nothing yet. ``resolver`` replaces the machine's own names, guarded all the same."""
        self._clock = clock
        self._allow_loopback = allow_loopback
        self._resolver = resolver or GuardedResolver(allow_loopback=allow_loopback)
        self._session: aiohttp.ClientSession | None = None

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Try:
        """Send once and give what came of it."""
        forbid_network("a webhook endpoint")
        started = self._clock.monotonic()
        try:
            outcome, snippet = await self._post(url, headers, body, self._clock.now())
        except AddressRefused as error:
            outcome, snippet = Outcome(None, str(error)), ""
        except aiohttp.ClientConnectorDNSError as error:
            reason = str(error.os_error) if isinstance(error.os_error, AddressRefused) else "the name was not found"
            outcome, snippet = Outcome(None, reason), ""
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            outcome, snippet = Outcome(None, _reason(error)), ""
        return Try(outcome, snippet, int((self._clock.monotonic() - started) * 1000))

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes, now: datetime) -> tuple[Outcome, str]:
        # An address that is written out never reaches the resolver, so it is judged here.
        literal = literal_address(urlsplit(url).hostname or "")
        if literal is not None and not may_be_called(literal, allow_loopback=self._allow_loopback):
            raise AddressRefused(f"{literal} is not a public address")
        sent = {**headers, "Content-Type": "application/json", "User-Agent": USER_AGENT}
        async with self._open().post(url, data=body, headers=sent, allow_redirects=False) as answer:
            snippet = await answer.content.read(SNIPPET_BYTES)
            retry_after = read_retry_after(answer.headers.get("Retry-After"), now)
            return Outcome(answer.status, None, retry_after), _printable(snippet)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            options: dict[str, Any] = {"resolver": self._resolver, "use_dns_cache": False, "force_close": True}
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, **options),
                timeout=aiohttp.ClientTimeout(total=TOTAL_S, sock_connect=CONNECT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    async def close(self) -> None:
        """Close what is open."""
        if self._session is not None:
            await self._session.close()


def _reason(error: BaseException) -> str:
    """Name a failure in words that tell an endpoint's owner what to mend, and nothing of our network."""
    if isinstance(error, TimeoutError):
        return f"no answer within {TOTAL_S:.0f} seconds"
    if isinstance(error, aiohttp.ClientSSLError):
        return "the TLS handshake failed"
    if isinstance(error, aiohttp.InvalidURL):
        return "the URL cannot be called"
    if isinstance(error, aiohttp.ClientConnectorError):
        refused = isinstance(error.os_error, ConnectionRefusedError)
        return "the connection was refused" if refused else "the connection could not be made"
    return "the connection broke"


def _printable(snippet: bytes) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in snippet.decode("utf-8", "replace"))
