"""Proves that a crossing is told once, whatever follows on the far side and however many workers look; who may set
alerts; and every bad one.
"""

import asyncio
from typing import Any

import pytest
from services.wallet.tests.conftest import Service
from sqlalchemy import text

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.events import BalanceCrossed
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.ids import uuid8
from ledgerlink_wallet.commands.alerts import tell_crossings
from ledgerlink_wallet.worker import ALERTS_BATCH


async def move(service: Service, wallet: str, change: int, key: str) -> None:
    verb = "credit" if change > 0 else "debit"
    order = {"amount_minor": abs(change), "currency": "GBP"}
    answer = await service.call("POST", f"/wallets/{wallet}/{verb}", order, Idempotency_Key=key)
    assert answer.status_code == 201, answer.text


async def told(service: Service) -> list[tuple[str, int, int]]:
    await asyncio.gather(*(tell_crossings(service.db, SystemClock(), ALERTS_BATCH) for _ in range(3)))
    async with service.db.reading() as view:
        rows = await view.scalars(
            text("SELECT data::text FROM outbox WHERE type = 'wallet.balance.crossed' ORDER BY seq")
        )
        events = [BalanceCrossed.model_validate_json(row).alert for row in rows]
    return [(one.crossing.value, one.available_minor, one.version) for one in events]


async def test_a_crossing_is_told_once_until_the_balance_has_come_back(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=100)
    alert = {"currency": "GBP", "below_minor": 50, "above_minor": 150}
    put = await service.call_as(alice, "PUT", f"/wallets/{wallet}/alerts", {"items": [alert]})
    for number, change in enumerate((-50, -1, -9, 60, -55, 105)):
        await move(service, wallet, change, f"k{number}")
    crossings = await told(service)
    await move(service, wallet, 50, "more")
    again = await told(service)
    seen = await service.call_as(alice, "GET", f"/wallets/{wallet}/alerts")

    order = {"items": [alert]}
    at_once = [service.call_as(alice, "PUT", f"/wallets/{wallet}/alerts", order) for _ in range(4)]
    assert {one.status_code for one in await asyncio.gather(*at_once)} == {200}
    assert (put.status_code, put.json()["items"]) == (200, [{**alert, "is_below": False, "is_above": False}])
    # 50 is not below 50; 49 is, 40 still is; 100 is back, 45 is below again; 150 is not above 150.
    assert crossings == [("below", 49, 3), ("below", 45, 6)]
    assert again == [*crossings, ("above", 200, 8)]
    assert seen.json()["items"] == [{**alert, "is_below": False, "is_above": True}]


async def test_a_hold_crosses_too_and_what_lies_beyond_at_first_is_not_told(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=100)
    items = [{"currency": "GBP", "below_minor": 60}, {"currency": "EUR", "below_minor": 10}]
    await service.call_as(alice, "PUT", f"/wallets/{wallet}/alerts", {"items": items})
    hold = {"wallet": wallet, "amount_minor": 50, "currency": "GBP"}
    await service.call("POST", "/holds", hold, Idempotency_Key="h")

    assert await told(service) == [("below", 50, 2)]
    removed = await service.call_as(alice, "DELETE", f"/wallets/{wallet}/alerts")
    await move(service, wallet, 500, "up")
    await move(service, wallet, -500, "down")
    assert removed.status_code == 204
    assert len(await told(service)) == 1
    assert (await service.call_as(alice, "GET", f"/wallets/{wallet}/alerts")).json()["items"] == []


async def test_somebody_elses_alerts_are_not_found(service: Service, alice: str, bob: str) -> None:
    wallet = await service.wallet(alice)
    order = {"items": [{"currency": "GBP", "below_minor": 1}]}
    for subject, path in ((bob, wallet), (alice, str(WalletId(uuid8("none"))))):
        for method in ("GET", "PUT", "DELETE"):
            answer = await service.call_as(subject, method, f"/wallets/{path}/alerts", order)

            assert (answer.status_code, answer.json()["code"]) == (404, "wallet-not-found"), method


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ([], "items"),
        ([{"below_minor": 1}], "currency"),
        ([{"currency": "XXQ", "below_minor": 1}], "currency"),
        ([{"currency": "GBP"}], ""),
        ([{"currency": "GBP", "below_minor": -1}], "below_minor"),
        ([{"currency": "GBP", "above_minor": 1.5}], "above_minor"),
        ([{"currency": "GBP", "above_minor": 2**53}], "above_minor"),
        ([{"currency": "GBP", "below_minor": 1, "at": 2}], "at"),
        ([{"currency": "GBP", "below_minor": 1}] * 2, ""),
    ],
)
async def test_a_bad_alert_is_refused_by_the_name_of_its_field(
    service: Service, alice: str, items: list[dict[str, Any]], field: str
) -> None:
    wallet = await service.wallet(alice)
    answer = await service.call_as(alice, "PUT", f"/wallets/{wallet}/alerts", {"items": items})

    assert answer.status_code == 422, answer.text
    assert not field or any(field in error["path"] for error in answer.json()["errors"])
