"""Proves what readers of the books are given: balances at any moment, and statements in
every form, to those who may see them.
"""

import csv
import io
from decimal import Decimal
from pathlib import Path
from typing import Any

from beancount import loader
from beancount.core import data
from services.wallet.tests.conftest import Service

from ledgerlink_wallet.api.statements import StatementFormat, accepted

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
    assert (books.status_code, books.json()["code"]) == (404, "account-not-found")


async def statement(service: Service, path: str) -> list[dict[str, Any]]:
    """Read all pages of a statement."""
    pages: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = await service.call("GET", path + cursor)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        if pages[-1]["next_cursor"] is None:
            return pages
        cursor = f"&cursor={pages[-1]['next_cursor']}"


async def test_a_statement_by_effective_time_puts_dated_entries_where_they_count(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    for number, day in enumerate(("2026-01-07", "2026-01-05", "2026-01-05", "2026-02-01", "2031-01-01"), 1):
        await dated(service, wallet, number, f"{day}T12:00:00Z", day + str(number))
    base = f"/wallets/{wallet}/statement?by=effective&limit=2"
    pages = await statement(service, base)
    january = await statement(service, f"{base}&from=2026-01-05T12:00:00Z&to=2026-02-01T12:00:00Z")
    lines = [line for page in pages for line in page["lines"]]

    assert [line["change_minor"] for line in lines] == [5, 1_000, 4, 1, 3, 2]
    assert [line["posted_minor"] for line in lines] == [1_015, 1_010, 10, 6, 5, 2]
    assert [(page["opening_minor"], page["closing_minor"]) for page in pages] == [(10, 1_015), (5, 10), (0, 5)]
    assert [line["change_minor"] for page in january for line in page["lines"]] == [1, 3, 2]
    assert {(page["period_opening_minor"], page["period_closing_minor"]) for page in january} == {(0, 6)}


async def test_a_statement_of_a_recorded_period_opens_and_closes_where_the_books_stood(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    moments = [
        (await dated(service, wallet, number, JANUARY, f"k{number}"))["recorded_at"].replace("+00:00", "Z")
        for number in range(1, 5)
    ]
    (page,) = await statement(service, f"/wallets/{wallet}/statement?from={moments[1]}&to={moments[3]}")
    (nothing,) = await statement(service, f"/wallets/{wallet}/statement?from={moments[3]}&to={moments[1]}")

    assert [line["change_minor"] for line in page["lines"]] == [3, 2]
    assert (page["period_opening_minor"], page["period_closing_minor"]) == (1_001, 1_006)
    assert nothing["lines"] == []
    assert nothing["period_opening_minor"] == nothing["period_closing_minor"] == 1_006


async def test_holds_between_lines_do_not_break_a_statement(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    for number in range(4):
        hold = {"wallet": wallet, "amount_minor": 10, "currency": "GBP"}
        held = (await service.call("POST", "/holds", hold, Idempotency_Key=f"h{number}")).json()["id"]
        part = {"amount_minor": 6, "credit": "merchant:m"}
        await service.call("POST", f"/holds/{held}/capture", part, Idempotency_Key=f"c{number}")
    for by in ("recorded", "effective"):
        pages = await statement(service, f"/wallets/{wallet}/statement?by={by}&limit=3")

        assert [line["posted_minor"] for page in pages for line in page["lines"]] == [976, 982, 988, 994, 1_000]


async def odd_books(service: Service, owner: str) -> str:
    """Fill a wallet from and to parties whose words try to break every format."""
    wallet = await service.wallet(owner, funds=10_000)
    for number, reference in enumerate(('=HYPERLINK("x")', '<script>alert("1")</script>', 'a;b "c" \\ | d', "-1+1"), 1):
        order = {"amount_minor": number, "currency": "GBP", "reference": reference}
        await service.call("POST", f"/wallets/{wallet}/debit", order, Idempotency_Key=f"d{number}")
    await dated(service, wallet, 70, JANUARY, "late")
    return wallet


async def test_a_csv_statement_is_rfc_4180_and_holds_no_formula(service: Service, alice: str) -> None:
    wallet = await odd_books(service, alice)
    answer = await service.call("GET", f"/wallets/{wallet}/statement", Accept="text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.text.count("\r\n") == answer.text.count("\n") == len(rows) + 1
    assert [row["kind"] for row in rows][0::7] == ["opening", "closing"]
    assert [row["reference"] for row in rows[2:6]] == [
        '\'=HYPERLINK("x")',
        '<script>alert("1")</script>',
        'a;b "c" \\ | d',
        "'-1+1",
    ]
    assert (rows[2]["change"], rows[-1]["balance"]) == ("-0.01", "100.60")


async def test_an_html_statement_has_a_page_header_no_script_and_nothing_unescaped(
    service: Service, alice: str
) -> None:
    wallet = await odd_books(service, alice)
    answer = await service.call(
        "GET", f"/wallets/{wallet}/statement", Accept="text/html,application/xhtml+xml,*/*;q=.8"
    )

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert f'content="{answer.headers["content-security-policy"]}"' in answer.text
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert "@page" in answer.text
    assert answer.text.count("<thead>") == 1
    assert "<script" not in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "100.60" in answer.text


async def test_beancount_takes_the_journal_and_finds_the_same_balance(
    service: Service, alice: str, tmp_path: Path
) -> None:
    wallet = await odd_books(service, alice)
    path = f"/wallets/{wallet}/statement?format=beancount&by=effective"
    for query, opening in (("", 0), (f"&from={JANUARY.replace('05', '06')}", 70)):
        answer = await service.call("GET", path + query)
        journal = tmp_path / "statement.beancount"
        journal.write_text(answer.text)
        entries, errors, _ = loader.load_file(str(journal))
        mine = [
            posting.units.number or Decimal(0)
            for entry in entries
            if isinstance(entry, data.Transaction)
            for posting in entry.postings
            if posting.units is not None and posting.account.startswith("Liabilities:Wallet")
        ]

        assert errors == []
        assert sum(mine) == Decimal("-100.60")
        assert ("Equity:Opening" in answer.text) == bool(opening)


async def test_an_hledger_journal_asserts_the_balance_after_each_line(service: Service, alice: str) -> None:
    wallet = await odd_books(service, alice)
    answer = await service.call("GET", f"/wallets/{wallet}/statement?format=hledger")
    asserted = [line.split(" = ")[1] for line in answer.text.splitlines() if " = " in line]

    assert answer.headers["content-type"] == "text/x-hledger; charset=utf-8"
    assert asserted == ["-100.00 GBP", "-99.99 GBP", "-99.97 GBP", "-99.94 GBP", "-99.90 GBP", "-100.60 GBP"]
    assert "a,b" in answer.text


async def test_accept_is_read_by_quality_and_falls_back_to_json() -> None:
    assert accepted(None) is StatementFormat.JSON
    assert accepted("image/png, */*") is StatementFormat.JSON
    assert accepted("text/csv;q=0.2, text/html;q=0.9") is StatementFormat.HTML
    assert accepted("text/csv;q=x") is StatementFormat.JSON


async def test_somebody_elses_statement_is_answered_like_one_that_does_not_exist(
    service: Service, alice: str, bob: str
) -> None:
    wallet = await service.wallet(bob, funds=100)
    accounts = (await service.call("GET", "/accounts")).json()["items"]
    for account in accounts:
        mine = await service.call_as(bob, "GET", f"/accounts/{account['id']}/statement")
        theirs = await service.call_as(alice, "GET", f"/accounts/{account['id']}/statement?format=csv")

        assert mine.status_code == (200 if account["wallet"] == wallet else 404)
        assert (theirs.status_code, theirs.json()["code"]) == (404, "account-not-found")


async def items(service: Service, path: str) -> list[dict[str, Any]]:
    """Read all pages of a list, two items at a time."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        answer = await service.call("GET", f"{path}&limit=2{cursor}")
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next_cursor"] is None:
            return found
        cursor = f"&cursor={answer.json()['next_cursor']}"


def utc(moment: str) -> str:
    """Give a moment as a query may carry it: a plus would be a space."""
    return moment.replace("+00:00", "Z")


async def test_transfers_are_filtered_by_reference_and_by_both_times(service: Service, alice: str) -> None:
    wallet = await odd_books(service, alice)
    early = await dated(service, wallet, 5, "2031-01-01T00:00:00Z", "early")
    every = await items(service, "/transfers?")
    recorded = [utc(one["recorded_at"]) for one in every]
    by_effective = await items(service, "/transfers?effective_from=1990-01-01T00:00:00Z")
    dated_back = await items(service, f"/transfers?effective_to={recorded[-1]}")

    assert [one["reference"] for one in await items(service, "/transfers?reference=-1%2B1")] == ["-1+1"]
    assert await items(service, f"/transfers?recorded_from={recorded[3]}&recorded_to={recorded[1]}") == every[2:4]
    assert await items(service, f"/transfers?reference=-1%2B1&effective_to={JANUARY}") == []
    assert by_effective == sorted(every, key=lambda one: (one["effective_at"], one["id"]), reverse=True)
    assert by_effective[0]["id"] == early["id"]
    assert [one["effective_at"] for one in dated_back] == [JANUARY]
    of_wallet = f"/transfers?account={wallet}&currency=GBP"
    assert await items(service, of_wallet) == every
    assert await items(service, f"{of_wallet}&recorded_from={recorded[3]}&recorded_to={recorded[1]}") == every[2:4]


async def test_accounts_are_filtered_by_code_currency_state_and_wallet(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=5)
    for code in ("merchant:m", "merchant:m:fees", "merchant:m-2", "merchant:m1", "revenue:fees"):
        posting = {"debit": "world", "credit": code, "amount_minor": 1, "currency": "JPY"}
        await service.call("POST", "/transfers", {"kind": "t", "postings": [posting]}, Idempotency_Key=code)
    (revenue,) = await items(service, "/accounts?code=revenue")
    await service.call("POST", f"/accounts/{revenue['id']}/freeze")

    async def codes(query: str) -> list[str]:
        return [one["code"] for one in await items(service, f"/accounts?{query}")]

    assert await codes("code=merchant:m") == ["merchant:m", "merchant:m:fees"]
    assert await codes("code=merchant") == ["merchant:m", "merchant:m-2", "merchant:m1", "merchant:m:fees"]
    assert await codes("currency=GBP") == [f"wallet:{wallet}", "world"]
    assert await codes("state=frozen") == ["revenue:fees"]
    assert await codes("state=open&currency=JPY&code=revenue") == []
    assert await codes(f"wallet={wallet}") == [f"wallet:{wallet}"]


async def test_entries_are_filtered_by_layer_side_and_time(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    for number in range(3):
        hold = {"wallet": wallet, "amount_minor": 10, "currency": "GBP"}
        held = (await service.call("POST", "/holds", hold, Idempotency_Key=f"h{number}")).json()["id"]
        await service.call("POST", f"/holds/{held}/capture", {"credit": "merchant:m"}, Idempotency_Key=f"c{number}")
    (account,) = await items(service, f"/accounts?wallet={wallet}")
    path = f"/accounts/{account['id']}/entries?"
    every = await items(service, path)
    middle = utc(every[4]["recorded_at"])

    assert [one["version"] for one in every] == list(range(1, 11))
    assert [one["version"] for one in await items(service, f"{path}layer=pending")] == [2, 5, 8]
    assert [one["version"] for one in await items(service, f"{path}layer=posted&side=credit")] == [1]
    assert [one["version"] for one in await items(service, f"{path}recorded_from={middle}&side=debit")] == [
        *range(5, 11)
    ]
    assert [one["version"] for one in await items(service, f"{path}recorded_to={middle}")] == [1, 2, 3, 4]


async def test_holds_are_listed_by_state_wallet_and_expiry(service: Service, alice: str, bob: str) -> None:
    mine, theirs = await service.wallet(alice, funds=1_000), await service.wallet(bob, funds=1_000)
    made: list[str] = []
    for number, wallet in enumerate((mine, theirs, mine, mine)):
        hold = {
            "wallet": wallet,
            "amount_minor": 10,
            "currency": "GBP",
            "expires_at": f"203{9 - number}-01-01T00:00:00Z",
        }
        made.append((await service.call("POST", "/holds", hold, Idempotency_Key=f"h{number}")).json()["id"])
    await service.call("POST", f"/holds/{made[3]}/release")

    async def ids(query: str) -> list[str]:
        return [one["id"] for one in await items(service, f"/holds?{query}")]

    assert await ids("") == [made[2], made[1], made[0]]
    assert await ids("state=released") == [made[3]]
    assert await ids(f"wallet={mine}") == [made[2], made[0]]
    assert await ids("expires_before=2039-01-01T00:00:00Z") == [made[2], made[1]]
    assert await ids("expires_before=2040-01-01T00:00:00Z") == [made[2], made[1], made[0]]
    assert await ids(f"wallet={mine}&expires_before=2038-06-01T00:00:00Z") == [made[2]]
    own = await service.call_as(alice, "GET", f"/holds?wallet={mine}")
    refused = [
        await service.call_as(alice, "GET", path)
        for path in ("/holds", f"/holds?wallet={theirs}", f"/wallets?owner={bob}")
    ]
    assert [one["id"] for one in own.json()["items"]] == [made[2], made[0]]
    assert [answer.status_code for answer in refused] == [400, 404, 403]
    assert [one["id"] for one in await items(service, f"/wallets?owner={bob}")] == [theirs]
    assert await items(service, f"/wallets?owner={bob}&currency=USD") == []


async def test_the_trial_balance_balances_at_every_moment(service: Service, alice: str) -> None:
    wallet = await odd_books(service, alice)
    early = await dated(service, wallet, 5, "2031-01-01T00:00:00Z", "early")
    every = await items(service, "/transfers?")
    first, last = utc(every[-1]["recorded_at"]), utc(early["recorded_at"])
    debits: list[int] = []
    for query in (
        "",
        f"recorded_at={first}",
        f"recorded_at={last}",
        f"effective_at={JANUARY}",
        f"effective_at={last}",
        f"effective_at={JANUARY}&recorded_at={first}",
        "effective_at=2031-01-01T00:00:00Z",
    ):
        trial = (await service.call("GET", f"/trial-balance?{query}")).json()
        assert trial["balanced"]
        debits.append(sum(total["debits_posted_minor"] for total in trial["totals"]))
    ledger = (await service.call("GET", "/ledgers/main")).json()

    assert debits == [10_085, 10_000, 10_085, 70, 10_080, 0, 10_085]
    assert (ledger["accounts"], ledger["entries"], ledger["currencies"]) == (2, 14, ["GBP"])
    assert (await service.call("GET", "/ledgers")).json()["items"][0]["name"] == "main"
