"""Proves what people meet at the gateway of a running LedgerLink: wallets, payments, reviews, one effect per key."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.system.conftest import Journey

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("stack"), pytest.mark.timeout(300)]


def until(look: Callable[[], Any], wanted: Callable[[Any], bool], seconds: float = 60) -> Any:
    """Look again until the answer is the one that is wanted."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if wanted(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.2)


def merchant(admin: Journey) -> str:
    made = admin.post("/v1/accounts", data={"business_profile[name]": "Corner shop"})
    assert made.status_code == 200, made.text
    return str(made.json()["id"])


def payment(amount: int, source: str, destination: str, currency: str = "gbp", **more: str) -> dict[str, str]:
    return {
        "amount": str(amount),
        "currency": currency,
        "payment_method": source,
        "transfer_data[destination]": destination,
        "confirm": "true",
        **more,
    }


def test_the_briefs_flow_leaves_the_balance_it_should(ada: Journey) -> None:
    wallet = ada.wallet(10_000)
    debit = {"amount_minor": 2_500, "currency": "GBP"}
    first = ada.post(f"/api/v1/wallets/{wallet}/debit", json=debit, key="once")
    again = ada.post(f"/api/v1/wallets/{wallet}/debit", json=debit, key="once")
    assert (first.status_code, again.status_code, first.content) == (201, 201, again.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert ada.available(wallet) == 7_500


def test_a_debit_above_the_balance_tells_what_is_available(ada: Journey) -> None:
    wallet = ada.wallet(100)
    refused = ada.post(f"/api/v1/wallets/{wallet}/debit", json={"amount_minor": 101, "currency": "GBP"})
    assert (refused.status_code, refused.json()["code"]) == (409, "insufficient-funds")
    assert refused.json()["available_minor"] == 100
    assert refused.headers["content-type"] == "application/problem+json"


def test_somebody_elses_wallet_does_not_exist(ada: Journey, anybody: Journey) -> None:
    wallet = ada.wallet()
    stranger = anybody.newcomer()
    assert stranger.get(f"/api/v1/wallets/{wallet}/balance").status_code == 404
    assert anybody.get(f"/api/v1/wallets/{wallet}/balance").status_code == 401


def fifty_times(send: Callable[[], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(50) as pool:
        return [job.result() for job in [pool.submit(send) for _ in range(50)]]


def settled(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Send until the answer is final: a request still in flight says so, with Retry-After."""
    return until(send, lambda answer: answer.status_code not in {409, 503} or "retry-after" not in answer.headers)


def test_fifty_credits_with_one_key_are_one_credit(ada: Journey) -> None:
    wallet = ada.wallet()
    body = {"amount_minor": 700, "currency": "GBP"}
    answers = fifty_times(lambda: settled(lambda: ada.post(f"/api/v1/wallets/{wallet}/credit", json=body, key="one")))
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert ada.available(wallet) == 700
    other = ada.post(f"/api/v1/wallets/{wallet}/credit", json={**body, "amount_minor": 701}, key="one")
    assert other.status_code == 422
    assert "amount_minor" in str(other.json()["differs"])


def test_fifty_payments_with_one_key_are_one_payment(ada: Journey, admin: Journey) -> None:
    wallet, shop = ada.wallet(10_000), merchant(admin)
    form = payment(300, wallet, shop)
    answers = fifty_times(lambda: settled(lambda: ada.post("/v1/payment_intents", data=form, key="one")))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert ada.available(wallet) == 9_700
    other = ada.post("/v1/payment_intents", data={**form, "amount": "301"}, key="one")
    assert other.status_code in {400, 409, 422}
    assert "amount" in str(other.json()["differs"])


def test_a_card_fills_a_wallet_that_pays_a_merchant_who_is_paid_out(ada: Journey, admin: Journey) -> None:
    wallet, shop = ada.wallet(), merchant(admin)
    top_up = ada.post("/v1/payment_intents", data=payment(5_000, "pm_card_visa", wallet))
    assert (top_up.status_code, top_up.json()["status"]) == (200, "succeeded"), top_up.text
    paid = ada.post("/v1/payment_intents", data=payment(3_000, wallet, shop))
    assert paid.json()["status"] == "succeeded", paid.text
    refund = admin.post("/v1/refunds", data={"payment_intent": paid.json()["id"], "amount": "1000"})
    assert refund.status_code == 200, refund.text
    assert ada.available(wallet) == 3_000
    headers = {"Stripe-Account": shop, "Idempotency-Key": shop}
    payout = admin.http.post("/v1/payouts", data={"amount": "2000", "currency": "gbp"}, headers=headers)
    assert payout.status_code == 200, payout.text

    def look() -> str:
        found = admin.http.get(f"/v1/payouts/{payout.json()['id']}", headers={"Stripe-Account": shop})
        return str(found.json()["status"])

    assert until(look, lambda status: status == "paid") == "paid"


def test_a_declined_card_is_told_so_and_moves_nothing(ada: Journey) -> None:
    wallet = ada.wallet()
    declined = ada.post("/v1/payment_intents", data=payment(500, "pm_card_chargeDeclined", wallet))
    assert (declined.status_code, declined.json()["error"]["code"]) == (402, "card_declined")
    assert ada.available(wallet) == 0


def test_a_card_whose_answer_was_lost_is_looked_up_and_charged_once(ada: Journey) -> None:
    wallet = ada.wallet()
    sent = ada.post("/v1/payment_intents", data=payment(900, "pm_card_timeoutAfterCommit", wallet), key="lost")
    assert sent.status_code == 200, sent.text
    intent = sent.json()["id"]
    found = until(lambda: ada.get(f"/v1/payment_intents/{intent}").json(), lambda it: it["status"] == "succeeded", 120)
    assert found["status"] == "succeeded"
    assert ada.available(wallet) == 900


@pytest.mark.parametrize(("resolution", "status", "left"), [("approve", "succeeded", 0), ("decline", None, 6_000_000)])
def test_a_large_payment_waits_for_a_person_and_ends_as_they_decide(
    ada: Journey, admin: Journey, resolution: str, status: str | None, left: int
) -> None:
    wallet, shop = ada.wallet(6_000_000), merchant(admin)
    sent = ada.post("/v1/payment_intents", data=payment(6_000_000, wallet, shop)).json()
    assert sent["status"] == "processing"
    assert ada.available(wallet) in {0, 6_000_000}
    case = sent["review"]
    answer = admin.post(f"/api/v1/risk/cases/{case}/resolve", json={"resolution": resolution, "note": "Looked at it."})
    assert answer.status_code == 200, answer.text
    found = until(
        lambda: ada.get(f"/v1/payment_intents/{sent['id']}").json(), lambda intent: intent["status"] != "processing"
    )
    assert found["status"] == (status or "requires_payment_method")
    assert ada.available(wallet) == left


def test_card_numbers_never_pass_the_edge(ada: Journey) -> None:
    refused = ada.post("/v1/payment_intents", json={"amount": 1, "card": {"number": "4242 4242 4242 4242"}})
    assert refused.status_code == 400
    assert "card_data_not_allowed" in refused.text
    assert "4242" not in refused.text


def test_the_overview_composes_me_wallets_transfers_and_intents(ada: Journey, admin: Journey) -> None:
    wallet = ada.wallet(1_000)
    answer = ada.get("/api/v1/overview")
    assert answer.status_code == 200
    text = answer.text
    assert wallet in text
    assert ada.get("/api/v1/auth/me").json()["email"] in text


def test_the_merged_documentation_names_the_paths_of_every_service(anybody: Journey) -> None:
    paths = anybody.get("/openapi.json").json()["paths"]
    for path in ("/api/v1/auth/register", "/api/v1/wallets", "/v1/payment_intents", "/api/v1/risk/decisions"):
        assert path in paths
    assert anybody.get("/docs").status_code == 200


def test_the_books_are_clean_after_all_journeys(admin: Journey) -> None:
    assert admin.get("/api/v1/audit").json()["clean"] is True
    assert admin.get("/api/v1/trial-balance").json()["balanced"] is True
