"""Proves linked groups and dry runs through the door and on a real database: all or none, replays, nothing stored."""

import json
import re
from typing import Any

import pytest
from services.wallet.tests.conftest import Service
from sqlalchemy import text

from ledgerlink_contracts.ids import HoldId, TransferId, UserId
from ledgerlink_contracts.wallet.groups import GroupView


def posted(debit: str, credit: str, minor: int, **more: Any) -> dict[str, Any]:
    posting = {"debit": debit, "credit": credit, "amount_minor": minor, "currency": "GBP"}
    return {"transfer": {"kind": "test", "postings": [posting], **more}}


async def rows(service: Service) -> list[int]:
    tables = ("transfers", "entries", "holds", "outcomes", "outbox")
    async with service.db.reading() as view:
        return [int(await view.scalar(text(f"SELECT count(*) FROM {table}")) or 0) for table in tables]  # noqa: S608


async def group(service: Service, *items: dict[str, Any], key: str = "group", query: str = "") -> Any:
    return await service.call("POST", f"/transfers/groups{query}", {"items": list(items)}, Idempotency_Key=key)


async def test_a_group_of_every_kind_is_one_commit_and_the_same_again_the_same_bytes(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    # The accounts that the capture and the reversal touch stand before the group does.
    await group(service, posted("world", "merchant:m", 1), posted("world", "revenue:fees", 1), key="before")
    hold, transfer = str(HoldId.derive("h")), str(TransferId.derive("t"))
    items = [
        {"hold": {"id": hold, "wallet": wallet, "amount_minor": 300, "currency": "GBP"}},
        {"capture": {"hold": hold, "credit": "merchant:m", "amount_minor": 200, "final": False}},
        {"capture": {"hold": hold, "credit": "revenue:fees", "amount_minor": 50, "final": False}},
        posted(wallet, "merchant:m", 100, id=transfer),
        {"reversal": {"transfer": transfer, "parts": [{"posting": 0, "amount_minor": 40}]}},
    ]

    done = await group(service, *items)
    again = await group(service, *items)

    assert done.status_code == 201, done.text
    assert (again.content, again.headers["idempotency-replayed"]) == (done.content, "true")
    view = GroupView.model_validate(done.json())
    assert [len(item.model_fields_set) for item in view.items] == [1] * 5
    assert view.items[2].capture is not None
    assert view.items[2].capture.hold.remaining_minor == 50
    assert await service.available(wallet) == 1_000 - 200 - 50 - 100 + 40 - 50
    async with service.db.reading() as books:
        moments = await books.scalar(text("SELECT count(DISTINCT recorded_at) FROM transfers WHERE kind <> 'x'"))
    assert moments == 3
    assert (await service.audit())["clean"]


async def test_a_refused_group_leaves_nothing_but_its_refusals(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=100)
    before = await rows(service)
    items = [posted(wallet, "merchant:m", 60), posted(wallet, "merchant:m", 60), posted(wallet, "merchant:m", 1)]

    refused = await group(service, *items)
    await service.call(
        "POST", f"/wallets/{wallet}/credit", {"amount_minor": 500, "currency": "GBP"}, Idempotency_Key="more"
    )
    again = await group(service, *items)

    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["item"]) == (409, "insufficient-funds", 1)
    assert problem["available_minor"] == 40
    assert [one["code"] for one in problem["items"]] == ["linked-refused", "insufficient-funds", "linked-refused"]
    assert [one.get("item") for one in problem["items"]] == [1, None, 1]
    assert (again.status_code, again.content) == (409, refused.content)
    after = await rows(service)
    # One transfer, its entries, outcome and event are the credit's; the group left three outcomes.
    assert [now - then for now, then in zip(after, before, strict=True)] == [1, 2, 0, 4, 1]
    assert (await service.audit())["clean"]


async def test_another_group_under_the_key_is_refused_and_told_what_differs(service: Service) -> None:
    await group(service, posted("world", "merchant:m", 1), posted("world", "merchant:m", 2))

    other = await group(service, posted("world", "merchant:m", 1), posted("world", "merchant:m", 3))

    problem = other.json()
    assert (other.status_code, problem["code"]) == (422, "idempotency-key-reused")
    assert problem["differs"] == ["group.sha256"]


async def test_an_id_that_is_known_from_elsewhere_refuses_the_group_and_is_named(service: Service) -> None:
    id_ = str(TransferId.derive("known"))
    order = posted("world", "merchant:m", 1, id=id_)
    await service.call("POST", "/transfers", order["transfer"])

    refused = await group(service, posted("world", "merchant:m", 2), order)

    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["item"]) == (409, "id-reused", 1)
    assert problem["items"][0]["code"] == "linked-refused"
    assert (await service.audit())["clean"]


