"""Proves bulk orders: each transfer for itself, one commit, the same order again is the same transfers, and what a
caller is told of each.
"""

from typing import Any

from services.wallet.tests.conftest import Service
from sqlalchemy import text

from ledgerlink_contracts.ids import TransferId
from ledgerlink_contracts.wallet.bulk import BULK_TRANSFERS_MAX, BulkView
from ledgerlink_contracts.wallet.models import TransferView


def transfer(debit: str, credit: str, amount: int, **more: Any) -> dict[str, Any]:
    posting = {"debit": debit, "credit": credit, "amount_minor": amount, "currency": "GBP"}
    return {"kind": "test", "postings": [posting], **more}


async def test_one_refused_transfer_does_not_touch_its_neighbors(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=100)
    orders = [transfer("world", wallet, 5), transfer(wallet, "world", 1_000), transfer(wallet, "world", 105)]
    answer = await service.call("POST", "/transfers/bulk", {"transfers": orders}, Idempotency_Key="b")
    view = BulkView.model_validate_json(answer.content)

    assert answer.status_code == 200
    assert [item.status for item in view.items] == [201, 409, 201]
    assert (view.posted, view.refused) == (2, 1)
    refused = view.items[1].problem
    assert refused is not None
    assert (refused["code"], refused["available_minor"]) == ("insufficient-funds", 105)
    assert await service.available(wallet) == 0
    assert (await service.audit())["clean"]


async def test_each_item_is_what_the_transfer_is_read_back_as(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice)
    orders = [transfer("world", wallet, amount, metadata={"b": "2", "a": "1"}) for amount in (1, 2, 3)]
    answer = await service.call("POST", "/transfers/bulk", {"transfers": orders}, Idempotency_Key="b")
    items = BulkView.model_validate_json(answer.content).items

    assert [item.transfer.entries[1].posted_minor for item in items if item.transfer] == [1, 3, 6]
    for item in items:
        assert item.transfer is not None
        read = await service.call("GET", f"/transfers/{item.transfer.id}")
        assert TransferView.model_validate_json(read.content) == item.transfer


async def test_the_same_bulk_order_again_is_the_same_transfers_and_the_same_bytes(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice)
    orders = {"transfers": [transfer("world", wallet, 7, metadata={"z": "1", "a": "2"}) for _ in range(30)]}
    first = await service.call("POST", "/transfers/bulk", orders, Idempotency_Key="b")
    again = await service.call("POST", "/transfers/bulk", orders, Idempotency_Key="b")

    assert again.content == first.content
    assert await service.available(wallet) == 210


async def test_every_way_to_order_a_plain_transfer_is_answered_again_from_its_facts(
    service: Service, alice: str
) -> None:
    """What was asked is read off the transfer: each field that an order may have must come out as it went in."""
    wallet = await service.wallet(alice, funds=1_000)
    labels = {"zeta": "1", "alpha": 'ü \u2028 \\ "quoted"', "m": ""}
    orders = [
        transfer("world", wallet, 5),
        transfer(wallet, "world", 5, on_behalf_of=alice),
        transfer("world", "merchant:m:pending", 5, reference="R \t 1", metadata=labels),
        transfer(wallet, "merchant:m", 5, on_behalf_of=alice, reference="ü", metadata={"k": "v"}),
    ]
    orders[0]["postings"] += orders[2]["postings"]
    for number, order in enumerate(orders):
        first, again = [await service.call("POST", "/transfers", order, Idempotency_Key=f"{number}") for _ in "12"]
        other = await service.call("POST", "/transfers", {**order, "kind": "other"}, Idempotency_Key=f"{number}")

        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert other.json()["differs"] == ["kind"]


async def test_an_id_used_for_something_else_is_refused_alone_and_its_fields_named(service: Service) -> None:
    id_ = str(TransferId.derive("one"))
    first = {"transfers": [transfer("world", "merchant:m", 7, id=id_, reference="r")]}
    other = {"transfers": [transfer("world", "merchant:m", 8, id=id_), transfer("world", "merchant:n", 1)]}
    await service.call("POST", "/transfers/bulk", first)
    answer = await service.call("POST", "/transfers/bulk", other, Idempotency_Key="b")
    view = BulkView.model_validate_json(answer.content)

    assert [item.status for item in view.items] == [409, 201]
    assert view.items[0].problem is not None
    assert view.items[0].problem["differs"] == ["postings.0.amount_minor", "reference"]


async def test_a_caller_who_prefers_less_gets_ids_alone(service: Service) -> None:
    orders = {"transfers": [transfer("world", "merchant:m", 7), transfer("world", "merchant:m", 2**53)][:1]}
    answer = await service.call("POST", "/transfers/bulk", orders, Idempotency_Key="b", Prefer="return=minimal")
    (item,) = BulkView.model_validate_json(answer.content).items

    assert answer.headers["Preference-Applied"] == "return=minimal"
    assert item.transfer is None
    assert (await service.call("GET", f"/transfers/{item.id}")).status_code == 200


async def test_a_full_bulk_order_is_one_commit(service: Service) -> None:
    orders = {"transfers": [transfer("world", f"merchant:m{number}", 1) for number in range(BULK_TRANSFERS_MAX)]}
    answer = await service.call("POST", "/transfers/bulk", orders, Idempotency_Key="b")
    async with service.db.reading() as view:
        moments = await view.scalar(text("SELECT count(DISTINCT recorded_at) FROM transfers"))

    assert answer.json()["posted"] == BULK_TRANSFERS_MAX
    assert moments == 1
    assert (await service.audit())["clean"]


async def test_a_bulk_order_that_cannot_be_read_is_refused_whole_with_the_place_named(service: Service) -> None:
    bad = [transfer("world", "merchant:m", 1), transfer("world", "merchant:m", -1)]
    many = [transfer("world", "merchant:m", 1)] * (BULK_TRANSFERS_MAX + 1)
    refused = await service.call("POST", "/transfers/bulk", {"transfers": bad}, Idempotency_Key="b")
    too_many = await service.call("POST", "/transfers/bulk", {"transfers": many}, Idempotency_Key="c")
    keyless = await service.call("POST", "/transfers/bulk", {"transfers": bad[:1]})
    empty = await service.call("POST", "/transfers/bulk", {"transfers": []}, Idempotency_Key="d")

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["path"] == "body.transfers.1.postings.0.amount_minor"
    assert (too_many.status_code, empty.status_code) == (422, 422)
    assert (keyless.status_code, keyless.json()["code"]) == (400, "idempotency-key-missing")
    async with service.db.reading() as view:
        assert await view.scalar(text("SELECT count(*) FROM transfers")) == 0


async def test_only_those_who_may_write_the_ledger_post_in_bulk(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=10)
    answer = await service.call_as(alice, "POST", "/transfers/bulk", {"transfers": [transfer(wallet, wallet, 1)]}, "k")

    assert answer.status_code == 403
