"""Proves the ledger under many hands: every command through committers in processes of their own, one of them killed on
the way, and a thousand debits at once against a balance that covers half of them.
"""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from services.wallet.tests.command.busy import WALLETS
from services.wallet.tests.conftest import Service
from sqlalchemy import text

from ledgerlink_contracts.ids import WalletId
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.ids import uuid8
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.domain.books import Posting, TransferKey
from ledgerlink_wallet.domain.content import content_of
from ledgerlink_wallet.domain.orders import PostTransfer
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.queries.audit import audit
from ledgerlink_wallet.runtime import Owners
from ledgerlink_wallet.store import open_pool

MakeDatabase = Callable[[str], Awaitable[Database]]

ROOT = Path(__file__).resolve().parents[4]
TASKS, STEPS = 200, 12
KILLED_AFTER = 250
"""Answers of the first process after which it is killed: about a fifth of what it is asked."""

DEBITS, COVERED, AMOUNT, REST = 1_000, 500, 7, 3


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("ledgerlink_wallet")


async def own(db: Database, wallets: list[WalletId]) -> None:
    async with db.transaction() as tx:
        for wallet in wallets:
            await tx.execute(
                text("INSERT INTO wallets (id, owner, currency, opened_at) VALUES (:id, 'x', 'USD', now())"),
                {"id": wallet.uuid},
            )
            await tx.execute(
                text("INSERT INTO unsealed (recorded_at, transfers, wallet_id) VALUES (now(), 0, :id)"),
                {"id": wallet.uuid},
            )


async def assert_clean(db: Database) -> None:
    report = await audit(db, SystemClock())
    assert report.clean, [check for check in report.checks if check.differences]


async def start(db: Database, first: int, last: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.wallet.tests.command.busy",
        db.url,
        *(str(number) for number in (first, last, STEPS)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )


async def listen(process: asyncio.subprocess.Process, kill_after: int | None = None) -> list[dict[str, Any]]:
    """Give what ``process`` was answered; kill it after so many answers, in the middle of others."""
    assert process.stdout is not None
    heard: list[dict[str, Any]] = []
    async for line in process.stdout:
        if line.startswith(b"ack ") and line.endswith(b"\n"):
            heard.append(orjson.loads(line[4:]))
        if len(heard) == kill_after and process.returncode is None:
            process.send_signal(signal.SIGKILL)
    await process.wait()
    return heard


async def test_a_killed_committer_loses_and_doubles_nothing_of_any_kind_of_command(db: Database) -> None:
    await own(db, WALLETS)
    half = TASKS // 2
    first, second = await start(db, 0, half), await start(db, half, TASKS)
    listening = asyncio.create_task(listen(second))
    killed = await listen(first, KILLED_AFTER)
    assert first.returncode == -signal.SIGKILL
    assert KILLED_AFTER <= len(killed) < half * STEPS
    # The same orders again, from the first on, beside the process that goes on.
    third = await start(db, 0, half)
    again, others = await listen(third), await listening
    assert (second.returncode, third.returncode) == (0, 0)
    assert len(again) == len(others) == half * STEPS

    heard = [*killed, *again, *others]
    kinds = Counter(one["kind"] for one in heard)
    assert min(kinds.values()) >= 1
    assert {"PostTransfer", "ReverseTransfer", "PlaceHold", "CaptureHold", "LinkedGroup", "DryRun"} <= kinds.keys()
    assert {"OpenAccount", "ChangeStanding", "ReleaseHold", "ExpireHold"} <= kinds.keys()
    statuses = {tuple(one["ids"]): one["status"] for one in heard if one["ids"]}
    answers = {tuple(one["ids"]): one["answer"] for one in heard if one["ids"]}
    # Whoever was answered twice was answered the same.
    assert all(answers[tuple(one["ids"])] == one["answer"] for one in heard if one["ids"])
    async with db.reading() as view:
        stored = {str(row.id): row.status for row in await view.execute(text("SELECT id, status FROM outcomes"))}
        facts = await view.execute(text("SELECT id FROM transfers UNION ALL SELECT id FROM holds"))
        done = Counter(str(row.id) for row in facts)
    for ids, status in statuses.items():
        # A group is there whole or not at all.
        assert {stored[id_] < 400 for id_ in ids} == {status < 400}, ids
        assert {done[id_] for id_ in ids} == {1 if status < 400 else 0}, ids
    assert set(stored) == {id_ for ids in statuses for id_ in ids}
    assert sum(status < 400 for status in statuses.values()) > TASKS
    await assert_clean(db)


def debit(wallet: WalletId, number: int) -> PostTransfer:
    posting = Posting(party_of(str(wallet), "GBP"), party_of("merchant:m", "GBP"), AMOUNT, "GBP")
    return PostTransfer(TransferKey(uuid8("debit", str(number))), content_of(b"{}"), "test", (posting,))


async def test_of_a_thousand_debits_at_once_exactly_those_that_are_covered_succeed(db: Database) -> None:
    wallet = WalletId(uuid8("wallet"))
    await own(db, [wallet])
    opened = partial(open_pool, db.url, application_name="test", size=2)
    committers = [Committer(opened, SystemClock(), Owners(), batch_max=100) for _ in range(2)]
    for committer in committers:
        await committer.start()
    posting = Posting(party_of("world", "GBP"), party_of(str(wallet), "GBP"), COVERED * AMOUNT + REST, "GBP")
    await committers[0].submit(PostTransfer(TransferKey(uuid8("fund")), content_of(b"{}"), "test", (posting,)))

    answers = await asyncio.gather(*(committers[number % 2].submit(debit(wallet, number)) for number in range(DEBITS)))
    for committer in committers:
        await committer.stop()

    assert Counter(answer.status for answer in answers) == {201: COVERED, 409: DEBITS - COVERED}
    refused = [orjson.loads(answer.body) for answer in answers if answer.status == 409]
    assert {(one["code"], one["available_minor"]) for one in refused} == {("insufficient-funds", REST)}
    await assert_clean(db)


async def test_of_a_thousand_debits_at_once_over_http_exactly_those_that_are_covered_succeed(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice, funds=COVERED * AMOUNT + REST)
    order = {"amount_minor": AMOUNT, "currency": "GBP"}

    answers = await asyncio.gather(
        *(
            service.call("POST", f"/wallets/{wallet}/debit", order, Idempotency_Key=f"debit {number}")
            for number in range(DEBITS)
        )
    )

    assert Counter(answer.status_code for answer in answers) == {201: COVERED, 409: DEBITS - COVERED}
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert {(one["code"], one["available_minor"]) for one in refused} == {("insufficient-funds", REST)}
    assert await service.available(wallet) == REST
    assert (await service.audit())["clean"]
