"""Playing a recorded batch: by asyncpg as the store does it, and by psycopg 3 as well as we could.

asyncpg sends one statement and waits for its answer. psycopg in pipeline mode sends several and waits once; a COPY
cannot be in a pipeline (PostgreSQL manual, section 32.5), so COPYs come first and the rest goes with the COMMIT.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from bench.drivers.recorded import Recorded, Statement

Rows = list[list[tuple[Any, ...]]]


class Player(Protocol):
    """A connection of one driver."""

    @property
    @abstractmethod
    def backend(self) -> int:
        """The process in PostgreSQL that serves it."""

    @abstractmethod
    async def load(self, loads: Sequence[Statement]) -> Rows:
        """Begin a transaction and give what ``loads`` find."""

    @abstractmethod
    async def store(self, recorded: Recorded) -> None:
        """Write, and commit."""

    @abstractmethod
    async def end(self) -> None:
        """Commit what was only read."""

    @abstractmethod
    async def close(self) -> None:
        """Disconnect."""


class Lane(NamedTuple):
    """A way to play: which driver, and how."""

    driver: str
    says: str
    pipeline: bool = False
    packed: bool = False
    arrays: bool = False
    pooled: bool = False


LANES: Final[dict[str, Lane]] = {
    "asyncpg": Lane("asyncpg", "arrays by the driver, COPY from 800 values on"),
    "psycopg": Lane("psycopg", "pipeline, arrays packed by us, COPY from 800 values on", pipeline=True, packed=True),
    "asyncpg-reset": Lane("asyncpg", "and the pool's reset after each batch", pooled=True),
    "asyncpg-arrays": Lane("asyncpg", "no COPY, arrays only", arrays=True),
    "psycopg-arrays": Lane("psycopg", "no COPY: a batch is two round trips", pipeline=True, packed=True, arrays=True),
    "psycopg-own": Lane("psycopg", "pipeline, arrays by psycopg's own dumpers (as text)", pipeline=True),
    "psycopg-steps": Lane("psycopg", "no pipeline: one round trip a statement", packed=True),
}
"""The first two are the contest; the rest is what was tried besides, to see where a difference comes from."""
MAIN: Final = ("asyncpg", "psycopg")


async def connect(lane: Lane, url: str) -> Player:
    """Connect; the other driver is not loaded by this."""
    if lane.driver == "asyncpg":
        from bench.drivers import by_asyncpg  # noqa: PLC0415 - one driver a process

        return await by_asyncpg.connect(url, lane)
    from bench.drivers import by_psycopg  # noqa: PLC0415 - the same

    return await by_psycopg.connect(url, lane)
