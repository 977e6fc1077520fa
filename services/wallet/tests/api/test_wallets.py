"""Proves what a person can do with their wallets, and that nobody can do it with somebody else's."""

import asyncio

from services.wallet.tests.conftest import MakeDatabase, Service, run_service

from ledgerlink_contracts.ids import UserId, WalletId
from ledgerlink_contracts.wallet.models import (
    StatementView,
    TransferView,
    WalletBalanceView,
    WalletMovementView,
    WalletView,
)
from ledgerlink_kit.ids import uuid8
from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_kit.testing import assert_every_route_is_guarded
from ledgerlink_wallet.api.checkpoints import PUBLIC_ROUTES


def amount(minor: int, currency: str = "GBP") -> dict[str, object]:
    return {"amount_minor": minor, "currency": currency}


async def test_a_wallet_is_opened_credited_debited_and_read(service: Service, alice: str) -> None:
    opened = await service.call_as(alice, "POST", "/wallets", {"currency": "gbp", "label": "Holidays"}, "w")
    wallet = WalletView.model_validate_json(opened.content)
    credited = await service.call_as(alice, "POST", f"/wallets/{wallet.id}/credit", amount(1_000), "c")
    debited = await service.call_as(alice, "POST", f"/wallets/{wallet.id}/debit", amount(300), "d")
    balance = await service.call_as(alice, "GET", f"/wallets/{wallet.id}/balance")

    assert opened.status_code == credited.status_code == debited.status_code == 201
    assert (wallet.owner, wallet.currency, wallet.label) == (alice, "GBP", "Holidays")
    assert WalletMovementView.model_validate_json(debited.content).balance.available_minor == 700
    assert WalletBalanceView.model_validate_json(balance.content).posted_minor == 700
    assert (await service.audit())["clean"]


async def test_creating_a_wallet_twice_with_one_key_opens_one_wallet(service: Service, alice: str) -> None:
    answers = await asyncio.gather(
        *(service.call_as(alice, "POST", "/wallets", {"currency": "GBP"}, "same") for _ in range(10))
    )
    listed = (await service.call_as(alice, "GET", "/wallets")).json()["items"]
    other = await service.call_as(alice, "POST", "/wallets", {"currency": "USD"}, "same")

    assert len({answer.content for answer in answers}) == 1
    assert len(listed) == 1
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency-key-reused"
    assert other.json()["differs"] == ["currency"]


