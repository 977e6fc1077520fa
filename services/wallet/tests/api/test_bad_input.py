"""Proves that every kind of bad input is answered with a problem that names the field and never repeats its value."""

from typing import Any

from services.wallet.tests.conftest import Service

from ledgerlink_contracts.ids import TransferId, WalletId
from ledgerlink_kit.ids import uuid8
from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_kit.pagination import encode_cursor

WALLET = str(WalletId(uuid8("wallet")))
POSTING = {"debit": "world", "credit": "merchant:m", "amount_minor": 5, "currency": "GBP"}
ORDER: dict[str, Any] = {"kind": "test", "postings": [POSTING]}


def with_posting(**changes: Any) -> dict[str, Any]:
    return {**ORDER, "postings": [{**POSTING, **changes}]}


CONDITION: dict[str, Any] = {"account": "world", "currency": "GBP", "version": 0}
ACCOUNT: dict[str, Any] = {"code": "merchant:m", "currency": "GBP"}


def with_condition(**changes: Any) -> dict[str, Any]:
    condition = {name: value for name, value in {**CONDITION, **changes}.items() if value is not None}
    return {**ORDER, "conditions": [condition]}


BAD_ORDERS: list[tuple[str, Any, int, str]] = [
    ("amount as text", with_posting(amount_minor="5"), 422, "amount_minor"),
    ("amount as float", with_posting(amount_minor=5.0), 422, "amount_minor"),
    ("amount with a fraction", with_posting(amount_minor=5.5), 422, "amount_minor"),
    ("amount as truth", with_posting(amount_minor=True), 422, "amount_minor"),
    ("amount of nothing", with_posting(amount_minor=None), 422, "amount_minor"),
    ("zero", with_posting(amount_minor=0), 422, "amount_minor"),
    ("negative", with_posting(amount_minor=-5), 422, "amount_minor"),
    ("too large", with_posting(amount_minor=MAX_MINOR + 1), 422, "amount_minor"),
    ("far too large", with_posting(amount_minor=10**30), 422, "amount_minor"),
    ("unknown currency", with_posting(currency="XXQ"), 422, "currency"),
    ("long currency", with_posting(currency="GBPX"), 422, "currency"),
    ("unknown field", {**ORDER, "surprise": 1}, 422, "surprise"),
    ("unknown field inside", with_posting(note="x"), 422, "note"),
    ("no postings", {**ORDER, "postings": []}, 422, "postings"),
    ("too many postings", {**ORDER, "postings": [POSTING] * 101}, 422, "postings"),
    ("postings as text", {**ORDER, "postings": "x"}, 422, "postings"),
    ("missing kind", {"postings": [POSTING]}, 422, "kind"),
    ("kind in capitals", {**ORDER, "kind": "TEST"}, 422, "kind"),
    ("id of another kind", {**ORDER, "id": WALLET}, 422, "id"),
    ("id as number", {**ORDER, "id": 7}, 422, "id"),
    ("a moment without offset", {**ORDER, "effective_at": "2026-01-01T00:00:00"}, 422, "effective_at"),
    ("a moment beyond time", {**ORDER, "effective_at": "9999-12-31T23:59:59-23:59"}, 422, "effective_at"),
    ("a moment before time", {**ORDER, "effective_at": "0001-01-01T00:00:00+23:59"}, 422, "effective_at"),
    ("a moment as a number", {**ORDER, "effective_at": 1767225600}, 422, "effective_at"),
    ("metadata not text", {**ORDER, "metadata": {"a": 1}}, 422, "metadata"),
    ("too much metadata", {**ORDER, "metadata": {str(n): "x" for n in range(51)}}, 422, "metadata"),
    ("a NUL in the reference", {**ORDER, "reference": "a\x00b"}, 422, "reference"),
    ("a list for an object", [], 422, ""),
    ("an unknown code", with_posting(credit="no_such_root"), 422, ""),
    ("one account twice", with_posting(credit="world"), 422, ""),
    ("no such wallet", with_posting(credit=WALLET), 404, ""),
    ("no such account", with_posting(credit=f"acc_{'0' * 26}"), 404, ""),
    ("no conditions", {**ORDER, "conditions": []}, 422, "conditions"),
    ("too many conditions", {**ORDER, "conditions": [CONDITION] * 21}, 422, "conditions"),
    ("a condition without account", with_condition(account=None), 422, "account"),
    ("a condition in no currency", with_condition(currency="XXQ"), 422, "currency"),
    ("a condition that says nothing", with_condition(version=None), 422, "conditions"),
    ("a condition that says two things", with_condition(posted_at_most=5), 422, "conditions"),
    ("an unknown predicate", with_condition(balance=5), 422, "balance"),
    ("a version below zero", with_condition(version=-1), 422, "version"),
    ("a version as text", with_condition(version="1"), 422, "version"),
    ("an available amount as float", with_condition(version=None, available_at_least=1.0), 422, "available_at_least"),
    ("an available amount too large", with_condition(version=None, available_at_most=2**53), 422, "available_at_most"),
    ("a posted amount as truth", with_condition(version=None, posted_at_least=True), 422, "posted_at_least"),
    ("a posted amount too small", with_condition(version=None, posted_at_most=-(2**53)), 422, "posted_at_most"),
    ("a pending amount below zero", with_condition(version=None, pending_at_least=-1), 422, "pending_at_least"),
    ("a pending amount as text", with_condition(version=None, pending_at_most="1"), 422, "pending_at_most"),
    ("a condition on no account", with_condition(account="no_such_root"), 422, ""),
    ("a condition on no wallet", with_condition(account=WALLET), 404, ""),
]


