"""Proves promises: written with what they are about, in the same commit, once for each change and never for a posting,
under races, refusals and rollbacks; and that the audit finds whoever goes past them, or writes them beside the ledger.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from services.wallet.tests.command.test_sealing import change, post, rows, sealed
from services.wallet.tests.conftest import Service
from sqlalchemy import text

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.models import Standing
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.ids import uuid8
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.domain.books import AccountKey, Posting, TransferKey, WalletKey
from ledgerlink_wallet.domain.content import content_of
from ledgerlink_wallet.domain.orders import ChangeStanding, ChangeWalletStanding, Command, OpenAccount, PostTransfer
from ledgerlink_wallet.domain.parties import account_key, party_of
from ledgerlink_wallet.queries.audit import audit
from ledgerlink_wallet.runtime import Owners
from ledgerlink_wallet.store import open_pool

MakeDatabase = Callable[[str], Awaitable[Database]]

STEPS = "SELECT kind, subject, max(step), count(*) FROM promises GROUP BY 1, 2 ORDER BY 1, 2"
MERCHANT = account_key("merchant:m", "GBP")
RUNBOOK = Path(__file__).resolve().parents[4] / "docs" / "runbooks" / "audit-finds-a-difference.md"
BOUNDED = {"code": "merchant:b", "currency": "GBP", "floor_minor": -50, "ceiling_minor": 100}


@asynccontextmanager
async def committing(db: Database) -> AsyncGenerator[Committer]:
    committer = Committer(partial(open_pool, db.url, application_name="test", size=2), SystemClock(), Owners())
    await committer.start()
    yield committer
    await committer.stop()


async def differences(db: Database) -> list[str]:
    report = await audit(db, SystemClock())
    return [found for check in report.checks for found in check.differences]


def transfer(name: str, debit: str, credit: str) -> PostTransfer:
    posting = Posting(party_of(debit, "GBP"), party_of(credit, "GBP"), 1, "GBP")
    return PostTransfer(TransferKey(uuid8(name)), content_of(b"{}"), "t", (posting,))


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("ledgerlink_wallet")


async def test_an_account_is_promised_when_it_opens_and_a_posting_promises_nothing(service: Service) -> None:
    await post(service, "first")
    opened = await rows(service.db, STEPS)
    while (await sealed(service.db)).added:
        pass
    await post(service, *(f"{number}" for number in range(30)))

    assert [row[2:] for row in opened] == [(1, 1), (1, 1)]
    assert await rows(service.db, STEPS) == opened
    assert await rows(service.db, "SELECT sum(transfers), sum(promises) FROM unsealed") == [(30, 0)]
    said = await rows(service.db, "SELECT says, recorded_at FROM promises WHERE says ->> 'code' = 'merchant:m'")
    stands = await rows(
        service.db,
        'SELECT opened_at, to_char(opened_at, \'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\') FROM accounts '  # noqa: S608 - ours
        f"WHERE id = '{MERCHANT}'",
    )
    assert said[0][1] == stands[0][0]
    assert said[0][0] == {
        "code": "merchant:m",
        "currency": "GBP",
        "normal_side": "credit",
        "may_overdraw": True,
        "wallet_id": None,
        "floor_minor": None,
        "ceiling_minor": None,
        "standing": "open",
        "opened_at": stands[0][1],
    }


async def test_a_batch_that_opens_many_accounts_queues_them_as_one_commit(db: Database) -> None:
    async with committing(db) as committer:
        await asyncio.gather(
            *(committer.submit(transfer(f"{number}", "world", f"merchant:m{number}")) for number in range(60))
        )
    commits = await rows(db, "SELECT count(*), sum(transfers), sum(promises) FROM unsealed")

    assert commits[0][0] < 20  # pyright: ignore[reportOperatorIssue]
    assert commits[0][1:] == (60, 61)
    assert await differences(db) == []


async def test_a_standing_is_promised_once_for_each_change(service: Service) -> None:
    await post(service, "first")
    path = (await service.call("GET", "/accounts?code=merchant:m")).json()["items"][0]["id"]
    for verb in ("freeze", "freeze", "unfreeze", "unfreeze"):
        assert (await service.call("POST", f"/accounts/{path}/{verb}")).status_code == 200

    said = await rows(
        service.db,
        f"SELECT step, says ->> 'standing' FROM promises WHERE subject = '{MERCHANT}' ORDER BY 1",  # noqa: S608 - ours
    )
    assert said == [(1, "open"), (2, "frozen"), (3, "open")]
    assert await rows(service.db, "SELECT count(*) FROM unsealed WHERE promises > 0 AND transfers = 0") == [(2,)]
    assert await differences(service.db) == []


async def test_a_wallet_promises_its_accounts_its_standing_and_its_role(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=5)
    plain = await rows(service.db, "SELECT count(*) FROM promises WHERE kind = 'wallet'")
    for verb in ("freeze", "freeze", "unfreeze"):
        await service.call("POST", f"/wallets/{wallet}/{verb}")
    for role in ("merchant", "merchant", "customer"):
        done = await service.call("PUT", f"/wallets/{wallet}/limits", {"role": role, "items": []})
        assert done.status_code == 200

    said = await rows(
        service.db,
        "SELECT step, says ->> 'standing', says ->> 'role' FROM promises WHERE kind = 'wallet' ORDER BY step",
    )
    assert plain == [(0,)]
    assert said == [
        (1, "frozen", "customer"),
        (2, "open", "customer"),
        (3, "open", "merchant"),
        (4, "open", "customer"),
    ]
    assert await rows(service.db, "SELECT count(*) FROM promises WHERE kind = 'limits'") == [(0,)]
    assert await differences(service.db) == []


async def test_limits_are_promised_by_scope_and_only_those_that_changed(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice)
    pounds = {"currency": "GBP", "day_minor": 500}
    merchants = {"role": "merchant", "currency": "EUR", "transfer_minor": 7}
    for items in ([pounds], [pounds, merchants], [pounds, merchants], [merchants], []):
        assert (await service.call("PUT", "/limits", {"items": items})).status_code == 200
    for items in ([pounds], []):
        assert (await service.call("PUT", f"/wallets/{wallet}/limits", {"items": items})).status_code == 200

    own = str(WalletId.parse(wallet).uuid)
    assert await rows(service.db, STEPS.replace("GROUP", "WHERE kind = 'limits' GROUP")) == sorted(
        [("limits", "everybody", 2, 2), ("limits", "merchant", 2, 2), ("limits", own, 2, 2)]
    )
    last = await rows(service.db, "SELECT says FROM promises WHERE kind = 'limits' AND step = 2")
    assert last == [({},)] * 3
    assert await differences(service.db) == []


async def test_two_processes_that_open_and_restand_the_same_accounts_promise_each_change_once(db: Database) -> None:
    codes = [f"merchant:m{number}" for number in range(12)]

    def commands(process: int) -> list[Command]:
        made: list[Command] = []
        for number, code in enumerate(codes if process else reversed(codes)):
            made.append(transfer(f"{process} {number}", "world", code))
            made.append(OpenAccount(party_of(code, "GBP"), "GBP"))
            made.extend(
                ChangeStanding(AccountKey(account_key(code, "GBP")), standing)
                for standing in (Standing.FROZEN, Standing.OPEN)
            )
        return made

    async with committing(db) as first, committing(db) as second:
        pairs = [(first, one) for one in commands(0)] + [(second, one) for one in commands(1)]
        random.Random(7).shuffle(pairs)
        await asyncio.gather(*(committer.submit(command) for committer, command in pairs))

    gaps = await rows(db, STEPS.replace("ORDER", "HAVING max(step) <> count(*) ORDER"))
    assert gaps == []
    assert await rows(db, "SELECT count(DISTINCT subject) FROM promises WHERE kind = 'account'") == [(13,)]
    assert await differences(db) == []


async def test_what_is_refused_rolled_back_or_only_tried_promises_nothing(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice)
    before = await rows(service.db, STEPS)
    posting = {"debit": wallet, "credit": "merchant:x", "amount_minor": 5, "currency": "GBP"}
    order = {"kind": "t", "postings": [posting]}
    refused = await service.call("POST", "/transfers", order, Idempotency_Key="r")
    await service.call("POST", "/transfers?dry_run=true", {**order, "kind": "d"}, Idempotency_Key="d")
    stranger = WalletId(uuid8("nobody's"))
    assert (await service.call("POST", f"/wallets/{stranger}/freeze")).status_code == 404
    assert refused.status_code == 409

    assert await rows(service.db, STEPS) == before
    assert await differences(service.db) == []


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_is_done_to_accounts_and_wallets_they_stand_as_promised(
    service: Service, alice: str, seed: int
) -> None:
    dice = random.Random(seed)
    wallets = [await service.wallet(alice, key=f"{number}") for number in range(3)]
    kept: list[WalletKey] = [WalletKey(WalletId.parse(one).uuid) for one in wallets]
    codes = ["merchant:m", "merchant:n", "merchant:o"]

    def command(number: int) -> Command:
        party = dice.choice([*wallets, *codes])
        standing = dice.choice(
            [Standing.OPEN, Standing.FROZEN, Standing.CLOSED if dice.random() < 0.2 else Standing.OPEN]
        )
        currency = dice.choice(["GBP", "EUR"])
        account = party_of(party, currency)
        assert account.account is not None
        roll = dice.random()
        if roll < 0.3:
            return ChangeWalletStanding(dice.choice(kept), standing)
        if roll < 0.6:
            return ChangeStanding(account.account, standing)
        if roll < 0.8:
            return OpenAccount(account, currency, None, dice.choice([None, 10]))
        return transfer(f"{seed} {number}", "world", dice.choice([*wallets, *codes]))

    async with committing(service.db) as first, committing(service.db) as second:
        for lot in range(6):
            await asyncio.gather(*(dice.choice([first, second]).submit(command(lot * 20 + n)) for n in range(20)))
    await sealed(service.db)

    assert await differences(service.db) == []


@pytest.mark.parametrize(
    ("forged", "words"),
    [
        # A floor is widened, and a promise that says so is slipped in behind and even queued for the sealer.
        (
            """UPDATE accounts SET floor_minor = -5000 WHERE code = 'merchant:b';
            INSERT INTO promises SELECT gen_random_uuid(), kind, subject, 2, jsonb_set(says, '{floor_minor}', '-5000'),
            now() FROM promises WHERE says ->> 'code' = 'merchant:b';
            INSERT INTO unsealed (recorded_at, transfers, promises) VALUES (now(), 0, 1)""",
            "step 2 of account",
        ),
        # A promise of nobody's, and nobody's account.
        (
            """INSERT INTO promises SELECT gen_random_uuid(), kind, gen_random_uuid()::text, 1, says, recorded_at
            FROM promises LIMIT 1""",
            "it stands as nothing",
        ),
        (
            "INSERT INTO promises SELECT gen_random_uuid(), kind, subject, 3, says, now() FROM promises LIMIT 1",
            "step 3",
        ),
        # A step that changes nothing is found by the tree alone.
        (
            "INSERT INTO promises SELECT gen_random_uuid(), kind, subject, 2, says, now() FROM promises LIMIT 1",
            "neither sealed nor waiting",
        ),
    ],
)
async def test_a_promise_that_was_slipped_in_beside_the_ledger_is_found(
    service: Service, forged: str, words: str
) -> None:
    assert (await service.call("POST", "/accounts", BOUNDED)).status_code == 201
    await sealed(service.db)
    for statement in forged.split(";"):
        await change(service.db, statement)

    found = await differences(service.db)
    assert any(words in one for one in found), found


async def test_an_account_goes_on_from_what_was_promised_and_not_from_what_somebody_wrote_over_it(
    service: Service,
) -> None:
    made = await service.call("POST", "/accounts", BOUNDED)
    await change(service.db, "UPDATE accounts SET floor_minor = -5000 WHERE code = 'merchant:b'")
    await service.call("POST", f"/accounts/{made.json()['id']}/freeze")
    said = await rows(service.db, "SELECT says -> 'floor_minor' FROM promises ORDER BY step")

    assert said == [(-50,), (-50,)]
    assert any('"floor_minor": -5000' in one for one in await differences(service.db))


async def test_the_runbook_takes_over_what_an_earlier_release_opened(service: Service) -> None:
    await post(service, "first")
    while (await sealed(service.db)).added:
        pass
    late = (
        "INSERT INTO accounts SELECT gen_random_uuid(), 'merchant:late', currency, normal_side, may_overdraw, wallet_id"
    )
    rest = "standing, 0, 0, 0, 0, 0, now() FROM accounts WHERE code = 'merchant:m'"
    await change(service.db, f"{late}, {rest}")
    found = await differences(service.db)
    take_over, queue_again = RUNBOOK.read_text().split("  ```\n")[1::2]
    await change(service.db, take_over)
    # As a worker that knows no promises would.
    await change(service.db, "DELETE FROM unsealed")
    forgotten = await differences(service.db)
    await change(service.db, queue_again)
    taken_over = await sealed(service.db)

    assert any("promised as nothing" in one for one in found)
    assert any("neither sealed nor waiting" in one for one in forgotten)
    assert taken_over.added == 1
    assert not any("promised as" in one for one in await differences(service.db))


async def test_what_was_opened_a_moment_ago_is_rolled_back_with_its_promise(db: Database) -> None:
    async with committing(db) as committer:
        await committer.submit(transfer("first", "world", "merchant:m"))
        # The next opening meets a key that somebody took: the whole commit goes.
        taken = account_key("merchant:taken", "GBP")
        values = f"gen_random_uuid(), 'account', '{taken}', 1, '{{}}', now()"
        await change(db, f"INSERT INTO promises VALUES ({values})")  # noqa: S608 - ours
        answers = await asyncio.gather(
            committer.submit(transfer("second", "world", "merchant:taken")),
            committer.submit(transfer("third", "world", "merchant:free")),
            return_exceptions=True,
        )
    accounts = await rows(db, "SELECT code FROM accounts ORDER BY 1")

    assert [type(one).__name__ for one in answers] != ["Answer", "Answer"]
    assert accounts == [("merchant:free",), ("merchant:m",), ("world",)]


async def test_a_promise_is_read_the_same_in_any_time_zone(service: Service) -> None:
    await post(service, "first")
    async with service.db.engine.connect() as connection:
        await connection.execute(text("SET LOCAL timezone = 'Asia/Kathmandu'"))
        from_there: Any = (await connection.execute(text("SELECT says FROM promises"))).scalars().all()
        report = await audit(service.db, SystemClock())
        await connection.rollback()

    assert all(said["opened_at"].endswith("Z") for said in from_there)
    assert report.clean
