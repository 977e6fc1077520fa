"""Proves the ledger's own doors: transfers of many postings, reversals, holds, accounts, exports, trial balance."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.wallet.tests.conftest import Service

from ledgerlink_contracts.ids import HoldId, TransferId
from ledgerlink_contracts.wallet.models import (
    AccountPage,
    CaptureView,
    EntryPage,
    HoldState,
    HoldView,
    TransferPage,
    TransferView,
)
from ledgerlink_contracts.wallet.reports import TrialBalanceView
from ledgerlink_kit.ids import uuid8


def posting(debit: str, credit: str, minor: int, currency: str = "GBP") -> dict[str, Any]:
    return {"debit": debit, "credit": credit, "amount_minor": minor, "currency": currency}


async def post(service: Service, key: str, *postings: dict[str, Any], **more: Any) -> TransferView:
    order = {"kind": "test", "postings": list(postings), **more}
    answer = await service.call("POST", "/transfers", order, Idempotency_Key=key)
    assert answer.status_code == 201, answer.text
    return TransferView.model_validate_json(answer.content)


async def hold(service: Service, wallet: str, minor: int, **more: Any) -> HoldView:
    order = {"wallet": wallet, "amount_minor": minor, "currency": "GBP", **more}
    answer = await service.call("POST", "/holds", order, Idempotency_Key=f"hold {minor}")
    assert answer.status_code == 201, answer.text
    return HoldView.model_validate_json(answer.content)


async def test_a_transfer_of_many_postings_and_currencies_is_read_back_as_it_was_answered(service: Service) -> None:
    made = await post(
        service,
        "k",
        posting("clearing:sandbox", "merchant:m:pending", 10_000),
        posting("merchant:m:pending", "revenue:fees", 290),
        posting("fx:position", "merchant:n", 4_500, "KWD"),
        metadata={"row": "7"},
        reference="R-7",
        effective_at="2026-01-01T00:00:00+01:00",
    )
    read = TransferView.model_validate_json((await service.call("GET", f"/transfers/{made.id}")).content)

    assert read == made
    assert made.effective_at == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert [entry.version for entry in made.entries] == [1, 1, 2, 1, 1, 1]
    assert (await service.audit())["clean"]


async def test_a_reversal_names_its_cause_and_stops_at_what_was_posted(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice)
    made = await post(service, "k", posting("clearing:sandbox", wallet, 100))
    path = f"/transfers/{made.id}/reverse"
    part = await service.call("POST", path, {"parts": [{"posting": 0, "amount_minor": 30}]}, Idempotency_Key="part")
    too_much = await service.call(
        "POST", path, {"parts": [{"posting": 0, "amount_minor": 71}]}, Idempotency_Key="too-much"
    )
    rest = await service.call("POST", path, {}, Idempotency_Key="rest")
    again = await service.call("POST", path, {}, Idempotency_Key="rest")
    listed = TransferPage.model_validate_json((await service.call("GET", f"/transfers?reverses={made.id}")).content)

    assert TransferView.model_validate_json(part.content).reverses == made.id
    assert (too_much.status_code, too_much.json()["code"]) == (409, "reversal-exceeded")
    assert too_much.json()["reversible_minor"] == 70
    assert rest.json()["postings"][0]["amount_minor"] == 70
    assert again.content == rest.content
    assert len(listed.items) == 2
    assert await service.available(wallet) == 0
    assert (await service.audit())["clean"]


async def test_a_hold_is_captured_in_parts_and_what_is_left_is_released(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    placed = await hold(service, wallet, 600, on_behalf_of=alice)
    order = {"amount_minor": 200, "credit": "merchant:m", "final": False}
    captured = await service.call("POST", f"/holds/{placed.id}/capture", order, Idempotency_Key="c")
    again = await service.call("POST", f"/holds/{placed.id}/capture", order, Idempotency_Key="c")
    part = CaptureView.model_validate_json(captured.content)
    too_much = await service.call(
        "POST", f"/holds/{placed.id}/capture", {"amount_minor": 401, "credit": "merchant:m"}, Idempotency_Key="x"
    )
    released = await service.call("POST", f"/holds/{placed.id}/release")
    repeated = await service.call("POST", f"/holds/{placed.id}/release")
    read = HoldView.model_validate_json((await service.call_as(alice, "GET", f"/holds/{placed.id}")).content)

    assert placed.balance.available_minor == 400
    assert again.content == captured.content
    assert (part.hold.state, part.hold.remaining_minor) == (HoldState.PLACED, 400)
    assert part.transfer.hold == placed.id
    assert part.transfer.on_behalf_of == alice
    assert (too_much.json()["code"], too_much.json()["remaining_minor"]) == ("hold-exceeded", 400)
    assert HoldView.model_validate_json(released.content).state is HoldState.RELEASED
    assert repeated.json() == released.json()
    assert read.captured_minor == 200
    assert await service.available(wallet) == 800
    assert (await service.call("GET", f"/transfers/{part.transfer.id}")).json()["entries"] == [
        entry.model_dump(mode="json") for entry in part.transfer.entries
    ]
    assert (await service.audit())["clean"]


async def test_a_capture_may_pay_into_another_currency_through_extra_postings(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    placed = await hold(service, wallet, 1_000)
    order = {"credit": "fx:position", "postings": [posting("fx:position", "merchant:m", 1_250, "USD")]}
    answer = await service.call("POST", f"/holds/{placed.id}/capture", order, Idempotency_Key="c")

    view = CaptureView.model_validate_json(answer.content)
    assert view.hold.state is HoldState.CAPTURED
    assert [(p.credit, p.currency) for p in view.transfer.postings] == [("fx:position", "GBP"), ("merchant:m", "USD")]
    assert (await service.audit())["clean"]


async def test_a_hold_of_somebody_else_is_not_seen_and_unknown_ones_are_told_apart_by_nobody(
    service: Service, alice: str, bob: str
) -> None:
    wallet = await service.wallet(alice, funds=100)
    placed = await hold(service, wallet, 50)
    foreign = await service.call_as(bob, "GET", f"/holds/{placed.id}")
    unknown = await service.call_as(bob, "GET", f"/holds/{HoldId(uuid8('none'))}")
    past = {
        "wallet": wallet,
        "amount_minor": 1,
        "currency": "GBP",
        "expires_at": (datetime.now(UTC) - timedelta(seconds=1)).isoformat(),
    }
    late = await service.call("POST", "/holds", past, Idempotency_Key="late")

    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json()["code"] == unknown.json()["code"] == "hold-not-found"
    assert (late.status_code, late.json()["code"]) == (422, "hold-expires-in-the-past")


async def test_a_frozen_account_takes_nothing_until_it_is_thawed_and_a_closed_one_never_again(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice, funds=10)
    account = AccountPage.model_validate_json(
        (await service.call("GET", f"/accounts?code=wallet:{wallet}")).content
    ).items[0]
    debit = {"amount_minor": 10, "currency": "GBP"}
    frozen = await service.call("POST", f"/accounts/{account.id}/freeze")
    refused = await service.call_as(alice, "POST", f"/wallets/{wallet}/debit", debit, "1")
    full = await service.call("POST", f"/accounts/{account.id}/close")
    await service.call("POST", f"/accounts/{account.id}/unfreeze")
    emptied = await service.call_as(alice, "POST", f"/wallets/{wallet}/debit", debit, "2")
    closed = await service.call("POST", f"/accounts/{account.id}/close")
    gone = await service.call_as(alice, "POST", f"/wallets/{wallet}/credit", debit, "3")

    assert frozen.json()["state"] == "frozen"
    assert refused.json()["code"] == "account-frozen"
    assert full.json()["code"] == "account-not-empty"
    assert emptied.status_code == 201
    assert closed.json()["state"] == "closed"
    assert gone.json()["code"] == "account-closed"


async def test_accounts_and_transfers_are_exported_in_large_pages_without_gap_or_repeat(service: Service) -> None:
    for start in range(0, 250, 50):
        made = [posting("world", f"merchant:m{number:03}", number + 1) for number in range(start, start + 50)]
        await post(service, f"k{start}", *made)

    accounts: list[str] = []
    cursor = ""
    while True:
        answer = await service.call("GET", f"/accounts?limit=100&code=merchant{cursor}")
        page = AccountPage.model_validate_json(answer.content)
        accounts += [account.code for account in page.items]
        if page.next_cursor is None:
            break
        cursor = f"&cursor={page.next_cursor}"
    transfers = TransferPage.model_validate_json((await service.call("GET", "/transfers?limit=1000")).content)

    assert accounts == [f"merchant:m{number:03}" for number in range(250)]
    assert sum(len(transfer.postings) for transfer in transfers.items) == 250


async def test_transfers_are_found_by_kind_metadata_and_account_newest_first(service: Service) -> None:
    made = [
        await post(
            service,
            f"k{number}",
            posting("world", "merchant:a" if number % 2 else "merchant:b", 1),
            kind=f"kind{number % 3}",
            metadata={"parity": str(number % 2), "number": str(number)},
        )
        for number in range(9)
    ]

    async def found(query: str) -> list[int]:
        ids = {view.id: number for number, view in enumerate(made)}
        numbers: list[int] = []
        cursor = ""
        while True:
            answer = await service.call("GET", f"/transfers?limit=2&{query}{cursor}")
            page = TransferPage.model_validate_json(answer.content)
            numbers += [ids[item.id] for item in page.items]
            if page.next_cursor is None:
                return numbers
            cursor = f"&cursor={page.next_cursor}"

    assert await found("") == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert await found("kind=kind1") == [7, 4, 1]
    assert await found("metadata=parity:1") == [7, 5, 3, 1]
    assert await found("metadata=parity:1&metadata=number:5") == [5]
    assert await found("account=merchant:a&currency=GBP") == [7, 5, 3, 1]
    assert (await service.call("GET", "/transfers?account=merchant:zz&currency=GBP")).status_code == 404


async def test_an_owner_lists_the_transfers_of_their_own_wallet_only(service: Service, alice: str, bob: str) -> None:
    wallet = await service.wallet(alice, funds=10)
    mine = await service.call_as(alice, "GET", f"/transfers?account={wallet}&currency=GBP")
    foreign = await service.call_as(bob, "GET", f"/transfers?account={wallet}&currency=GBP")
    everything = await service.call_as(alice, "GET", "/transfers")
    transfer = mine.json()["items"][0]["id"]
    hidden = await service.call_as(bob, "GET", f"/transfers/{transfer}")
    unknown = await service.call_as(bob, "GET", f"/transfers/{TransferId(uuid8('none'))}")

    assert len(mine.json()["items"]) == 1
    assert foreign.status_code == 404
    assert (everything.status_code, everything.json()["code"]) == (400, "account-needed")
    assert hidden.status_code == unknown.status_code == 404
    assert hidden.json()["code"] == unknown.json()["code"]


async def test_entries_run_without_a_gap_and_the_trial_balance_balances(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=500)
    await hold(service, wallet, 100)
    await post(service, "k", posting(wallet, "merchant:m", 50), posting("world", "merchant:m", 3, "JPY"))
    account = (await service.call("GET", f"/accounts?code=wallet:{wallet}")).json()["items"][0]["id"]
    first = EntryPage.model_validate_json((await service.call("GET", f"/accounts/{account}/entries?limit=2")).content)
    rest = EntryPage.model_validate_json(
        (await service.call("GET", f"/accounts/{account}/entries?limit=2&cursor={first.next_cursor}")).content
    )
    trial = TrialBalanceView.model_validate_json((await service.call("GET", "/trial-balance")).content)

    assert [entry.version for entry in first.items + rest.items] == [1, 2, 3]
    assert [entry.layer.value for entry in first.items + rest.items] == ["posted", "pending", "posted"]
    assert rest.items[-1].available_minor == 350
    assert trial.balanced
    assert {total.currency: total.debits_posted_minor for total in trial.totals} == {"GBP": 550, "JPY": 3}
    assert {(root.root, root.currency): root.posted_minor for root in trial.roots}[("wallet", "GBP")] == 450


async def test_metrics_count_credits_debits_replays_refusals_and_batches(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=5)
    body = {"amount_minor": 4, "currency": "GBP"}
    for key in ("a", "a", "b"):
        await service.call_as(alice, "POST", f"/wallets/{wallet}/debit", body, key)
    text = (await service.client.get("/metrics")).text

    for name in (
        'ledgerlink_wallet_credits_total{currency="GBP"}',
        'ledgerlink_wallet_debits_total{currency="GBP"}',
        "ledgerlink_wallet_idempotency_replays_total",
        'ledgerlink_wallet_refusals_total{code="insufficient-funds"}',
        "ledgerlink_wallet_batch_commands_bucket",
        "ledgerlink_wallet_queue_commands",
    ):
        assert name in text
