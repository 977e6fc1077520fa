"""Proves who sets limits and who reads them, which of several holds, that they are kept exactly by owners who spend at
once, and that every bad limit is refused by the name of its field.
"""

import asyncio
from typing import Any

import pytest
from services.wallet.tests.conftest import Service

from ledgerlink_contracts.ids import WalletId
from ledgerlink_kit.ids import uuid8
from ledgerlink_kit.money import MAX_MINOR


async def debit(service: Service, owner: str, wallet: str, minor: int, key: str, currency: str = "GBP") -> Any:
    order = {"amount_minor": minor, "currency": currency}
    return await service.call_as(owner, "POST", f"/wallets/{wallet}/debit", order, key)


async def set_everybodys(service: Service, *items: dict[str, Any]) -> Any:
    answer = await service.call("PUT", "/limits", {"items": list(items)})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_nearest_limit_holds_and_its_use_is_shown_to_the_owner(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=10_000)
    await set_everybodys(
        service,
        {"currency": "GBP", "day_minor": 100},
        {"currency": "GBP", "role": "merchant", "day_minor": 300},
        {"currency": "EUR", "transfer_minor": 5},
    )
    first = [await debit(service, alice, wallet, minor, f"1 {minor}") for minor in (100, 1)]
    await service.call("PUT", f"/wallets/{wallet}/limits", {"role": "merchant"})
    second = [await debit(service, alice, wallet, minor, f"2 {minor}") for minor in (200, 1)]
    own = {"role": "merchant", "items": [{"currency": "GBP", "month_minor": 350, "transfer_minor": 40}]}
    put = await service.call("PUT", f"/wallets/{wallet}/limits", own)
    third = [await debit(service, alice, wallet, minor, f"3 {minor}") for minor in (41, 40, 11)]
    seen = (await service.call_as(alice, "GET", f"/wallets/{wallet}/limits")).json()

    assert [one.status_code for one in first + second + third] == [201, 409, 201, 409, 409, 201, 409]
    assert [one.json().get("period") for one in third] == ["transfer", None, "month"]
    assert first[1].json()["code"] == "limit-exceeded"
    assert (first[1].json()["used_minor"], first[1].json()["remaining_minor"]) == (100, 0)
    assert put.status_code == 200
    assert (seen["role"], [item["source"] for item in seen["items"]]) == ("merchant", ["everybody", "wallet"])
    month = seen["items"][1]["limits"][1]
    assert (month["period"], month["limit_minor"], month["used_minor"], month["remaining_minor"]) == (
        "month",
        350,
        340,
        10,
    )
    assert month["resets_at"].endswith("-01T00:00:00Z")
    assert (await service.audit())["clean"]


async def test_owners_who_spend_at_once_never_pass_a_limit_by_any_door(service: Service, alice: str, bob: str) -> None:
    wallet, other = await service.wallet(alice, funds=100_000), await service.wallet(bob)
    await set_everybodys(service, {"currency": "GBP", "day_minor": 100})
    posting = {"debit": wallet, "credit": other, "amount_minor": 7, "currency": "GBP"}
    hold = {"wallet": wallet, "amount_minor": 7, "currency": "GBP", "on_behalf_of": alice}
    to = {"to": other, "amount_minor": 7, "currency": "GBP"}
    asked = [
        call
        for n in range(10)
        for call in (
            debit(service, alice, wallet, 7, f"d{n}"),
            service.call_as(alice, "POST", f"/wallets/{wallet}/transfer", to, f"t{n}"),
            service.call_as(alice, "POST", "/transfers", {"kind": "t", "postings": [posting]}, f"p{n}"),
            service.call("POST", "/holds", hold, Idempotency_Key=f"h{n}"),
        )
    ]
    answers = await asyncio.gather(*asked)
    trusted = await service.call("POST", "/transfers", {"kind": "t", "postings": [posting]}, Idempotency_Key="free")

    assert sorted(one.status_code for one in answers) == [201] * 14 + [409] * 26
    assert trusted.status_code == 201
    limits = (await service.call("GET", f"/wallets/{wallet}/limits")).json()["items"][0]["limits"][0]
    assert (limits["used_minor"], limits["remaining_minor"]) == (98, 2)
    assert (await service.audit())["clean"]


async def test_a_repeat_of_what_was_refused_is_the_same_answer_and_a_repeat_of_what_was_spent_uses_nothing(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    await set_everybodys(service, {"currency": "GBP", "day_minor": 10})
    answers = [
        await debit(service, alice, wallet, minor, key) for minor, key in ((8, "a"), (8, "a"), (8, "b"), (2, "c"))
    ]
    await set_everybodys(service)
    again = await debit(service, alice, wallet, 8, "b")

    assert [one.status_code for one in answers] == [201, 201, 409, 201]
    assert again.content == answers[2].content
    assert (await service.call("GET", "/limits")).json() == {"items": []}


async def test_limits_that_are_set_at_once_are_those_of_one_order(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice)
    paths = ["/limits", f"/wallets/{wallet}/limits"] * 6
    orders = [{"items": [{"currency": "GBP", "day_minor": number}]} for number in range(12)]
    answers = await asyncio.gather(*(service.call("PUT", p, o) for p, o in zip(paths, orders, strict=True)))

    assert {one.status_code for one in answers} == {200}
    assert len((await service.call("GET", "/limits")).json()["items"]) == 1


async def test_only_ledger_write_sets_limits_and_only_owners_and_readers_see_a_wallets(
    service: Service, alice: str, bob: str
) -> None:
    wallet = await service.wallet(alice)
    none = WalletId(uuid8("none"))
    answers = [
        await service.call_as(alice, "PUT", "/limits", {"items": []}),
        await service.call_as(alice, "GET", "/limits"),
        await service.call_as(alice, "PUT", f"/wallets/{wallet}/limits", {}),
        await service.call_as(bob, "GET", f"/wallets/{wallet}/limits"),
        await service.call("GET", f"/wallets/{none}/limits"),
        await service.call("PUT", f"/wallets/{none}/limits", {}),
    ]

    assert [one.status_code for one in answers] == [403, 403, 403, 404, 404, 404]


GBP: dict[str, Any] = {"currency": "GBP"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "items"),
        ({"items": GBP}, "items"),
        ({"items": [GBP, GBP]}, ""),
        ({"items": [{**GBP, "role": "king"}]}, "role"),
        ({"items": [{"day_minor": 1}]}, "currency"),
        ({"items": [{"currency": "XXQ"}]}, "currency"),
        ({"items": [{**GBP, "transfer_minor": -1}]}, "transfer_minor"),
        ({"items": [{**GBP, "day_minor": 1.0}]}, "day_minor"),
        ({"items": [{**GBP, "month_minor": MAX_MINOR + 1}]}, "month_minor"),
        ({"items": [{**GBP, "week_minor": 1}]}, "week_minor"),
        ({"items": [GBP] * 1_001}, "items"),
    ],
)
async def test_a_bad_limit_is_refused_by_the_name_of_its_field(
    service: Service, alice: str, body: dict[str, Any], field: str
) -> None:
    wallet = await service.wallet(alice)
    answer = await service.call("PUT", "/limits", body)
    own = await service.call("PUT", f"/wallets/{wallet}/limits", {"role": "customer", **body, "surprise": 1})

    assert answer.status_code == 422, answer.text
    assert not field or any(field in error["path"] for error in answer.json()["errors"])
    assert own.status_code == 422
