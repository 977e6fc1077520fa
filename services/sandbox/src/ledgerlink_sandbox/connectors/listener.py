"""The listener's webhook: signed posts by Standard Webhooks (https://www.standardwebhooks.com), one event each."""

from datetime import datetime
from typing import Final, Protocol

import aiohttp
from standardwebhooks import Webhook

from ledgerlink_kit.db import forbid_network
from ledgerlink_kit.http_spans import answered, called
from ledgerlink_kit.telemetry import new_traceparent, traceparent

TIMEOUT_S: Final = 10.0
CONNECTIONS_MAX: Final = 16


class Listener(Protocol):
    """Somebody who wants to hear of events."""

    async def tell(self, message_id: str, body: bytes, now: datetime) -> str | None:
        """Send one event; give None when it was heard, else in a few words why not. Never raises for the network."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class WebhookListener:
    """A listener at an address, over HTTP."""

    def __init__(self, url: str, secret: str) -> None:
        """Send to ``url``, signed with ``secret`` (``whsec_`` and base64)."""
        self._url = url
        self._webhook = Webhook(secret)
        self._session: aiohttp.ClientSession | None = None

    async def tell(self, message_id: str, body: bytes, now: datetime) -> str | None:
        """Send one event; give None when a 2xx came back, else why not."""
        forbid_network(self._url)
        # The library reads the wall-clock fields of what it is given; `now` is in UTC, as it wants them.
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(message_id, now, body.decode()),
        }
        try:
            with called("POST", self._url, peer="listener") as span:
                headers["traceparent"] = traceparent() or new_traceparent()
                async with self._open().post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                    answered(span, answer.status)
                    return None if 200 <= answer.status < 300 else f"answered {answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