BAD_ACCOUNTS: list[tuple[str, Any, int, str]] = [
    ("no code", {"currency": "GBP"}, 422, "code"),
    ("a code in capitals", {**ACCOUNT, "code": "Merchant:m"}, 422, "code"),
    ("an unknown root", {**ACCOUNT, "code": "no_such_root"}, 422, ""),
    ("a wallet by its code", {**ACCOUNT, "code": f"wallet:{WALLET}"}, 422, ""),
    ("no such wallet", {**ACCOUNT, "code": WALLET}, 404, ""),
    ("no such account", {**ACCOUNT, "code": f"acc_{'0' * 26}"}, 404, ""),
    ("no currency", {"code": "merchant:m"}, 422, "currency"),
    ("an unknown currency", {**ACCOUNT, "currency": "XXQ"}, 422, "currency"),
    ("a floor above zero", {**ACCOUNT, "floor_minor": 1}, 422, "floor_minor"),
    ("a floor too low", {**ACCOUNT, "floor_minor": -(2**53)}, 422, "floor_minor"),
    ("a floor as text", {**ACCOUNT, "floor_minor": "0"}, 422, "floor_minor"),
    ("a ceiling below zero", {**ACCOUNT, "ceiling_minor": -1}, 422, "ceiling_minor"),
    ("a ceiling too high", {**ACCOUNT, "ceiling_minor": 2**53}, 422, "ceiling_minor"),
    ("a ceiling as float", {**ACCOUNT, "ceiling_minor": 0.5}, 422, "ceiling_minor"),
    ("an unknown field", {**ACCOUNT, "may_overdraw": True}, 422, "may_overdraw"),
]


async def test_a_bad_account_is_refused_with_a_problem_that_names_the_field(service: Service) -> None:
    for name, order, status, field in BAD_ACCOUNTS:
        answer = await service.call("POST", "/accounts", order)
        problem = answer.json()

        assert answer.status_code == status, (name, problem)
        assert not field or any(field in error["path"] for error in problem["errors"]), name


async def test_a_bad_transfer_is_refused_with_a_problem_that_names_the_field(service: Service) -> None:
    for name, order, status, field in BAD_ORDERS:
        answer = await service.call("POST", "/transfers", order, Idempotency_Key=name.replace(" ", "-"))
        problem = answer.json()

        assert answer.status_code == status, (name, problem)
        assert answer.headers["content-type"] == "application/problem+json", name
        assert {"type", "title", "status", "detail", "code", "request_id"} <= problem.keys(), name
        assert not field or any(field in error["path"] for error in problem["errors"]), name


