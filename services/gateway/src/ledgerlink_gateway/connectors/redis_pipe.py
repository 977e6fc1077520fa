"""A Redis connection for one script, pipelined by itself: all calls of one turn of the event loop go in one write.

A general client costs more for one call than all else that the edge does for a request. This one knows what the rate
limits need and no more: connect, authenticate, run a script by its digest, read integers.
"""

import asyncio
import hashlib
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Final, cast
from urllib.parse import unquote, urlsplit

from ledgerlink_kit.clock import Clock

Reply = int | bytes | None | list["Reply"] | Exception

REST_S: Final = 0.5
"""How long no new connection is tried after one has failed; calls in between fail at once."""
PENDING_MAX: Final = 10_000
"""Calls that may wait for their reply; one more counts as Redis lost."""


class RedisLost(Exception):
    """Redis gave no reply: not connected, connection ended, or too late."""


class RedisReplyError(Exception):
    """Redis replied with an error."""


class _Incomplete(Exception):
    pass


class RedisPipe:
    """Runs one Lua script on a Redis-compatible server. One per process; reconnects by itself."""

    def __init__(self, url: str, script: str, *, timeout_s: float, clock: Clock) -> None:
        """``url`` is ``redis[s]://[user:password@]host[:port][/db]``. Raises ValueError for another."""
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            message = "a Redis URL is redis[s]://[user:password@]host[:port][/db]"
            raise ValueError(message)
        self._host = parts.hostname
        self._port = parts.port or 6379
        self._tls = ssl.create_default_context() if parts.scheme == "rediss" else None
        self._greeting = _greeting(parts.username, parts.password, parts.path.strip("/"))
        self._load = _command(b"SCRIPT", b"LOAD", script.encode())
        self._digest = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest().encode()
        self._timeout_s = timeout_s
        self._clock = clock
        self._link: _Link | None = None
        self._connecting: asyncio.Task[_Link] | None = None
        self._rests_until = 0.0

    @property
    def is_connected(self) -> bool:
        """Whether a connection stands."""
        return self._link is not None and self._link.is_open

    async def run(self, keys: Sequence[bytes], arguments: Sequence[bytes]) -> list[int]:
        """Run the script; it must give a flat list of integers. Raises `RedisLost` and `RedisReplyError`."""
        command = _command(b"EVALSHA", self._digest, b"%d" % len(keys), *keys, *arguments)
        link = self._link
        if link is None or not link.is_open:
            link = await self._connected()
        reply = await link.call(command)
        if isinstance(reply, RedisReplyError) and str(reply).startswith("NOSCRIPT"):
            _, reply = await asyncio.gather(link.call(self._load), link.call(command))
        if isinstance(reply, Exception):
            raise reply
        return cast("list[int]", reply)

    async def ping(self) -> None:
        """Raise `RedisLost` or `RedisReplyError` if the server does not answer."""
        link = self._link
        if link is None or not link.is_open:
            link = await self._connected()
        reply = await link.call(_command(b"PING"))
        if isinstance(reply, Exception):
            raise reply

    async def close(self) -> None:
        """End the connection; calls that wait fail."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait({self._connecting})
        if self._link is not None:
            self._link.lose("closed")
            await self._link.gone.wait()

    async def _connected(self) -> "_Link":
        if self._clock.monotonic() < self._rests_until:
            message = "resting after a failed connection"
            raise RedisLost(message)
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add_done_callback(self._connect_ended)
        return await asyncio.shield(self._connecting)

    async def _connect(self) -> "_Link":
        link = _Link(self._timeout_s)
        try:
            async with asyncio.timeout(self._timeout_s):
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: link, self._host, self._port, ssl=self._tls)
                for command in (*self._greeting, self._load):
                    reply = await link.call(command)
                    if isinstance(reply, Exception):
                        raise reply
        except (OSError, TimeoutError, RedisLost, RedisReplyError) as error:
            link.lose("not connected")
            self._rests_until = self._clock.monotonic() + REST_S
            raise RedisLost(str(error) or "no connection in time") from error
        except BaseException:
            link.lose("canceled")
            raise
        self._link = link
        return link

    def _connect_ended(self, task: "asyncio.Task[_Link]") -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # every waiter has it; nobody waiting is no news


class _Link(asyncio.Protocol):
    """One connection: commands out in the order of calls, replies back in the same order."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._pending: deque[tuple[float, asyncio.Future[Reply]]] = deque()
        self._buffer = b""
        self._watch: asyncio.TimerHandle | None = None
        self.gone = asyncio.Event()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def call(self, command: bytes) -> "asyncio.Future[Reply]":
        """Send a command at the end of this turn of the loop. Raises `RedisLost`."""
        if not self.is_open or len(self._pending) >= PENDING_MAX:
            message = "not connected" if not self.is_open else "too many calls wait"
            raise RedisLost(message)
        future: asyncio.Future[Reply] = self._loop.create_future()
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(command)
        self._pending.append((self._loop.time(), future))
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout_s, self._check_late)
        return future

    def lose(self, why: str) -> None:
        """End the connection; calls that wait fail with `RedisLost`."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        while self._pending:
            _, future = self._pending.popleft()
            if not future.done():
                future.set_exception(RedisLost(why))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lose("connection ended")
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at = 0
        try:
            while at < len(buffer):
                reply, at = _parse(buffer, at)
                _, future = self._pending.popleft()
                if not future.done():
                    future.set_result(reply)
        except _Incomplete:
            pass
        except (ValueError, IndexError):
            self.lose("not a Redis reply")
            return
        self._buffer = buffer[at:]

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _check_late(self) -> None:
        self._watch = None
        if not self._pending:
            return
        age = self._loop.time() - self._pending[0][0]
        if age >= self._timeout_s:
            self.lose("no reply in time")
        else:
            self._watch = self._loop.call_later(self._timeout_s - age, self._check_late)


def _greeting(user: str | None, password: str | None, database: str) -> list[bytes]:
    greeting: list[bytes] = []
    if password:
        names = [unquote(user).encode()] if user else []
        greeting.append(_command(b"AUTH", *names, unquote(password).encode()))
    if database and database != "0":
        greeting.append(_command(b"SELECT", database.encode()))
    return greeting


def _command(*parts: bytes) -> bytes:
    """Encode a command in RESP."""
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]))


def _parse(buffer: bytes, at: int) -> tuple[Reply, int]:
    """Read one RESP2 reply from ``at``; gives it and where the next one starts. Raises `_Incomplete`, ValueError."""
    end = buffer.find(b"\r\n", at)
    if end < 0:
        raise _Incomplete
    kind, line, after = buffer[at : at + 1], buffer[at + 1 : end], end + 2
    if kind == b":":
        return int(line), after
    if kind == b"+":
        return line, after
    if kind == b"-":
        return RedisReplyError(line.decode("utf-8", "replace")), after
    if kind == b"$":
        size = int(line)
        if size < 0:
            return None, after
        if len(buffer) < after + size + 2:
            raise _Incomplete
        return buffer[after : after + size], after + size + 2
    if kind == b"*":
        items: list[Reply] = []
        for _ in range(int(line)):
            item, after = _parse(buffer, after)
            items.append(item)
        return items, after
    message = "an unknown kind of reply"
    raise ValueError(message)
