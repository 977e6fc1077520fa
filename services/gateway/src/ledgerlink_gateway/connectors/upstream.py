"""One upstream service: its pooled connections, its bound on requests in flight, its circuit breaker, and the retry.

A request is sent again in one case only: on a pooled connection that turned out dead before any byte of an answer,
and only if repeating is harmless (an idempotent method, or an Idempotency-Key) and the whole body is at hand. Anything
else could be done twice.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from ledgerlink_gateway.connectors.http1 import Connection, Exchange, UpstreamSilent
from ledgerlink_gateway.domain.breaker import Breaker, BreakerRule
from ledgerlink_gateway.domain.refusals import EdgeRefusal, Reason
from ledgerlink_gateway.metrics import REPEATS
from ledgerlink_kit.clock import Clock

IDEMPOTENT_METHODS: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamRule:
    """The bounds of one upstream. Times are seconds.

    ``idle_s`` is well below the 65 seconds after which the services close an idle connection, so that ours is the side
    that closes and a request seldom meets a dead connection.
    """

    connect_timeout_s: float = 2.0
    idle_s: float = 30.0
    idle_connections_max: int = 64
    in_flight_max: int = 128
    waiting_max: int = 512
    wait_s: float = 2.0
    breaker: BreakerRule = field(default_factory=BreakerRule)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutRequest:
    """A request as it goes to an upstream: its head in bytes, and its body if it is all at hand.

    ``body`` None means that the body follows by `Connection.write`. ``is_repeatable`` says that sending it twice does
    no harm.
    """

    method: str
    head: bytes
    body: bytes | None
    is_repeatable: bool


class Upstream:
    """Sends requests to one service. One per upstream and event loop."""

    def __init__(self, name: str, url: str, rule: UpstreamRule, clock: Clock) -> None:
        """Raises ValueError for a URL that is not ``http(s)://host[:port]``."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
            message = f"{name}: an upstream is http(s)://host[:port], nothing more"
            raise ValueError(message)
        self.name = name
        self.host = parts.hostname
        self.port = parts.port or (443 if parts.scheme == "https" else 80)
        self.authority = parts.netloc.encode("ascii")
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.breaker = Breaker(rule.breaker)
        self.in_flight = 0
        self._rule = rule
        self._clock = clock
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._idle: list[Connection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def send(self, request: OutRequest, timeout_s: float) -> tuple[Exchange, Connection]:
        """Send a request and, if its body is whole, wait for the head of the answer, repeating it where that is safe.

        For a streamed body the exchange comes back at once; the caller writes and then waits for the head. Raises
        `EdgeRefusal` (busy, circuit open) and `UpstreamSilent`.
        """
        await self._enter()
        try:
            connection, is_reused = await self._acquire()
        except BaseException as error:
            self._left(was_answered=None if isinstance(error, asyncio.CancelledError) else False)
            raise
        try:
            return await self._exchange(connection, request, timeout_s)
        except UpstreamSilent as error:
            is_stale = is_reused and error.reason is Reason.UPSTREAM_LOST and not error.was_answered
            if not (is_stale and request.is_repeatable and request.body is not None):
                raise
        REPEATS.labels(self.name).inc()
        return await self._send_afresh(request, timeout_s)

    async def _send_afresh(self, request: OutRequest, timeout_s: float) -> tuple[Exchange, Connection]:
        await self._enter()
        try:
            connection = await self._connect()
        except BaseException as error:
            self._left(was_answered=None if isinstance(error, asyncio.CancelledError) else False)
            raise
        return await self._exchange(connection, request, timeout_s)

    async def _exchange(
        self, connection: Connection, request: OutRequest, timeout_s: float
    ) -> tuple[Exchange, Connection]:
        body = request.body
        try:
            exchange = connection.begin(
                request.head if not body else request.head + body,
                is_head=request.method == "HEAD",
                is_whole=body is not None,
                on_end=self._answered,
            )
        except UpstreamSilent:
            self._left(was_answered=None)
            raise
        if body is not None:
            await exchange.head(timeout_s)
        return exchange, connection

    async def close(self) -> None:
        """Close what is idle and keep nothing from now on; exchanges under way end by themselves."""
        self._is_closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in self._idle:
            connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)

    # The bound on requests in flight

    async def _enter(self) -> None:
        refused_s = self.breaker.refuses_for(self._clock.monotonic())
        if refused_s > 0:
            raise EdgeRefusal(
                Reason.UPSTREAM_CIRCUIT_OPEN,
                f"{self.name}: has mostly not been answering and is left alone for a moment.",
                retry_after_s=max(1, round(refused_s)),
                upstream=self.name,
            )
        if self.in_flight < self._rule.in_flight_max:
            self.in_flight += 1
            return
        if len(self._waiting) >= self._rule.waiting_max:
            self.breaker.forgot()
            raise self._busy()
        ticket = asyncio.get_running_loop().create_future()
        self._waiting.append(ticket)
        try:
            async with asyncio.timeout(self._rule.wait_s):
                await ticket
        except TimeoutError:
            self._gave_up(ticket)
            raise self._busy() from None
        except asyncio.CancelledError:
            self._gave_up(ticket)
            raise

    def _gave_up(self, ticket: asyncio.Future[None]) -> None:
        if ticket.done() and not ticket.cancelled():
            self._leave()  # the place was handed over in the very moment of giving up
        elif ticket in self._waiting:
            self._waiting.remove(ticket)
        self.breaker.forgot()

    def _busy(self) -> EdgeRefusal:
        return EdgeRefusal(
            Reason.UPSTREAM_BUSY,
            f"{self.name}: {self._rule.in_flight_max} requests are in flight and no place came free in time.",
            retry_after_s=1,
            upstream=self.name,
        )

    def _leave(self) -> None:
        while self._waiting:
            ticket = self._waiting.popleft()
            if not ticket.done():
                ticket.set_result(None)  # the place changes hands; the count stays
                return
        self.in_flight -= 1

    def _answered(self, was_answered: bool | None) -> None:  # noqa: FBT001 - the callback's one argument
        self._left(was_answered=was_answered)

    def _left(self, *, was_answered: bool | None) -> None:
        now = self._clock.monotonic()
        if was_answered is None:
            self.breaker.forgot()
        elif was_answered:
            self.breaker.succeeded(now)
        else:
            self.breaker.failed(now)
        self._leave()

    # The pool

    async def _acquire(self) -> tuple[Connection, bool]:
        oldest = self._clock.monotonic() - self._rule.idle_s
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable and connection.idle_since >= oldest:
                return connection, True
            connection.abort()
        return await self._connect(), False

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._rule.connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._release), self.host, self.port, ssl=self._tls
                )
        except TimeoutError:
            raise self._unreachable(f"no connection within {self._rule.connect_timeout_s:g} s") from None
        except OSError as error:
            raise self._unreachable("no connection") from error
        return connection

    def _unreachable(self, detail: str) -> UpstreamSilent:
        return UpstreamSilent(Reason.UPSTREAM_UNAVAILABLE, detail, was_sent=False)

    def _release(self, connection: Connection) -> None:
        if self._is_closed or len(self._idle) >= self._rule.idle_connections_max:
            connection.abort()
            return
        connection.idle_since = self._clock.monotonic()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(self._rule.idle_s, self._sweep)

    def _sweep(self) -> None:
        self._sweeper = None
        oldest = self._clock.monotonic() - self._rule.idle_s
        kept = [connection for connection in self._idle if connection.is_usable and connection.idle_since > oldest]
        for connection in self._idle:
            if connection not in kept:
                connection.abort()
        self._idle = kept
        if kept and not self._is_closed:
            self._sweeper = asyncio.get_running_loop().call_later(self._rule.idle_s, self._sweep)
