"""Proves the sealer: every commit becomes leaves exactly once, in one order, alone or beside others, crash or none."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta

import pytest
from services.wallet.tests.conftest import CHECKPOINT_KEY, Service
from sqlalchemy import text

from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.merkle import Frontier, leaf_hash
from ledgerlink_kit.notes import Signer, open_checkpoint
from ledgerlink_kit.testing import ManualClock
from ledgerlink_wallet.commands.sealing import BrokenTree, Sealed, seal
from ledgerlink_wallet.domain.leaves import TransferRow, transfer_leaf
from ledgerlink_wallet.worker import watch_seals

SIGNER = Signer("ledger.example/test", base64.b64decode(CHECKPOINT_KEY))


async def post(service: Service, *keys: str) -> list[str]:
    posting = {"debit": "world", "credit": "merchant:m", "amount_minor": 1, "currency": "GBP"}
    order = {"kind": "t", "postings": [posting], "metadata": {"é": "1", "z": "2"}}
    answers = await asyncio.gather(*(service.call("POST", "/transfers", order, Idempotency_Key=key) for key in keys))
    return [answer.json()["id"] for answer in answers]


async def sealed(db: Database, *, most: int = 10_000) -> Sealed:
    done = await seal(db, SIGNER, SystemClock(), most=most)
    assert done is not None
    return done


async def rows(db: Database, statement: str) -> list[tuple[object, ...]]:
    async with db.reading() as view:
        return [tuple(row) for row in (await view.execute(text(statement))).all()]


async def change(db: Database, statement: str) -> None:
    async with db.engine.begin() as connection:
        await connection.execute(text(statement))


async def test_the_tree_is_the_one_over_all_transfers_and_wallets_in_order(service: Service, alice: str) -> None:
    await service.wallet(alice)
    for turn in range(3):
        await post(service, *(f"{turn} {number}" for number in range(110)))
        await sealed(service.db, most=50)
        while (await sealed(service.db, most=50)).more:
            pass
    hashes = await rows(service.db, "SELECT hash FROM leaves ORDER BY leaf_index")
    blocks = await rows(service.db, "SELECT level, position, hash FROM blocks")
    heads = await rows(service.db, "SELECT size, root, note FROM checkpoints ORDER BY size")
    frontier, roots = Frontier(), dict[int, bytes]()
    made: list[tuple[int, int, bytes]] = []
    for (hash_,) in hashes:
        assert isinstance(hash_, bytes)
        made += [(run.level, run.first, block) for run, block in frontier.append(hash_)]
        roots[frontier.size] = frontier.root()

    # 330 transfers, a wallet, and what the three accounts that they opened are held to.
    assert len(hashes) == 334
    assert blocks == made
    assert len(heads) > 3
    for size, root, note in heads:
        head = open_checkpoint(str(note), SIGNER.key)
        assert (head.size, head.root) == (size, root)
        assert roots[head.size] == root
    assert await rows(service.db, "SELECT count(*) FROM unsealed") == [(0,)]


async def test_a_leaf_is_the_hash_of_the_transfer_as_stored(service: Service) -> None:
    await post(service, "one")
    await sealed(service.db)
    stored = await rows(
        service.db,
        "SELECT t.id, kind, postings::text, on_behalf_of, reference, metadata::text, reverses, hold_id, effective_at, "
        "recorded_at, l.hash FROM transfers t JOIN leaves l ON l.transfer_id = t.id",
    )
    row = TransferRow(*stored[0][:10])  # pyright: ignore[reportArgumentType]

    assert leaf_hash(transfer_leaf(row)) == stored[0][10]


async def test_a_commit_in_flight_is_never_overtaken_for_good_even_under_the_same_moment(service: Service) -> None:
    moment = datetime.now(UTC) - timedelta(hours=1)
    insert = (
        "INSERT INTO transfers (id, kind, postings, metadata, effective_at, recorded_at) VALUES "
        "(gen_random_uuid(), 't', '[[\"00000000-0000-0000-0000-000000000001\",1,"
        "\"00000000-0000-0000-0000-000000000002\",1,5,\"GBP\",null]]', '{}', :at, :at)"
    )  # fmt: skip
    queue = "INSERT INTO unsealed (recorded_at, transfers) VALUES (:at, 1)"
    async with service.db.engine.connect() as slow:
        await slow.execute(text(insert), {"at": moment})
        await slow.execute(text(queue), {"at": moment})
        async with service.db.engine.begin() as quick:
            await quick.execute(text(insert), {"at": moment})
            await quick.execute(text(queue), {"at": moment})
        first = await sealed(service.db)
        await slow.commit()
    second, third = await sealed(service.db), await sealed(service.db)

    assert [first.added, second.added, third.added] == [1, 1, 0]
    assert (second.size, third.size) == (2, 2)


async def test_sealers_side_by_side_seal_everything_once(service: Service) -> None:
    await post(service, *(f"{number}" for number in range(80)))
    for _ in range(10):
        await asyncio.gather(*(seal(service.db, SIGNER, SystemClock(), most=7) for _ in range(4)))
        await asyncio.sleep(0.01)
    while (await sealed(service.db)).more:
        pass

    assert await rows(service.db, "SELECT count(*), max(leaf_index) FROM leaves") == [(82, 81)]
    assert await rows(service.db, "SELECT count(*) FROM transfers t JOIN leaves l ON l.transfer_id = t.id") == [(80,)]


async def test_a_crash_on_the_way_leaves_nothing_half(service: Service) -> None:
    class CrashingClock(SystemClock):
        def now(self) -> datetime:
            raise RuntimeError("killed before the checkpoint was written")

    await post(service, "a", "b")
    with pytest.raises(RuntimeError, match="killed"):
        await seal(service.db, SIGNER, CrashingClock())
    half = await rows(service.db, "SELECT (SELECT count(*) FROM leaves), (SELECT count(*) FROM checkpoints)")

    assert half == [(0, 0)]
    assert (await sealed(service.db)).added == 4


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE leaves SET hash = sha256('x') WHERE leaf_index = 1",
        "DELETE FROM leaves WHERE leaf_index = 0",
        "UPDATE checkpoints SET root = sha256('x')",
    ],
)
async def test_nothing_is_signed_over_a_tree_that_was_changed(service: Service, damage: str) -> None:
    await post(service, "a", "b", "c")
    await sealed(service.db)
    await change(service.db, damage)
    await post(service, "d")
    with pytest.raises(BrokenTree):
        await sealed(service.db)

    assert await rows(service.db, "SELECT count(*) FROM checkpoints") == [(1,)]


async def test_the_watch_seals_what_comes_and_stops_when_told(service: Service) -> None:
    stop = asyncio.Event()
    signed = asyncio.Event()

    class ListeningClock(ManualClock):
        def now(self) -> datetime:
            signed.set()
            return super().now()

    watching = asyncio.create_task(watch_seals(service.db, SIGNER, ListeningClock(), stop, every_s=0.05))
    await post(service, "a")
    await asyncio.wait_for(signed.wait(), 10)
    await asyncio.sleep(0.1)
    await change(service.db, "UPDATE checkpoints SET root = sha256('x')")
    await asyncio.sleep(0.2)
    assert not watching.done()
    stop.set()
    await asyncio.wait_for(watching, 5)

    assert await rows(service.db, "SELECT count(*) FROM checkpoints") == [(1,)]
