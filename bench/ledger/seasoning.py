"""What a history of plain transfers lacks: wallets, holds in every state, reversals, dated transfers, bounds, limits.

Asked of the committer as callers ask it, over accounts of its own, so that no check of the audit looks at nothing.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg

from ledgerlink_contracts.ids import HoldId, TransferId, WalletId
from ledgerlink_contracts.wallet.models import CaptureOrder, HoldOrder, ReversalOrder, Standing, TransferOrder
from ledgerlink_kit.clock import SystemClock
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.commands.ledger import capture_from, hold_from, reversal_from, transfer_from
from ledgerlink_wallet.domain.books import HoldKey, WalletKey
from ledgerlink_wallet.domain.orders import ChangeWalletStanding, Command, OpenAccount, ReleaseHold
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.runtime import Owners
from ledgerlink_wallet.store import open_pool

WALLETS = 400
_LONG_AGO = datetime(2021, 3, 4, tzinfo=UTC)


def _id(kind: type[Any], *parts: object) -> Any:
    return kind.derive("season", *map(str, parts))


def wallet(number: int) -> WalletId:
    """Give the id of a wallet."""
    return _id(WalletId, "wallet", number)


def _transfer(name: str, number: int, debit: str, credit: str, **more: Any) -> Command:
    posting = {"debit": debit, "credit": credit, "amount_minor": 700 + number, "currency": "GBP"}
    order = TransferOrder.model_validate({"kind": f"season.{name}", "postings": [posting], **more})
    return transfer_from(order, _id(TransferId, name, number), None)


def _lots() -> Sequence[list[Command]]:
    """Give the commands, in lots of which each relies on those before it."""
    numbers = range(WALLETS)
    funds = [_transfer("fund", number, "world", str(wallet(number))) for number in numbers]
    bounded = [party_of(f"merchant:s{number}", "GBP") for number in numbers]
    bounds: list[Command] = [OpenAccount(one, "GBP", -50 - n, 5_000 + n) for n, one in enumerate(bounded)]
    holds: list[Command] = []
    for number in numbers:
        order = {"wallet": str(wallet(number)), "amount_minor": 90, "currency": "GBP", "reference": f"S{number}"}
        expires = {"expires_at": datetime.now(UTC) + timedelta(days=30)}
        holds.append(hold_from(HoldOrder.model_validate({**order, **expires}), _id(HoldId, number)))
    ends: list[Command] = []
    for number in numbers:
        hold = _id(HoldId, number)
        if number % 4 == 1:
            ends.append(ReleaseHold(HoldKey(hold.uuid)))
        elif number % 4 > 1:
            capture = {"credit": f"merchant:s{number}", "amount_minor": 40, "final": number % 4 == 2}
            ends.append(capture_from(hold, CaptureOrder.model_validate(capture), _id(TransferId, "capture", number)))
    undo = {"parts": [{"posting": 0, "amount_minor": 9}], "metadata": {"why": "season"}}
    undone: list[Command] = [
        reversal_from(_id(TransferId, "fund", n), ReversalOrder.model_validate(undo), _id(TransferId, "undo", n))
        for n in numbers
    ]
    dated = [
        _transfer("dated", n, "world", f"merchant:s{n}", effective_at=_LONG_AGO + timedelta(hours=n), reference=f"D{n}")
        for n in numbers
    ]
    frozen: list[Command] = [
        ChangeWalletStanding(WalletKey(wallet(n).uuid), Standing.FROZEN) for n in numbers if n % 9 == 0
    ]
    return [funds + bounds, holds, ends, undone + dated, frozen]


async def _ask(url: str) -> None:
    opened = partial(open_pool, url, application_name="season", size=2)
    committer = Committer(opened, SystemClock(), Owners())
    await committer.start()
    for lot in _lots():
        answers = await asyncio.gather(*(committer.submit(command) for command in lot))
        assert all(answer.status < 400 for answer in answers), next(one.body for one in answers if one.status >= 400)
    await committer.stop()


def season(url: str, superuser: str) -> None:
    """Do a little of everything in the ledger at ``url``, all of which must succeed."""
    with psycopg.connect(superuser) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO wallets (id, owner, currency, label, opened_at) VALUES (%s, %s, 'EUR', %s, now())",
            [(wallet(number).uuid, f"usr_{number}", f"season {number}") for number in range(WALLETS)],
        )
        cursor.execute("INSERT INTO unsealed (recorded_at, transfers, wallet_id) SELECT opened_at, 0, id FROM wallets")
        cursor.execute(
            "INSERT INTO spending_limits VALUES ('everybody', 'GBP', NULL, 1000000, 9000000);"
            "INSERT INTO promises SELECT gen_random_uuid(), 'limits', 'everybody', 1, "
            """'{"GBP": {"transfer_minor": null, "day_minor": 1000000, "month_minor": 9000000}}', now();"""
            "INSERT INTO unsealed (recorded_at, transfers, promises) VALUES (now(), 0, 1)"
        )
    asyncio.run(_ask(url))
