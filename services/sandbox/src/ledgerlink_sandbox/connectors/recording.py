"""A listener in memory: it writes down what it hears, and fails when told to. For tests and single-process runs."""

from collections import deque
from datetime import datetime
from typing import Any

import orjson


class RecordingListener:
    """Hears every event, unless told how the next tries shall fail."""

    def __init__(self) -> None:
        """Start with nothing heard and no failure planned."""
        self.heard: list[tuple[str, str, dict[str, Any]]] = []
        self.failures: deque[str | BaseException] = deque()

    async def tell(self, message_id: str, body: bytes, now: datetime) -> str | None:
        """Write the event down as (id, type, data), or fail as planned: with a reason, or by raising."""
        if self.failures:
            failure = self.failures.popleft()
            if isinstance(failure, BaseException):
                raise failure
            return failure
        event = orjson.loads(body)
        self.heard.append((message_id, event["type"], event["data"]))
        return None

    async def close(self) -> None:
        """Nothing is open."""

    @property
    def types(self) -> list[str]:
        """Give the types of what was heard, in order."""
        return [kind for _, kind, _ in self.heard]
