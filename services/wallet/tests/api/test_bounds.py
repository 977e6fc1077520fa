"""Proves the doors to bounds and conditions: opening accounts, floors and ceilings in effect, refusals with numbers."""

from typing import Any

from services.wallet.tests.conftest import Service

from ledgerlink_contracts.wallet.models import AccountView


def posting(debit: str, credit: str, minor: int) -> dict[str, Any]:
    return {"debit": debit, "credit": credit, "amount_minor": minor, "currency": "GBP"}


def order(debit: str, credit: str, minor: int, *conditions: dict[str, Any]) -> dict[str, Any]:
    more = {"conditions": list(conditions)} if conditions else {}
    return {"kind": "test", "postings": [posting(debit, credit, minor)], **more}


async def test_an_account_is_opened_with_its_bounds_and_the_same_again_changes_nothing(service: Service) -> None:
    asked = {"code": "merchant:m", "currency": "gbp", "floor_minor": -100, "ceiling_minor": 1_000}

    opened = await service.call("POST", "/accounts", asked)
    again = await service.call("POST", "/accounts", asked)
    other = await service.call("POST", "/accounts", {**asked, "floor_minor": 0})

    assert (opened.status_code, again.status_code, other.status_code) == (201, 200, 409)
    view = AccountView.model_validate(opened.json())
    assert (view.floor_minor, view.ceiling_minor, view.version, view.currency) == (-100, 1_000, 0, "GBP")
    assert again.json() == opened.json()
    assert (await service.call("GET", f"/accounts/{view.id}")).json() == opened.json()
    assert other.json()["code"] == "account-exists"
    assert (other.json()["floor_minor"], other.json()["ceiling_minor"]) == (-100, 1_000)
    assert (await service.audit())["clean"]


async def test_only_a_writer_of_the_ledger_opens_accounts(service: Service, alice: str) -> None:
    answer = await service.call_as(alice, "POST", "/accounts", {"code": "merchant:m", "currency": "GBP"})

    assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing")


async def test_a_floor_and_a_ceiling_hold_and_their_refusals_name_the_numbers(service: Service) -> None:
    await service.call(
        "POST", "/accounts", {"code": "merchant:m", "currency": "GBP", "floor_minor": -100, "ceiling_minor": 50}
    )
    asked = [
        order("merchant:m", "revenue:fees", 100),
        order("merchant:m", "revenue:fees", 1),
        order("world", "merchant:m", 150),
        order("world", "merchant:m", 1),
    ]
    answers = [
        await service.call("POST", "/transfers", one, Idempotency_Key=f"key {number}")
        for number, one in enumerate(asked)
    ]

    assert [answer.status_code for answer in answers] == [201, 409, 201, 409]
    below, above = answers[1].json(), answers[3].json()
    assert (below["code"], below["available_minor"], below["floor_minor"]) == ("floor", -100, -100)
    assert (above["code"], above["posted_minor"], above["ceiling_minor"]) == ("ceiling", 50, 50)
    assert (await service.audit())["clean"]


async def test_a_wallets_floor_is_never_below_zero_and_its_account_may_have_a_ceiling(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice)

    overdraft = await service.call("POST", "/accounts", {"code": wallet, "currency": "EUR", "floor_minor": -1})
    capped = await service.call("POST", "/accounts", {"code": wallet, "currency": "EUR", "ceiling_minor": 5})
    too_much = await service.call(
        "POST",
        f"/wallets/{wallet}/credit",
        {"amount_minor": 6, "currency": "EUR"},
        Idempotency_Key="credit",
    )

    assert (overdraft.status_code, overdraft.json()["code"]) == (422, "wallet-floor")
    assert capped.status_code == 201
    assert too_much.json()["code"] == "ceiling"


async def test_a_condition_that_fails_names_itself_and_the_number_and_moves_nothing(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice, funds=100)
    met = {"account": wallet, "currency": "GBP", "available_at_least": 100}
    unmet = {"account": "merchant:m", "currency": "GBP", "version": 3}

    refused = await service.call("POST", "/transfers", order(wallet, "merchant:m", 10, met, unmet), Idempotency_Key="a")
    done = await service.call("POST", "/transfers", order(wallet, "merchant:m", 10, met), Idempotency_Key="b")
    again = await service.call("POST", "/transfers", order(wallet, "merchant:m", 10, met), Idempotency_Key="b")
    other = await service.call("POST", "/transfers", order(wallet, "merchant:m", 10, met, unmet), Idempotency_Key="b")

    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["condition"]) == (409, "condition-failed", 1)
    assert (problem["party"], problem["predicate"], problem["expected"], problem["actual"]) == (
        "merchant:m",
        "version",
        3,
        0,
    )
    assert (done.status_code, again.content) == (201, done.content)
    assert (other.json()["code"], other.json()["differs"]) == ("idempotency-key-reused", ["conditions"])
    assert (await service.audit())["clean"]


async def test_holds_captures_and_reversals_take_conditions(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=100)
    unmet = {"conditions": [{"account": wallet, "currency": "GBP", "pending_at_least": 50}]}
    met = {"conditions": [{"account": wallet, "currency": "GBP", "pending_at_most": 50}]}

    async def both(path: str, body: dict[str, Any]) -> dict[str, Any]:
        refused = await service.call("POST", path, {**body, **unmet}, Idempotency_Key=f"no {path}")
        assert refused.json()["code"] == "condition-failed", refused.text
        done = await service.call("POST", path, {**body, **met}, Idempotency_Key=f"yes {path}")
        assert done.status_code == 201, done.text
        answer: dict[str, Any] = done.json()
        return answer

    hold = await both("/holds", {"wallet": wallet, "amount_minor": 40, "currency": "GBP"})
    captured = await both(f"/holds/{hold['id']}/capture", {"credit": "merchant:m", "amount_minor": 30})
    await both(f"/transfers/{captured['transfer']['id']}/reverse", {})

    assert await service.available(wallet) == 100
    assert (await service.audit())["clean"]


async def test_an_owner_sets_conditions_on_their_own_wallets_alone(service: Service, alice: str, bob: str) -> None:
    mine, theirs = await service.wallet(alice, funds=100), await service.wallet(bob, funds=70)

    def on(account: str) -> dict[str, Any]:
        return order(mine, theirs, 1, {"account": account, "currency": "GBP", "available_at_least": 71})

    own = await service.call_as(alice, "POST", "/transfers", on(mine), "a")
    other = await service.call_as(alice, "POST", "/transfers", on(theirs), "b")
    chart = await service.call_as(alice, "POST", "/transfers", on("world"), "c")

    assert own.status_code == 201
    assert (other.status_code, other.json()["code"]) == (404, "wallet-not-found")
    assert (chart.status_code, chart.json()["code"]) == (403, "ledger-write-needed")
