"""A database that is further away: `python -m bench.drivers.distance PORT MS` relays to PORT, MS for a round trip.

Prints the port that it listens on. Half of a round trip is put on each way; timers count in milliseconds, so a round
trip is up to 2 ms longer than was asked for.
"""

import asyncio
import sys
from collections import deque
from typing import Final, cast

import uvloop

LOOPBACK: Final = "127.0.0.1"


class End(asyncio.Protocol):
    """One end of a relayed connection: what it hears is said at the other end after the delay, in order."""

    def __init__(self, delay_s: float) -> None:
        """Begin with nobody at the other end."""
        self._delay_s = delay_s
        self._heard: deque[bytes] = deque()
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by class

    def data_received(self, data: bytes) -> None:
        """Say it later."""
        self._heard.append(data)
        asyncio.get_running_loop().call_later(self._delay_s, self.say)

    def say(self) -> None:
        """Say one thing that was heard; while nobody is there yet it waits."""
        far = None if self.other is None else self.other.transport
        if far is not None and self._heard and not far.is_closing():
            far.write(self._heard.popleft())

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other end."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class Door(End):
    """The end that a driver connects to; it opens the other one."""

    def __init__(self, port: int, delay_s: float) -> None:
        """Relay to ``port``."""
        super().__init__(delay_s)
        self._port = port
        self._opening: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the database."""
        super().connection_made(transport)
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        far = End(self._delay_s)
        far.other, self.other = self, far
        await asyncio.get_running_loop().create_connection(lambda: far, LOOPBACK, self._port)
        while self._heard:
            self.say()


async def main(port: str, round_trip_ms: str) -> None:
    """Relay until ended."""
    delay_s = float(round_trip_ms) / 2_000
    server = await asyncio.get_running_loop().create_server(lambda: Door(int(port), delay_s), LOOPBACK, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
