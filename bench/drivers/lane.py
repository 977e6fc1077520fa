"""One lane in a process of its own: `python -m bench.drivers.lane LANE URL FIRST SEED` reads orders, prints answers.

An order is a line `batch SIZE SECONDS` or `load SIZE SECONDS`; the answer is JSON. Only the driver's part is on the
clock: a batch is recorded, then the clock runs while it is played. FIRST is the number of the lane's first account, so
that lanes share tables and no rows.
"""

import random
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import orjson
import uvloop

from bench.drivers.playing import LANES, Lane, Player, connect
from bench.drivers.recorded import Ledger
from ledgerlink_kit.http_app import rest_garbage_collection

ACCOUNTS: Final = 10_000
BATCHES_MIN: Final = 8
"""Batches of a measurement that is not given enough time."""
_OPENED_AT_ONCE: Final = 1_000


class Stopwatch:
    """Wall and CPU time of what is played, each batch by itself."""

    def __init__(self) -> None:
        """Have measured nothing."""
        self.walls: list[float] = []
        self.cpu = 0.0
        self._started = (0.0, 0.0)

    def __enter__(self) -> None:
        """Begin a batch."""
        self._started = (time.perf_counter(), time.process_time())

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.walls.append(time.perf_counter() - self._started[0])
        self.cpu += time.process_time() - self._started[1]


class Lap:
    """A lane's player and its side of the ledger."""

    def __init__(self, lane: Lane, player: Player, first: int, seed: int) -> None:
        """Move money between accounts from number ``first`` on."""
        self._lane = lane
        self._player = player
        self._first = first
        self._dice = random.Random(seed)
        self._ledger = Ledger()

    async def open_accounts(self) -> None:
        """Post one transfer between each account and the next one."""
        for start in range(0, ACCOUNTS, _OPENED_AT_ONCE):
            numbers = [self._first + number for number in range(start, start + _OPENED_AT_ONCE)]
            pairs = [(a, b) for a, b in zip(numbers, numbers[1:] + numbers[:1], strict=True)]
            recorded = await self._ledger.record(pairs, arrays=self._lane.arrays)
            await self._player.load(recorded.loads)
            await self._player.store(recorded)

    def _pairs(self, size: int) -> list[tuple[int, int]]:
        numbers = range(self._first, self._first + ACCOUNTS)
        return [tuple(self._dice.sample(numbers, 2)) for _ in range(size)]  # pyright: ignore[reportReturnType] - two

    async def batch(self, size: int, watch: Stopwatch) -> None:
        """Play one batch: lock, look, write, commit."""
        recorded = await self._ledger.record(self._pairs(size), arrays=self._lane.arrays)
        with watch:
            found = await self._player.load(recorded.loads)
            await self._player.store(recorded)
        assert not any(found), "an account or an id is another way than this lane left it"

    async def load(self, size: int, watch: Stopwatch) -> None:
        """Play the load alone, of a committer that remembers nothing."""
        pairs = self._pairs(size)
        recorded = await self._ledger.record_cold_load(pairs)
        with watch:
            accounts, outcomes = await self._player.load(recorded.loads)
        await self._player.end()
        assert len(accounts) == len({number for pair in pairs for number in pair})
        # An outcome and its transfer: two rows for each id that was posted before.
        assert len(outcomes) == 2 * len({row[0] for row in outcomes})
        assert bool(outcomes) == (size > 1)

    async def measure(self, what: str, size: int, seconds: float) -> dict[str, Any]:
        """Repeat until ``seconds`` have gone by on the clock; the first batch of a measurement is for warmth."""
        once = {"batch": self.batch, "load": self.load}[what]
        await once(size, Stopwatch())
        watch = Stopwatch()
        while len(watch.walls) < BATCHES_MIN or sum(watch.walls) < seconds:
            await once(size, watch)
        return {"walls_ms": [round(wall * 1e3, 4) for wall in watch.walls], "cpu_s": watch.cpu}


async def main(arguments: Sequence[str]) -> None:
    """Open the accounts, then measure what is asked for."""
    name, url, first, seed = arguments
    lane = LANES[name]
    player = await connect(lane, url)
    lap = Lap(lane, player, int(first), int(seed))
    await lap.open_accounts()
    rest_garbage_collection()
    _say({"backend": player.backend})
    for line in sys.stdin:  # nothing else is to be done meanwhile
        what, size, seconds = line.split()
        _say(await lap.measure(what, int(size), float(seconds)))
    await player.close()


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(orjson.dumps(answer).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
