"""A process of its own that commits: many tasks over few accounts, every kind of command, each answer told on a line.

``python -m services.wallet.tests.command.busy URL FIRST LAST STEPS`` runs the tasks FIRST to LAST - 1. What a task asks
depends on its number alone, so a second process that is given the same numbers repeats the first one's orders.
"""

import asyncio
import random
import sys
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any

import orjson

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.models import Predicate, Standing
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.errors import Unavailable
from ledgerlink_kit.ids import uuid8
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.domain.books import HoldKey, Posting, TransferKey
from ledgerlink_wallet.domain.content import content_of
from ledgerlink_wallet.domain.orders import (
    CaptureHold,
    ChangeStanding,
    Command,
    Condition,
    DryRun,
    ExpireHold,
    LinkedGroup,
    OpenAccount,
    PlaceHold,
    PostTransfer,
    ReleaseHold,
    RememberedCommand,
    ReverseTransfer,
)
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.runtime import Owners
from ledgerlink_wallet.store import open_pool

WALLETS = [WalletId(uuid8("busy wallet", str(number))) for number in range(12)]
CHART = [*(f"merchant:m{number}" for number in range(6)), "world", "revenue:fees"]
ACCOUNTS = [*map(str, WALLETS), *CHART]
"""Twenty accounts."""

FLOOR, CEILING = -400, 100_000
LONG_PAST = datetime(2100, 1, 1, tzinfo=UTC)
TRIES = 40


class Task:
    """One task's orders, the same for the same number."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.dice = random.Random(number)
        self.transfers: list[TransferKey] = []
        self.holds: list[HoldKey] = []
        self.count = 0

    def key(self, kind: str) -> TransferKey:
        self.count += 1
        return TransferKey(uuid8("busy", kind, str(self.number), str(self.count)))

    def content(self, kind: str, **more: Any) -> Any:
        return content_of(orjson.dumps({"kind": kind, "task": self.number, "count": self.count, **more}))

    def posting(self) -> Posting:
        debit, credit = self.dice.sample(ACCOUNTS, 2)
        if self.dice.random() < 0.3:
            debit = "world" if credit != "world" else debit
        return Posting(party_of(debit, "GBP"), party_of(credit, "GBP"), self.dice.randint(1, 40), "GBP")

    def transfer(self) -> PostTransfer:
        key = self.key("transfer")
        postings = tuple(self.posting() for _ in range(self.dice.randint(1, 4)))
        self.transfers.append(key)
        conditions: tuple[Condition, ...] = ()
        if self.dice.random() < 0.2:
            account = party_of(self.dice.choice(ACCOUNTS), "GBP")
            conditions = (Condition(account, "GBP", Predicate.AVAILABLE_AT_LEAST, self.dice.randint(-50, 50)),)
        return PostTransfer(key, self.content("transfer"), "busy", postings, conditions=conditions)

    def reversal(self) -> RememberedCommand:
        if not self.transfers:
            return self.transfer()
        whole = self.dice.random() < 0.5
        parts = None if whole else ((0, self.dice.randint(1, 10)),)
        key = self.key("reversal")
        return ReverseTransfer(key, self.content("reversal"), self.dice.choice(self.transfers), "busy", parts)

    def hold(self) -> PlaceHold:
        key = HoldKey(self.key("hold"))
        self.holds.append(key)
        wallet = party_of(str(self.dice.choice(WALLETS)), "GBP")
        amount = self.dice.randint(1, 30)
        # The audit holds a hold against what was ordered.
        asked = self.content("hold", amount_minor=amount, expires_at=LONG_PAST.isoformat())
        return PlaceHold(key, asked, wallet, amount, "GBP", LONG_PAST)

    def capture(self) -> RememberedCommand:
        if not self.holds:
            return self.hold()
        key = self.key("capture")
        hold, amount = self.dice.choice(self.holds), self.dice.randint(1, 9)
        final = self.dice.random() < 0.2
        return CaptureHold(key, self.content("capture"), hold, "busy", self.dice.choice(CHART), amount, final)

    def group(self) -> LinkedGroup:
        makers = self.dice.choices((self.transfer, self.hold, self.capture, self.reversal), k=self.dice.randint(2, 5))
        return LinkedGroup(tuple(make() for make in makers))

    def other(self) -> Command:
        roll = self.dice.random()
        if roll < 0.3 and self.holds:
            return ReleaseHold(self.dice.choice(self.holds))
        if roll < 0.4 and self.holds:
            return ExpireHold(self.dice.choice(self.holds))
        if roll < 0.7:
            return OpenAccount(party_of("merchant:m0", "GBP"), "GBP", FLOOR, CEILING)
        account = party_of("merchant:m1", "GBP").account
        assert account is not None
        return ChangeStanding(account, Standing.FROZEN if roll < 0.8 else Standing.OPEN)

    def next(self) -> Command:
        makers = (self.transfer, self.reversal, self.hold, self.capture, self.group, self.other)
        command = self.dice.choices(makers, weights=(6, 2, 3, 4, 3, 2))[0]()
        if self.dice.random() < 0.08 and isinstance(command, PostTransfer | LinkedGroup):
            return DryRun(command)
        return command


def ids_of(command: Command) -> list[str]:
    """Give the ids whose outcomes ``command`` leaves behind."""
    if isinstance(command, LinkedGroup):
        return [str(item.id) for item in command.commands]
    if isinstance(command, PostTransfer | ReverseTransfer | PlaceHold | CaptureHold):
        return [str(command.id)]
    return []


async def work(committer: Committer, number: int, steps: int) -> None:
    task = Task(number)
    for step in range(steps):
        command = task.next()
        for _ in range(TRIES):
            try:
                answer = await committer.submit(command)
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                break
        else:
            raise RuntimeError(f"task {number} was never answered at step {step}")
        told = {
            "kind": type(command).__name__,
            "ids": ids_of(command),
            "status": answer.status,
            "answer": sha256(answer.body).hexdigest(),
        }
        sys.stdout.buffer.write(b"ack " + orjson.dumps(told) + b"\n")
        sys.stdout.buffer.flush()


async def main(url: str, first: int, last: int, steps: int) -> None:
    opened = partial(open_pool, url, application_name="busy", size=2)
    # Small batches, so that a kill finds some that are under way.
    committer = Committer(opened, SystemClock(), Owners(), batch_max=25)
    await committer.start()
    await asyncio.gather(*(work(committer, number, steps) for number in range(first, last)))
    await committer.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:])))