BAD: list[tuple[str, Any, str]] = [
    ("no items", {"items": []}, "items"),
    ("too many items", {"items": [posted("world", "merchant:m", 1)] * 101}, "items"),
    ("an item that orders nothing", {"items": [{}]}, "items"),
    (
        "an item that orders two things",
        {"items": [{**posted("world", "merchant:m", 1), "reversal": {"transfer": str(TransferId.derive("t"))}}]},
        "items",
    ),
    ("an unknown order", {"items": [{"wallet": {}}]}, "wallet"),
    ("a capture of nothing", {"items": [{"capture": {"credit": "merchant:m"}}]}, "hold"),
    ("a reversal of a hold", {"items": [{"reversal": {"transfer": str(HoldId.derive("h"))}}]}, "transfer"),
]


@pytest.mark.parametrize(("name", "body", "field"), BAD)
async def test_a_bad_group_is_refused_with_a_problem_that_names_the_field(
    service: Service, name: str, body: Any, field: str
) -> None:
    answer = await service.call("POST", "/transfers/groups", body, Idempotency_Key="bad")

    assert answer.status_code == 422, name
    assert any(field in error["path"] for error in answer.json()["errors"]), name


async def test_owners_do_not_link(service: Service, alice: str) -> None:
    body = {"items": [posted("world", "merchant:m", 1)]}

    answer = await service.call_as(alice, "POST", "/transfers/groups", body, "g")

    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")


async def test_a_dry_run_answers_as_the_real_one_stores_nothing_and_blocks_nothing(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice, funds=200)
    placed = {"wallet": wallet, "amount_minor": 40, "currency": "GBP"}
    hold = (await service.call("POST", "/holds", placed, Idempotency_Key="hold")).json()["id"]
    spent = posted(wallet, "merchant:m", 10)["transfer"]
    transfer = (await service.call("POST", "/transfers", spent, Idempotency_Key="t")).json()["id"]
    asked: list[tuple[str, dict[str, Any]]] = [
        ("/transfers", posted(wallet, "merchant:m", 20)["transfer"]),
        ("/holds", placed),
        (f"/holds/{hold}/capture", {"credit": "merchant:m"}),
        (f"/transfers/{transfer}/reverse", {}),
        ("/transfers/groups", {"items": [posted(wallet, "merchant:m", 5)]}),
    ]
    for path, body in asked:
        before = await rows(service)
        tried = await service.call("POST", f"{path}?dry_run=true", body, Idempotency_Key="dry")
        assert await rows(service) == before

        real = await service.call("POST", path, body, Idempotency_Key="dry")

        assert (tried.status_code, real.status_code) == (200, 201), tried.text
        assert {**without_moments(real.text), "dry_run": True} == without_moments(tried.text)
    assert (await service.audit())["clean"]


def without_moments(body: str) -> dict[str, Any]:
    """Leave out the moments at which the two were decided."""
    return json.loads(re.sub(r'("\w+_at":)"[^"]*"', r"\1null", body))


async def test_a_dry_run_is_refused_as_the_real_one_would_be(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=10)
    order = posted(wallet, "merchant:m", 20)

    alone = await service.call("POST", "/transfers?dry_run=true", order["transfer"], Idempotency_Key="a")
    linked = await group(service, order, order, query="?dry_run=1")
    none = await service.call("POST", "/transfers?dry_run=perhaps", order["transfer"], Idempotency_Key="a")

    for answer in (alone, linked):
        assert (answer.status_code, answer.json()["code"], answer.json()["dry_run"]) == (
            409,
            "insufficient-funds",
            True,
        )
    assert none.status_code == 422


async def test_an_owner_tries_a_transfer_and_sees_their_side_alone(service: Service, alice: str, bob: str) -> None:
    mine, theirs = await service.wallet(alice, funds=10), await service.wallet(bob)
    order = posted(mine, theirs, 5)["transfer"]

    answer = await service.call_as(alice, "POST", "/transfers?dry_run=true", order, "a")

    assert (answer.status_code, answer.json()["dry_run"]) == (200, True)
    assert [entry["party"] for entry in answer.json()["entries"]] == [mine]


async def test_on_behalf_of_holds_within_a_group(service: Service, alice: str, bob: str) -> None:
    wallet = await service.wallet(alice, funds=10)
    owner = str(UserId.parse(bob))

    refused = await group(service, posted(wallet, "merchant:m", 1, on_behalf_of=owner))

    assert (refused.status_code, refused.json()["code"]) == (404, "wallet-not-found")
