"""The service behind both gateways: the least that answers, so that its own cost weighs on neither."""

import asyncio
import os
import sys
from typing import cast

import httptools
import uvloop

BODY = b'{"id":"wal_01h455vb4pex5vsknk084sn02q","balances":[{"currency":"GBP","available_minor":125000}]}'
ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: x\r\n\r\n" % len(BODY)
) + BODY


KEYS = os.environ.get("BENCH_JWKS", "{}").encode()
KEYS_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(KEYS), KEYS)


class Answering(asyncio.Protocol):
    """Answers every whole request with the same small document, but for the issuer's keys."""

    def __init__(self) -> None:
        """Start without a connection."""
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._wants_keys = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Take the target."""
        self._wants_keys = url.endswith(b"/jwks.json")

    def on_message_complete(self) -> None:
        """Answer."""
        if self._transport is not None:
            self._transport.write(KEYS_ANSWER if self._wants_keys else ANSWER)


async def main() -> None:
    """Serve on the port given as the first argument, until killed."""
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
