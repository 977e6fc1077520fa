"""Proves that each occurrence is carried out once, in order, under fire: by several workers, killed between the
ledger's commit and the record, with kill -9 in the midst, after an outage, under clocks that jump, against a cancel.
"""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY
from services.wallet.tests.command.schedule_world import DAY, MANDATE, START, Killed, committer_on, world_on
from sqlalchemy import text

from ledgerlink_contracts.wallet.schedules import (
    ScheduleState,
    ScheduleView,
)
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Defect, Refused, Unavailable
from ledgerlink_wallet.commands.schedules import cancel_schedule, pause_schedule, resume_schedule
from ledgerlink_wallet.domain.books import WalletKey
from ledgerlink_wallet.domain.parties import wallet_facts
from ledgerlink_wallet.domain.schedules import transfer_of
from ledgerlink_wallet.queries.audit import audit
from ledgerlink_wallet.queries.due import schedules_lag_s
from ledgerlink_wallet.runtime import Ledger
from ledgerlink_wallet.worker import watch_schedules, watch_schedules_lag

MakeDatabase = Callable[[str], Awaitable[Database]]

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("ledgerlink_wallet")


async def test_several_workers_at_once_carry_out_each_occurrence_once(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(10_000)
        ids = [await world.schedule(f"s{number}", count=5) for number in range(20)]
        world.clock.advance(10 * 86_400)
        more = [committer_on(db) for _ in range(3)]
        for committer in more:
            await committer.start()

        async def worker(ledger: Ledger) -> int:
            done = idle = 0
            while idle < 3:
                some = await world.work(ledger, limit=6)
                done += some
                idle = 0 if some else idle + 1
            return done

        # Two by each committer, so that they meet in one process and across processes.
        done = await asyncio.gather(*(worker(ledger) for ledger in [*more, *more, world.watched]))
        for committer in more:
            await committer.stop()
        ended = [await world.ended(id_) for id_ in ids]

        assert sum(done) == 100
        assert [[one.number for one in each] for each in ended] == [list(range(5))] * 20
        assert all(sorted(each, key=lambda one: one.recorded_at) == each for each in ended)
        assert (await world.transfers(), await world.received()) == (100, 1_000)
        assert (await audit(db, SystemClock())).clean


async def test_killed_between_the_ledgers_commit_and_the_record_it_is_found_and_recorded_once(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(100)
        id_ = await world.schedule(count=2)
        world.watched.after = [Killed()]
        with pytest.raises(Killed):
            await world.work()
        cut = (await world.now(id_)).next, await world.ended(id_), await world.received(), await world.events(id_)
        again, nothing = await world.work(), await world.work()
        (done,) = await world.ended(id_)
        moved = await world.received(), await world.transfers(), await world.events(id_)

    assert cut[0] is not None
    assert (cut[0].number, cut[1], cut[2], cut[3]) == (0, [], 10, Counter())
    assert (again, nothing) == (1, 0)
    assert done.transfer == transfer_of(id_, 0, 0)
    assert moved == (10, 1, Counter({"wallet.schedule.executed": 1}))


async def test_killed_after_a_refusal_the_try_is_spent_and_the_next_one_moves_money_once(db: Database) -> None:
    async with world_on(db) as world:
        id_ = await world.schedule(count=1)
        world.watched.after = [Killed()]
        with pytest.raises(Killed):
            await world.work()
        await world.fund(100)
        # The same try is answered as it was, though funds have come in since.
        await world.work()
        waiting = (await world.now(id_)).next
        world.clock.advance(3_600)
        await world.work()
        (done,) = await world.ended(id_)

        assert waiting is not None
        assert (waiting.tries, waiting.code) == (1, "insufficient-funds")
        assert (done.state.value, done.tries, done.transfer) == ("executed", 2, transfer_of(id_, 0, 1))
        assert await world.received() == 10


async def test_one_posted_whose_outcome_is_forgotten_or_was_another_order_is_told_by_its_transfer(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(100)
        id_ = await world.schedule(count=2)
        world.watched.after = [Killed()]
        with pytest.raises(Killed):
            await world.work()
        async with db.transaction() as tx:
            await tx.execute(text("DELETE FROM outcomes"))
            # As a later release that words the order otherwise would find it.
            await tx.execute(text("UPDATE scheduled_transfers SET reference = 'other'"))
        await world.work()
        (done,) = await world.ended(id_)

        assert (done.state.value, done.transfer) == ("executed", transfer_of(id_, 0, 0))
        assert (await world.received(), await world.transfers()) == (10, 1)


async def start(db: Database, moment: datetime) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.wallet.tests.command.scheduling",
        db.url,
        moment.isoformat(),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )


async def test_a_process_killed_in_the_midst_loses_and_doubles_nothing(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(10_000)
        ids = [await world.schedule(f"s{number}", count=20) for number in range(15)]
        late = START + 25 * DAY
        first, others = await start(db, late), list[asyncio.subprocess.Process]()
        assert first.stdout is not None
        heard = 0
        async for line in first.stdout:
            heard += line.startswith(b"done")
            if heard == 2 and not others:
                others.append(await start(db, late))
            if heard == 12 and first.returncode is None:
                first.send_signal(signal.SIGKILL)
        await first.wait()
        killed_at = await world.transfers()
        others.append(await start(db, late))
        await asyncio.gather(*(process.communicate() for process in others))
        await world.all()  # what the killed one's connection held a moment longer than the others worked
        ended = [await world.ended(id_) for id_ in ids]
        events = [await world.events(id_) for id_ in ids]

        assert first.returncode == -signal.SIGKILL
        assert [process.returncode for process in others] == [0, 0]
        assert 70 <= killed_at < 300
        assert [[one.number for one in each] for each in ended] == [list(range(20))] * 15
        assert (await world.transfers(), await world.received()) == (300, 3_000)
        assert events == [Counter({"wallet.schedule.executed": 20})] * 15
        assert (await audit(db, SystemClock())).clean


async def test_what_an_outage_missed_is_carried_out_late_in_order_and_dated_when_it_was_done(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        id_ = await world.schedule()
        world.clock.advance(4.5 * 86_400)
        assert await world.all() == 5
        ended = await world.ended(id_)
        next_ = (await world.now(id_)).next
        async with db.reading() as view:
            dates = (
                await view.execute(
                    text(
                        "SELECT recorded_at, effective_at FROM transfers WHERE kind = 'wallet.scheduled' ORDER BY 1, id"
                    )
                )
            ).all()

        assert [(one.number, one.due_at) for one in ended] == [(number, START + number * DAY) for number in range(5)]
        assert [one.recorded_at for one in ended] == sorted(row.recorded_at for row in dates)
        assert all(row.recorded_at == row.effective_at for row in dates)
        assert next_ is not None
        assert (next_.number, next_.due_at) == (5, START + 5 * DAY)


async def test_a_huge_backlog_is_bounded_and_what_is_left_out_is_told(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(100_000)
        id_ = await world.schedule()
        world.clock.advance(1_000.5 * 86_400)
        steps = await world.all()
        skipped, *done = await world.ended(id_)
        events = await world.events(id_)

        # One step for all that is too old, then a transfer for each of the last 31 days.
        assert steps == 32
        assert (skipped.number, skipped.last_number, skipped.code) == (0, 969, "schedule-overdue")
        assert [one.number for one in done] == list(range(970, 1_001))
        assert await world.received() == 310
        assert events == Counter({"wallet.schedule.failed": 1, "wallet.schedule.executed": 31})


async def test_one_posted_before_a_long_outage_and_not_recorded_was_executed_and_not_skipped(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        id_ = await world.schedule(count=1)
        world.watched.after = [Killed()]
        with pytest.raises(Killed):
            await world.work()
        world.clock.advance(90 * 86_400)
        await world.all()
        (done,) = await world.ended(id_)

        assert (done.state.value, done.transfer) == ("executed", transfer_of(id_, 0, 0))
        assert await world.received() == 10


async def test_a_clock_that_jumps_moves_no_money_twice(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        id_ = await world.schedule()
        assert await world.all() == 1
        world.clock.advance(-86_400 * 3)
        assert await world.all() == 0
        world.clock.advance(86_400 * 5)
        assert await world.all() == 2
        world.clock.advance(-86_400)
        assert await world.all() == 0
        world.clock.advance(86_400 * 2)

        assert await world.all() == 1
        assert [one.number for one in await world.ended(id_)] == [0, 1, 2, 3]
        assert await world.received() == 40


async def test_a_ledger_that_is_away_or_breaks_loses_nothing_and_stops_nobody_else(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        ids = [await world.schedule(f"s{n}", starts_at=START + timedelta(seconds=n), count=1) for n in range(3)]
        world.clock.advance(10)
        world.watched.before = [Unavailable("ledger-busy", "full")]
        with pytest.raises(Unavailable):
            await world.work()
        world.watched.instead = {0: Unavailable("ledger-unavailable", "away"), 1: Defect("broken")}
        some = await world.work()
        states = [(await world.now(id_)).state.value for id_ in ids]
        world.watched.instead = {}
        first = await world.work()
        broken = (await world.now(ids[1])).next
        world.clock.advance(60)
        last = await world.work()

        assert (some, states) == (2, ["active", "active", "completed"])
        assert broken is not None
        assert (broken.tries, broken.try_at) == (0, START + timedelta(seconds=70))
        assert (first, last, await world.received()) == (1, 1, 30)


async def test_a_zone_that_has_gone_from_the_rules_stops_nobody_else_and_can_be_canceled(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        ids = [await world.schedule(f"s{number}") for number in range(2)]
        async with db.transaction() as tx:
            gone = text("UPDATE scheduled_transfers SET time_zone = 'Mars/Base' WHERE id = :id")
            await tx.execute(gone, {"id": ids[0].uuid})
        assert await world.work() == 2
        owed, done = [await world.now(id_) for id_ in ids]
        canceled = await cancel_schedule(world.runtime, MANDATE, ids[0])

        assert owed.next is not None
        assert done.next is not None
        assert (owed.next.number, owed.next.try_at, done.next.number) == (0, START + timedelta(minutes=1), 1)
        assert canceled.state is ScheduleState.CANCELED
        assert await world.received() == 10


async def test_a_cancel_waits_for_the_worker_that_has_it_in_hand_and_nothing_follows(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        id_ = await world.schedule()
        world.watched.go.clear()
        working = asyncio.create_task(world.work())
        await world.watched.reached.wait()
        canceling = asyncio.create_task(cancel_schedule(world.runtime, MANDATE, id_))
        await asyncio.sleep(0.3)
        waits = not canceling.done()
        idle = await world.work()  # another worker passes by what is in hand
        world.watched.go.set()
        done, canceled = await working, await canceling
        world.clock.advance(5 * 86_400)
        after = await world.all()

        assert (waits, idle, done, after) == (True, 0, 1, 0)
        assert (canceled.state, canceled.next) == (ScheduleState.CANCELED, None)
        assert [one.state.value for one in await world.ended(id_)] == ["executed"]
        assert await world.received() == 10


@pytest.mark.parametrize("verb", [cancel_schedule, pause_schedule])
async def test_what_a_dead_worker_had_posted_is_recorded_before_a_pause_or_cancel(db: Database, verb: Any) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        id_ = await world.schedule()
        world.watched.after = [Killed()]
        with pytest.raises(Killed):
            await world.work()
        changed = await verb(world.runtime, MANDATE, id_)
        world.clock.advance(5 * 86_400)
        after = await world.all()
        (done,) = await world.ended(id_)

        assert changed.state in {ScheduleState.CANCELED, ScheduleState.PAUSED}
        assert (done.state.value, done.transfer, after) == ("executed", transfer_of(id_, 0, 0), 0)
        assert await world.events(id_) == Counter({"wallet.schedule.executed": 1})
        assert await world.received() == 10


async def test_a_dead_workers_last_one_that_was_posted_has_completed_the_schedule(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        id_ = await world.schedule(count=1)
        world.watched.after = [Killed()]
        with pytest.raises(Killed):
            await world.work()
        with pytest.raises(Refused, match="schedule-ended"):
            await cancel_schedule(world.runtime, MANDATE, id_)
        await world.all()

        assert (await world.now(id_)).state is ScheduleState.COMPLETED
        assert await world.received() == 10


async def test_a_cancel_sees_a_commit_that_is_under_way_without_its_worker(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        id_ = await world.schedule()
        # As PostgreSQL goes on with what a killed process had it commit: the account is locked, the transfer written.
        account = wallet_facts(WalletKey(world.wallet.uuid), "GBP").id
        orphan: Any = await asyncpg.connect(db.url)
        commit = orphan.transaction()
        await commit.start()
        await orphan.execute("SELECT FROM accounts WHERE id = $1 FOR UPDATE", account)
        await orphan.execute(
            "INSERT INTO transfers SELECT $1, 'wallet.scheduled', postings, on_behalf_of, reference, metadata, "
            "reverses, hold_id, effective_at, recorded_at FROM transfers LIMIT 1",
            transfer_of(id_, 0, 0).uuid,
        )
        canceling = asyncio.create_task(cancel_schedule(world.runtime, MANDATE, id_))
        await asyncio.sleep(0.3)
        waits = not canceling.done()
        await commit.commit()
        await orphan.close()
        canceled = await canceling

        assert (waits, canceled.state) == (True, ScheduleState.CANCELED)
        assert [one.transfer for one in await world.ended(id_)] == [transfer_of(id_, 0, 0)]


_LOSE_LOCKS = text(
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = 'scheduled_transfers'::regclass "
    "AND mode = 'RowShareLock' AND pid <> pg_backend_pid()"
)


@pytest.mark.parametrize("verb", [cancel_schedule, pause_schedule])
async def test_what_a_worker_without_its_lock_still_sends_moves_nothing_after_the_answer(
    db: Database, verb: Any
) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        id_ = await world.schedule()
        world.watched.go.clear()
        working = asyncio.create_task(world.work())
        await world.watched.reached.wait()
        async with db.reading() as view:
            assert list(await view.scalars(_LOSE_LOCKS)) == [True]
        changed = await verb(world.runtime, MANDATE, id_)
        world.watched.go.set()
        await asyncio.gather(working, return_exceptions=True)
        moved = await world.transfers()
        world.clock.advance(86_400)
        if changed.state is ScheduleState.PAUSED:
            await resume_schedule(world.runtime, MANDATE, id_)
        await world.all()
        ended = [one.state.value for one in await world.ended(id_)]

        assert moved == 0
        assert ended == ([] if changed.state is ScheduleState.CANCELED else ["skipped", "executed"])
        assert (await audit(db, SystemClock())).clean


async def test_pauses_and_cancels_at_once_with_workers_leave_one_truth(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        ids = [await world.schedule(f"s{number}", count=3) for number in range(8)]
        world.clock.advance(86_400 * 2)
        turns = [verb(world.runtime, MANDATE, id_) for id_ in ids for verb in (pause_schedule, resume_schedule)]
        turns += [cancel_schedule(world.runtime, MANDATE, id_) for id_ in ids[:4]]
        answers = await asyncio.gather(*(world.work() for _ in range(4)), *turns, return_exceptions=True)
        await world.all()
        for id_ in ids:
            await resume_schedule(world.runtime, MANDATE, id_) if (await world.now(id_)).state == "paused" else None
        await world.all()
        ended = [await world.ended(id_) for id_ in ids]
        executed = sum(one.state.value == "executed" for each in ended for one in each)

        assert all(isinstance(one, ScheduleView | int | Refused) for one in answers), answers
        for each in ended:
            told = [number for one in each for number in range(one.number, one.last_number + 1)]
            assert told == list(range(len(told)))
        assert await world.transfers() == executed
        assert await world.received() == 10 * executed


async def test_what_became_of_an_occurrence_is_a_fact_that_the_services_role_may_only_add_to(db: Database) -> None:
    granted = "SELECT privilege_type FROM pg_class, aclexplode(relacl) WHERE relname = 'occurrences'"
    async with db.reading() as view:
        rights = set(await view.scalars(text(granted)))

    assert rights & {"INSERT", "UPDATE", "DELETE", "TRUNCATE"} == {"INSERT"}


async def test_the_lag_is_the_age_of_the_oldest_that_waits(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        await world.schedule()
        async with db.reading() as view:
            lags = [await schedules_lag_s(view, START + timedelta(seconds=more)) for more in (-5, 0, 90)]
        world.clock.advance(1)
        await world.all()
        async with db.reading() as view:
            lags.append(await schedules_lag_s(view, START + timedelta(seconds=90)))

        assert lags == [0, 0, 90, 0]


async def test_the_lag_is_told_also_while_the_ledger_is_away(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        await world.schedule()
        world.watched.before = [Unavailable("ledger-busy", "full") for _ in range(1_000)]
        world.clock.advance(400)
        stop = asyncio.Event()
        watching = asyncio.gather(
            watch_schedules(db, world.watched, world.clock, stop), watch_schedules_lag(db, world.clock, stop)
        )
        told = 0.0
        for _ in range(200):
            told = REGISTRY.get_sample_value("ledgerlink_wallet_schedules_lag_seconds") or 0.0
            if told >= 300:
                break
            await asyncio.sleep(0.05)
        stop.set()
        await asyncio.wait_for(watching, 10)

        assert told >= 300
        assert await world.received() == 0


async def test_the_watch_goes_on_when_the_ledger_is_away_and_stops_when_told(db: Database) -> None:
    async with world_on(db) as world:
        await world.fund(1_000)
        await world.schedule()
        world.watched.before = [Unavailable("ledger-busy", "full")]
        stop = asyncio.Event()
        watching = asyncio.create_task(watch_schedules(db, world.watched, world.clock, stop))
        for _ in range(400):
            if await world.received():
                break
            await asyncio.sleep(0.05)
        stop.set()
        await asyncio.wait_for(watching, 10)

        assert await world.received() == 10
