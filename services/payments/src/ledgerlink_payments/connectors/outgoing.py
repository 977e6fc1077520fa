"""How a webhook leaves: one POST to a stranger's address, with a guard at the moment of connecting.

The guard resolves the name once, refuses it when any of its addresses is not public, and connects to the very
addresses it judged, so that a name cannot change its mind in between (DNS rebinding). No redirect is followed, no proxy
used, no connection kept: a kept one would be trusted for the next name that claims the same address. The answer's body
is read up to a snippet, and never decompressed.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import forbid_network
from ledgerlink_kit.http_spans import answered, called
from ledgerlink_kit.telemetry import new_traceparent, traceparent
from ledgerlink_payments.domain.addresses import literal_address, may_be_called
from ledgerlink_payments.domain.webhooks import Outcome, read_retry_after

CONNECT_S: Final = 5.0
TOTAL_S: Final = 15.0
SNIPPET_BYTES: Final = 256
LOOKUPS_MAX: Final = 256
"""Names looked up at a time at the most: twice the endpoints served at a time, since a lookup may outlive its try."""
USER_AGENT: Final = "LedgerLink-Webhooks/1"


Found = tuple[Any, Any, int, str, tuple[Any, ...]]
"""One line of `socket.getaddrinfo`: family, type, protocol, canonical name, socket address."""
Lookup = Callable[..., Sequence[Found]]


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
    """Resolves names and refuses those that lead inside.

    A name server that never answers holds a thread for as long as the system waits, which no timeout of ours shortens.
    So lookups have threads of their own, enough of them for every endpoint that may be served at a time, and a host is
    looked up once at a time however many messages wait for it: the dead cannot use up the threads of the living.
    """

    def __init__(self, *, allow_loopback: bool, lookup: Lookup = socket.getaddrinfo) -> None:
        """Judge what ``lookup`` finds; on a developer's machine loopback may be allowed."""
        self._allow_loopback = allow_loopback
        self._lookup = lookup
        self._threads: ThreadPoolExecutor | None = None
        self._under_way: dict[tuple[str, int, int], asyncio.Future[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Give the addresses of ``host``. Raises `AddressRefused` when any of them is not public, `OSError` if none."""
        key = (host, port, int(family))
        found = self._under_way.get(key)
        if found is None:
            found = asyncio.ensure_future(self._ask(host, port, family))
            self._under_way[key] = found
            found.add_done_callback(lambda done: self._end(key, done))
        # Whoever gives up waiting does not end the lookup for the others.
        return await asyncio.shield(found)

    def _end(self, key: tuple[str, int, int], done: "asyncio.Future[list[ResolveResult]]") -> None:
        self._under_way.pop(key, None)
        if not done.cancelled():
            done.exception()  # looked at, so that one that nobody waits for any more is not reported as forgotten

    async def _ask(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(LOOKUPS_MAX, thread_name_prefix="webhook-names")
        ask = partial(self._lookup, host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG)
        return self._judged(host, port, await asyncio.get_running_loop().run_in_executor(self._threads, ask))

    def _judged(self, host: str, port: int, found: Sequence[Found]) -> list[ResolveResult]:
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
        """Let go of the threads; a lookup that hangs ends by itself."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)


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
        with called("POST", url, peer="webhook endpoint", ours=False) as span:
            sent["traceparent"] = traceparent() or new_traceparent()
            async with self._open().post(url, data=body, headers=sent, allow_redirects=False) as answer:
                answered(span, answer.status)
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
        await self._resolver.close()


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