async def test_fifty_concurrent_requests_with_one_key_have_one_effect_and_one_answer(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice, funds=10_000)
    answers = await asyncio.gather(
        *(service.call_as(alice, "POST", f"/wallets/{wallet}/debit", amount(70), "once") for _ in range(50))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum(answer.headers.get("Idempotency-Replayed") == "true" for answer in answers) == 49
    assert await service.available(wallet) == 9_930


async def test_the_same_key_with_another_body_is_refused_and_says_what_differs(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    await service.call_as(alice, "POST", f"/wallets/{wallet}/debit", amount(70), "once")
    other = await service.call_as(alice, "POST", f"/wallets/{wallet}/debit", amount(71), "once")

    assert other.status_code == 422
    assert other.json()["code"] == "idempotency-key-reused"
    assert other.json()["differs"] == ["postings.0.amount_minor"]
    assert other.headers["content-type"] == "application/problem+json"
    assert await service.available(wallet) == 930


async def test_a_thousand_concurrent_debits_with_funds_for_five_hundred_end_in_exactly_five_hundred(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice, funds=500)
    answers = await asyncio.gather(
        *(service.call_as(alice, "POST", f"/wallets/{wallet}/debit", amount(1), f"debit {i}") for i in range(1_000))
    )
    refused = [answer.json() for answer in answers if answer.status_code == 409]

    assert sum(answer.status_code == 201 for answer in answers) == 500
    assert len(refused) == 500
    assert {problem["code"] for problem in refused} == {"insufficient-funds"}
    assert all(problem["available_minor"] == 0 and problem["currency"] == "GBP" for problem in refused)
    assert await service.available(wallet) == 0
    assert (await service.audit())["clean"]


async def test_a_refusal_is_replayed_byte_for_byte(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=10)
    path = f"/wallets/{wallet}/debit"
    first = await service.call_as(alice, "POST", path, amount(11), "too much")
    await service.call("POST", f"/wallets/{wallet}/credit", amount(100), Idempotency_Key="more")
    again = await service.call_as(alice, "POST", path, amount(11), "too much")

    assert first.status_code == again.status_code == 409
    assert first.content == again.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["content-type"] == "application/problem+json"


async def test_money_moves_between_wallets_and_the_sender_does_not_see_the_receivers_balance(
    service: Service, alice: str, bob: str
) -> None:
    mine, theirs = await service.wallet(alice, funds=1_000), await service.wallet(bob, funds=5_555)
    order = {"to": theirs, **amount(250)}
    moved = await service.call_as(alice, "POST", f"/wallets/{mine}/transfer", order, "t")
    transfer = WalletMovementView.model_validate_json(moved.content).transfer
    as_bob = TransferView.model_validate_json((await service.call_as(bob, "GET", f"/transfers/{transfer.id}")).content)

    assert moved.status_code == 201
    assert [entry.party for entry in transfer.entries] == [mine]
    assert [entry.party for entry in as_bob.entries] == [theirs]
    assert b"5805" not in moved.content
    assert (await service.available(mine), await service.available(theirs)) == (750, 5_805)


async def test_somebody_elses_wallet_is_answered_like_one_that_does_not_exist(
    service: Service, alice: str, bob: str
) -> None:
    wallet, nowhere = await service.wallet(bob, funds=100), str(WalletId(uuid8("nowhere")))
    for method, path, body in (
        ("GET", "/wallets/{}", None),
        ("GET", "/wallets/{}/balance", None),
        ("GET", "/wallets/{}/statement", None),
        ("POST", "/wallets/{}/credit", amount(5)),
        ("POST", "/wallets/{}/debit", amount(5)),
        ("POST", "/wallets/{}/transfer", {"to": wallet, **amount(5)}),
    ):
        real = await service.call_as(alice, method, path.format(wallet), body, "k1")
        none = await service.call_as(alice, method, path.format(nowhere), body, "k2")

        assert real.status_code == none.status_code == 404, path
        assert real.json()["code"] == none.json()["code"] == "wallet-not-found", path
    assert await service.available(wallet) == 100


async def test_owners_cannot_fund_themselves_unless_the_operator_allows_it(
    make_database: MakeDatabase, alice: str
) -> None:
    async with run_service(await make_database("ledgerlink_wallet"), self_funding=False) as service:
        wallet = await service.wallet(alice)
        refused = [
            await service.call_as(alice, "POST", f"/wallets/{wallet}/{verb}", amount(5), verb)
            for verb in ("credit", "debit")
        ]
        trusted = await service.call("POST", f"/wallets/{wallet}/credit", amount(5), Idempotency_Key="k")

    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(403, "self-funding-disabled")}
    assert trusted.status_code == 201


async def test_a_statement_pages_from_the_newest_with_opening_running_and_closing_balance(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice)
    for number in range(1, 8):
        await service.call_as(alice, "POST", f"/wallets/{wallet}/credit", amount(number), f"c{number}")
    await service.call_as(alice, "POST", f"/wallets/{wallet}/debit", amount(3), "d")

    pages: list[StatementView] = []
    cursor = ""
    while True:
        path = f"/wallets/{wallet}/statement?limit=3{cursor}"
        page = StatementView.model_validate_json((await service.call_as(alice, "GET", path)).content)
        pages.append(page)
        if page.next_cursor is None:
            break
        cursor = f"&cursor={page.next_cursor}"

    lines = [line for page in pages for line in page.lines]
    assert [line.change_minor for line in lines] == [-3, 7, 6, 5, 4, 3, 2, 1]
    assert [(page.opening_minor, page.closing_minor) for page in pages] == [(15, 25), (3, 15), (0, 3)]
    assert {line.counterparty for line in lines} == {"world"}
    assert lines[0].posted_minor == 25


async def test_an_empty_statement_opens_and_closes_at_zero(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice)
    page = (await service.call_as(alice, "GET", f"/wallets/{wallet}/statement?currency=JPY")).json()

    assert (page["opening_minor"], page["closing_minor"], page["lines"], page["currency"]) == (0, 0, [], "JPY")


async def test_a_wallet_holds_currencies_with_any_number_of_decimals(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, "GBP")
    path = f"/wallets/{wallet}"
    for currency in ("JPY", "GBP", "KWD", "CLF"):
        await service.call_as(alice, "POST", f"{path}/credit", amount(1_001, currency), f"c{currency}")
        await service.call_as(alice, "POST", f"{path}/debit", amount(1, currency), f"d{currency}")
        balance = (await service.call_as(alice, "GET", f"{path}/balance?currency={currency.lower()}")).json()

        assert (balance["currency"], balance["posted_minor"]) == (currency, 1_000)
    assert len(balance["balances"]) == 4
    assert (await service.audit())["clean"]


async def test_the_largest_amount_moves_exactly_and_one_more_is_refused(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice)
    most = await service.call_as(alice, "POST", f"/wallets/{wallet}/credit", amount(MAX_MINOR), "most")
    more = await service.call_as(alice, "POST", f"/wallets/{wallet}/credit", amount(1), "more")
    balance = (await service.call_as(alice, "GET", f"/wallets/{wallet}/balance")).json()

    assert most.status_code == 201
    assert (more.status_code, more.json()["code"]) == (409, "balance-limit")
    assert balance["posted_minor"] == MAX_MINOR == 9_007_199_254_740_991


async def test_wallets_are_listed_in_pages_with_their_owners_only(service: Service, alice: str, bob: str) -> None:
    mine = [await service.wallet(alice, key=f"w{number}") for number in range(5)]
    await service.wallet(bob)
    first = (await service.call_as(alice, "GET", "/wallets?limit=3")).json()
    rest = (await service.call_as(alice, "GET", f"/wallets?limit=3&cursor={first['next_cursor']}")).json()

    assert [one["id"] for one in first["items"] + rest["items"]] == mine
    assert rest["next_cursor"] is None


def test_every_route_demands_a_caller(service: Service) -> None:
    assert_every_route_is_guarded(service.app, PUBLIC_ROUTES)


async def test_a_token_without_the_scope_is_refused_and_told_which_one(service: Service, alice: str) -> None:
    headers = service.headers(alice, ("profile:read",))
    for method, path, needs in (
        ("POST", "/wallets", "wallet:write"),
        ("GET", "/wallets", "wallet:read"),
        ("POST", "/transfers", "wallet:write"),
        ("GET", "/transfers", "wallet:read"),
        ("POST", "/holds", "ledger:write"),
        ("GET", "/accounts", "ledger:read"),
        ("GET", "/trial-balance", "ledger:read"),
        ("GET", "/audit", "ledger:audit"),
    ):
        body: dict[str, object] | None = {} if method == "POST" else None
        answer = await service.client.request(method, path, json=body, headers=headers)
        nobody = await service.client.request(method, path, json=body)

        assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing"), path
        assert needs in answer.json()["missing"], path
        assert nobody.status_code == 401, path


async def test_a_service_that_acts_for_a_user_moves_only_that_users_money(
    service: Service, alice: str, bob: str
) -> None:
    wallet = await service.wallet(alice, funds=100)
    posting = {"debit": wallet, "credit": "merchant:m", **amount(10)}
    order = {"kind": "payment", "postings": [posting], "on_behalf_of": bob}
    refused = await service.call("POST", "/transfers", order, Idempotency_Key="1")
    done = await service.call("POST", "/transfers", {**order, "on_behalf_of": alice}, Idempotency_Key="2")

    assert (refused.status_code, refused.json()["code"]) == (404, "wallet-not-found")
    assert done.status_code == 201
    assert str(UserId.derive("alice")) == done.json()["on_behalf_of"]
