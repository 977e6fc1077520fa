"""One effect and one answer per Idempotency-Key, for work that calls the outside between its transactions.

Such work has a first transaction (the attempt is recorded) and a last one (its answer is recorded) anyway, so the key
is claimed in the first and answered in the last: two commits in place of four.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from uuid import UUID

from ledgerlink_kit.db import Database, LockTimeout, Tx
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.idempotency import FORGOTTEN, Once, Reply, claim, in_flight, release, store
from ledgerlink_kit.limits import IDEMPOTENCY_WAIT_S

Begun = TypeVar("Begun")
Refuse = Callable[[Refused], Reply]

_POLL_S: Final = 0.05


class Answer:
    """The answer that will stand under a key; a command that can, stores it in its own last transaction."""

    def __init__(self, once: Once) -> None:
        """Answer for ``once``."""
        self._once = once
        self.reply: Reply | None = None

    async def keep(self, tx: Tx, reply: Reply) -> None:
        """Store ``reply`` in the caller's transaction."""
        await store(tx, self._once, reply)
        self.reply = reply


async def run(
    db: Database,
    once: Once,
    begin: Callable[[Tx, Answer], Awaitable[Begun]],
    finish: Callable[[Begun, Answer], Awaitable[Reply]],
    refuse: Refuse,
) -> Reply:
    """Run ``begin`` in one transaction with the key's claim, then ``finish``, which calls outside and records.

    Both must be re-runnable: when a process dies the key's lease ends, and the next request with it begins again and
    finds what was done. Either may keep the answer in its own transaction. What is refused is rolled back and
    remembered, written by ``refuse``.
    """
    token = UUID(bytes=secrets.token_bytes(16))
    begun: Begun | None = None
    try:
        answer, begun = await _claimed(db, once, token, begin)
        if answer.reply is not None:
            return answer.reply
        assert begun is not None, "a claimed key has begun"
        reply = await finish(begun, answer)
    except Refused as refusal:
        if refusal.kind in FORGOTTEN or refusal.code.startswith("idempotency-"):
            await release(db, once, token)
            raise
        return await _remember(db, once, token, refuse(refusal), held=begun is not None)
    except BaseException:
        await release(db, once, token)
        raise
    return answer.reply or await _remember(db, once, token, reply, held=True)


async def _claimed(
    db: Database, once: Once, token: UUID, begin: Callable[[Tx, Answer], Awaitable[Begun]]
) -> tuple[Answer, Begun | None]:
    """Claim the key and begin; an answer that stands already, or that ``begin`` has kept, is in the `Answer`."""
    deadline = time.monotonic() + IDEMPOTENCY_WAIT_S

    async def first(tx: Tx) -> tuple[Answer, Begun | None] | None:
        claimed = await claim(tx, once, token)
        answer = Answer(once)
        if isinstance(claimed, Reply):
            answer.reply = claimed
            return answer, None
        return (answer, await begin(tx, answer)) if claimed else None

    while True:
        try:
            begun = await db.retrying(first)
        except LockTimeout:
            begun = None
        if begun is not None:
            return begun
        if time.monotonic() > deadline:
            raise in_flight()
        await asyncio.sleep(_POLL_S)


async def _remember(db: Database, once: Once, token: UUID, reply: Reply, *, held: bool) -> Reply:
    """Store a reply under its key.

    The key is ours (``held``), or was until its claim was rolled back with what was refused; whoever has claimed it
    since then will answer for themselves.
    """
    async with db.transaction() as tx:
        claimed = await claim(tx, once, token)
        if isinstance(claimed, Reply):
            return claimed
        if claimed or held:
            await store(tx, once, reply)
    return reply