async def test_a_body_that_is_no_json_is_malformed(service: Service) -> None:
    headers = {**service.headers(), "Content-Type": "application/json", "Idempotency-Key": "k"}
    answer = await service.client.post("/transfers", content=b'{"kind": ', headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed-body")


async def test_a_body_of_another_type_is_unsupported(service: Service) -> None:
    headers = {**service.headers(), "Content-Type": "text/plain", "Idempotency-Key": "k"}
    answer = await service.client.post("/transfers", content=b"{}", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported-media-type")


async def test_a_body_that_is_too_large_is_refused_unread(service: Service) -> None:
    headers = {**service.headers(), "Content-Type": "application/json", "Idempotency-Key": "k"}
    answer = await service.client.post("/transfers", content=b" " * (1024 * 1024 + 1), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


async def test_a_write_without_a_key_is_told_to_send_one(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice)
    headers = service.headers(alice, ("wallet:write", "ledger:write"))
    amount = {"amount_minor": 1, "currency": "GBP"}
    for path, order in (
        ("/transfers", ORDER),
        ("/wallets", {"currency": "GBP"}),
        (f"/wallets/{wallet}/credit", amount),
        (f"/wallets/{wallet}/debit", amount),
        (f"/wallets/{wallet}/transfer", {"to": WALLET, **amount}),
    ):
        answer = await service.client.post(path, json=order, headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (400, "idempotency-key-missing"), path


async def test_a_malformed_key_is_refused(service: Service) -> None:
    for key in ("", "ü", "x" * 256):
        headers = [(k.encode(), v.encode()) for k, v in service.headers().items()]
        headers.append((b"Idempotency-Key", key.encode("latin-1")))
        answer = await service.client.post("/transfers", json=ORDER, headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (400, "idempotency-key-invalid"), key


async def test_one_instant_with_another_offset_is_the_same_order(service: Service) -> None:
    first = {**ORDER, "effective_at": "2026-01-01T01:00:00+01:00"}
    again = {**ORDER, "effective_at": "2026-01-01T00:00:00Z"}
    answers = [await service.call("POST", "/transfers", order, Idempotency_Key="k") for order in (first, again)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content


async def test_the_callers_own_id_takes_the_place_of_a_key(service: Service) -> None:
    order = {**ORDER, "id": str(TransferId(uuid8("mine")))}
    first, again = await service.call("POST", "/transfers", order), await service.call("POST", "/transfers", order)
    other = await service.call("POST", "/transfers", {**order, "kind": "other", "metadata": {"a": "b"}})

    assert first.content == again.content
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (409, "id-reused")
    assert other.json()["differs"] == ["kind", "metadata.a"]


BAD_QUERIES = [
    "/wallets?limit=0",
    "/wallets?limit=101",
    "/wallets?cursor=nonsense",
    "/accounts?limit=1001",
    "/accounts?cursor=e30",
    "/accounts?cursor=eyJjb2RlIjoxLCJpZCI6MX0",
    "/transfers?cursor=eyJhdCI6IngiLCJpZCI6IngifQ",
    f"/transfers?cursor={encode_cursor({'at': '0001-01-01T00:00:00+23:59', 'id': str(uuid8('x'))})}",
    f"/accounts?cursor={encode_cursor({'code': 'a', 'id': 'x'})}",
    f"/accounts?cursor={encode_cursor({'code': chr(0), 'id': str(uuid8('x'))})}",
    f"/wallets?cursor={encode_cursor({'at': '2026-01-01T00:00:00', 'id': str(uuid8('x'))})}",
    f"/transfers?account=world&currency=GBP&cursor={encode_cursor({'version': 2**63})}",
    "/transfers?kind=NO",
    "/transfers?metadata=nocolon",
    "/transfers?account=world",
    "/transfers?account=world&currency=GBP&kind=x",
    "/transfers?reference=",
    "/transfers?reference=%00",
    "/transfers?recorded_from=x",
    "/transfers?recorded_to=x",
    "/transfers?effective_from=x",
    "/transfers?effective_to=x",
    "/transfers?account=world&currency=GBP&reference=x",
    "/accounts?state=thawed",
    "/accounts?wallet=world",
    "/accounts?currency=XXQ",
    f"/accounts/acc_{'0' * 26}/entries?layer=top",
    f"/accounts/acc_{'0' * 26}/entries?side=left",
    f"/accounts/acc_{'0' * 26}/entries?recorded_from=x",
    f"/accounts/acc_{'0' * 26}/entries?recorded_to=x",
    "/holds?state=held",
    "/holds?wallet=x",
    "/holds?expires_before=x",
    "/holds?state=released&expires_before=2026-01-01T00:00:00Z",
    "/holds?cursor=nonsense",
    "/wallets?owner=%00",
    "/wallets?currency=XXQ",
    "/trial-balance?effective_at=x",
    "/trial-balance?recorded_at=x",
    "/wallets/nonsense/balance",
    f"/wallets/{WALLET}/balance?effective_at=yesterday",
    f"/wallets/{WALLET}/balance?recorded_at=2026-01-01T00:00:00",
    f"/wallets/{WALLET}/balance?recorded_at=1767225600",
    f"/wallets/{WALLET}/statement?from=yesterday",
    f"/wallets/{WALLET}/statement?to=2026-01-01",
    f"/wallets/{WALLET}/statement?by=heart",
    f"/wallets/{WALLET}/statement?format=pdf",
    f"/wallets/{WALLET}/statement?limit=1001",
    f"/accounts/acc_{'0' * 26}/statement?currency=GBP&limit=x",
    f"/accounts/acc_{'0' * 26}/balance?effective_at=1899-12-31T23:59:59Z",
    f"/accounts/acc_{'0' * 26}/balance?recorded_at=9999-12-31T23:59:59Z",
    "/transfers/nonsense",
]


async def test_a_bad_query_is_refused_with_a_problem(service: Service) -> None:
    # The account that some of them ask for.
    assert (await service.call("POST", "/transfers", ORDER, Idempotency_Key="k")).status_code == 201
    for query in BAD_QUERIES:
        answer = await service.call("GET", query)

        assert answer.status_code in {400, 422}, (query, answer.text)
        assert answer.headers["content-type"] == "application/problem+json", query


async def test_without_ledger_write_other_parties_dates_and_owners_are_forbidden(
    service: Service, alice: str, bob: str
) -> None:
    wallet = await service.wallet(alice, funds=100)
    posting = {"debit": wallet, "credit": wallet, "amount_minor": 1, "currency": "GBP"}
    orders = [
        {**ORDER, "postings": [{**posting, "credit": "world"}]},
        {**ORDER, "postings": [{**posting, "debit": "world"}]},
        {**ORDER, "postings": [posting], "on_behalf_of": bob},
        {**ORDER, "postings": [posting], "effective_at": "2020-01-01T00:00:00Z"},
    ]
    answers = [await service.call_as(alice, "POST", "/transfers", order, f"k{n}") for n, order in enumerate(orders)]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "ledger-write-needed")}


async def test_the_short_way_and_the_documented_route_refuse_in_the_same_words(service: Service) -> None:
    """`POST /transfers` is answered on a short way of its own; with a query, by the route of the documentation."""
    good = {"debit": "world", "credit": "merchant:m", "amount_minor": 1, "currency": "GBP"}
    bodies: list[Any] = [
        {"kind": "t", "postings": [{**good, "amount_minor": 1.5}]},
        {"kind": "t", "postings": [{**good, "currency": "XXY"}], "surprise": 1},
        {"kind": "t", "postings": [good, {**good, "debit": ""}], "effective_at": "yesterday"},
        {"kind": "t", "postings": []},
        {"postings": [good]},
        [],
        None,
    ]
    for body in bodies:
        short = await service.call("POST", "/transfers", body, Idempotency_Key="k")
        documented = await service.call("POST", "/transfers?dry_run=false", body, Idempotency_Key="k")

        told, known = short.json(), documented.json()
        assert short.status_code == documented.status_code >= 400, body
        assert told["code"] == known["code"]
        assert [one["path"] for one in told["errors"]] == [one["path"] for one in known["errors"]]


async def test_the_short_way_asks_for_the_same_permission_and_key(service: Service, alice: str) -> None:
    order = {
        "kind": "t",
        "postings": [{"debit": "world", "credit": "merchant:m", "amount_minor": 1, "currency": "GBP"}],
    }
    for query in ("", "?dry_run=false"):
        headers = service.headers(alice, ("wallet:read",))
        forbidden = await service.client.request("POST", f"/transfers{query}", json=order, headers=headers)
        nobody = await service.client.request("POST", f"/transfers{query}", json=order)
        keyless = await service.call("POST", f"/transfers{query}", order)
        broken = await service.client.request(
            "POST",
            f"/transfers{query}",
            content=b'{"kind"',
            headers={**service.headers(), "Content-Type": "application/json"},
        )

        statuses = [answer.status_code for answer in (forbidden, nobody, keyless, broken)]
        assert statuses == [403, 401, 400, 400]
        assert keyless.json()["code"] == "idempotency-key-missing"
        assert broken.json()["code"] == "malformed-body"
