"""Proves what readers of the books are given: balances at any moment, to those who may see them."""

from services.wallet.tests.conftest import Service

JANUARY = "2026-01-05T12:00:00Z"


async def dated(service: Service, wallet: str, minor: int, effective_at: str, key: str) -> dict[str, str]:
    """Credit a wallet from `world`, effective at another moment; gives the transfer."""
    posting = {"debit": "world", "credit": wallet, "amount_minor": minor, "currency": "GBP"}
    order = {"kind": "test", "postings": [posting], "effective_at": effective_at}
    answer = await service.call("POST", "/transfers", order, Idempotency_Key=key)
    assert answer.status_code == 201, answer.text
    transfer: dict[str, str] = answer.json()
    return transfer


async def test_a_balance_is_told_as_effective_at_one_moment_and_as_known_at_another(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    late = await dated(service, wallet, 70, JANUARY, "late")
    early = await dated(service, wallet, 5, "2031-01-01T00:00:00Z", "early")
    path = f"/wallets/{wallet}/balance"

    async def posted(query: str) -> int:
        return int((await service.call_as(alice, "GET", path + query)).json()["posted_minor"])

    assert await posted("") == 1_075
    assert await posted(f"?effective_at={JANUARY}") == 70
    assert await posted("?effective_at=2026-01-05T11:59:59.999999Z") == 0
    assert await posted(f"?effective_at={early['recorded_at']}") == 1_070
    assert await posted("?effective_at=2031-01-01T00:00:00Z") == 1_075
    assert await posted(f"?recorded_at={late['recorded_at']}") == 1_070
    assert await posted(f"?effective_at={JANUARY}&recorded_at={JANUARY}") == 0
    assert await posted(f"?effective_at={JANUARY}&recorded_at={late['recorded_at']}") == 70


async def test_an_accounts_balance_names_its_version_and_moments(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    late = await dated(service, wallet, 70, JANUARY, "late")
    account = (await service.call("GET", "/accounts?code=world")).json()["items"][0]["id"]
    told = (await service.call("GET", f"/accounts/{account}/balance?recorded_at={late['recorded_at']}")).json()
    january = (await service.call("GET", f"/accounts/{account}/balance?effective_at={JANUARY}")).json()

    assert (told["posted_minor"], told["version"], told["effective_at"]) == (1_070, 2, None)
    assert (january["debits_posted_minor"], january["effective_at"]) == (70, JANUARY)


async def test_somebody_elses_past_is_as_hidden_as_their_present(service: Service, alice: str, bob: str) -> None:
    wallet = await service.wallet(bob, funds=100)
    account = (await service.call("GET", "/accounts?code=world")).json()["items"][0]["id"]
    theirs = await service.call_as(alice, "GET", f"/wallets/{wallet}/balance?recorded_at={JANUARY}")
    books = await service.call_as(alice, "GET", f"/accounts/{account}/balance")

    assert (theirs.status_code, theirs.json()["code"]) == (404, "wallet-not-found")
    assert books.status_code == 403
