"""A file of transfers that is uploaded all the time, cut by every crash, and gone on with where the ledger says.

Every line that can be posted has a reference of its own. Some lines are no transfers, some ask for more than there is:
they must be reported by their numbers and stop nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson

from tests.crash.orders import CURRENCY, Trace

if TYPE_CHECKING:
    from tests.crash.load import Load

LINES: Final = 3_000
PIECE: Final = 25
"""Lines that are sent together."""
PAUSE_S: Final = 0.25
"""Between two pieces under fire, so that the upload lasts as long as the fire does."""
UPLOAD_S_MAX: Final = 90.0
FINISH_S_MAX: Final = 120.0
_MALFORMED_EVERY: Final = 97
_TOO_MUCH_EVERY: Final = 89
_TOO_MUCH: Final = 10**12


class ImportedFile:
    """One import from its opening to its close."""

    def __init__(self, load: Load, name: str, seed: int) -> None:
        """Write the file; `name` makes its key and its references."""
        self._load = load
        self._name = name
        self._dice = random.Random(f"{seed}/import")
        self._traces: dict[int, Trace] = {}
        self.lines = [self._line(number) for number in range(LINES)]
        self.cuts = 0
        self._next = 0
        self._path: str | None = None

    def _line(self, number: int) -> bytes:
        if number % _MALFORMED_EVERY == 13:
            return b'{"kind":"crash.import","postings":\n'
        debit, credit = self._dice.sample([person.wallet for person in self._load.diary.people], 2)
        amount = _TOO_MUCH if number % _TOO_MUCH_EVERY == 7 else self._dice.randint(1, 300)
        name = f"{self._name}-line-{number}"
        self._traces[number] = Trace(name, "crash.import", ((debit, credit, amount, CURRENCY),))
        posting = {"debit": debit, "credit": credit, "amount_minor": amount, "currency": CURRENCY}
        return orjson.dumps({"kind": "crash.import", "reference": name, "postings": [posting]}) + b"\n"

    async def press(self, stop: asyncio.Event) -> None:
        """Upload without pause until told to stop."""
        while not stop.is_set() and self._next < LINES:
            await self._go_on(PAUSE_S, stop)

    async def finish(self) -> dict[str, Any]:
        """Upload the rest, close the import, and give it."""
        deadline = time.monotonic() + FINISH_S_MAX
        while self._next < LINES:
            assert time.monotonic() < deadline, f"the import stood at line {self._next} for {FINISH_S_MAX:.0f} s"
            await self._go_on(0, asyncio.Event())
        closed = await self._load.must("POST", f"{self._path}/close", token=self._load.admin)
        assert closed.done, closed.body
        return closed.content

    async def _go_on(self, pause_s: float, stop: asyncio.Event) -> None:
        """Open the import if that is not done, learn where it stands, and send what is left from there."""
        token = self._load.admin
        if self._path is None:
            order = {"label": self._name, "total_lines": LINES}
            opened = await self._load.call("POST", "/api/v1/imports", token=token, key=self._name, json=order)
            if opened is None:
                await asyncio.sleep(0.3)
                return
            assert opened.done, opened.body
            self._path = f"/api/v1/imports/{opened.content['id']}"
        found = await self._load.call("GET", self._path, token=token)
        if found is None:
            await asyncio.sleep(0.3)
            return
        assert found.content["next_line"] >= self._next, "an import never goes back"
        self._next = found.content["next_line"]
        # Sometimes a sender does not know exactly where it was: what was done is passed over.
        start = max(0, self._next - self._dice.choice((0, 0, 40)))
        status = await self._upload(start, pause_s, stop)
        if status == HTTPStatus.OK:
            return
        # Another upload's lease (30 s) outlives its process; who comes too early is told so.
        self.cuts += status != HTTPStatus.CONFLICT
        assert status in {None, 400, 401, 408, 409, 502, 503, 504}, f"upload: {status}"
        await asyncio.sleep(0.5)

    async def _upload(self, start: int, pause_s: float, stop: asyncio.Event) -> int | None:
        """Send lines from number `start` on; the status that came back, or None when none came."""

        async def pieces() -> AsyncIterator[bytes]:
            for at in range(start, LINES, PIECE):
                if stop.is_set():
                    return
                yield b"".join(self.lines[at : at + PIECE])
                await asyncio.sleep(pause_s)

        try:
            async with self._load.session.post(
                f"{self._load.url}{self._path}/lines?from_line={start}",
                data=pieces(),
                headers={"Authorization": f"Bearer {self._load.admin}", "Content-Type": "application/x-ndjson"},
                timeout=aiohttp.ClientTimeout(total=UPLOAD_S_MAX),
            ) as reply:
                body = await reply.read()
                if reply.status == HTTPStatus.OK:
                    self._next = orjson.loads(body)["next_line"]
                self._load.note_defect("POST", f"{self._path}/lines", reply.status, body)
                return reply.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def posted(self, closed: dict[str, Any]) -> Sequence[Trace]:
        """Check the report of the `closed` import, and give what its posted lines have left in the ledger."""
        malformed = {number for number in range(LINES) if number not in self._traces}
        problems = await self._load.items(f"{self._path}/problems", limit=1_000)
        by_outcome = {
            outcome: [problem["line"] for problem in problems if problem["outcome"] == outcome]
            for outcome in ("malformed", "refused")
        }
        assert by_outcome["malformed"] == sorted(malformed), "each malformed line is reported once"
        refused = set(by_outcome["refused"])
        assert len(refused) == len(by_outcome["refused"]), "each refused line is reported once"
        too_much = {number for number, trace in self._traces.items() if trace.postings[0][2] == _TOO_MUCH}
        assert too_much <= refused
        assert all(problem["code"] == "insufficient-funds" for problem in problems if problem["outcome"] == "refused")
        counted = {what: closed[what] for what in ("next_line", "posted", "refused", "malformed", "blank")}
        posted = [trace for number, trace in self._traces.items() if number not in refused]
        assert counted == {
            "next_line": LINES,
            "posted": len(posted),
            "refused": len(refused),
            "malformed": len(malformed),
            "blank": 0,
        }, "the import counts each line once"
        return posted
