"""Risk's routes: who may call which, what they answer, and every refusal by its code."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_kit.testing import assert_every_route_is_guarded

KEY = {"Idempotency-Key": "k-1"}
CASE = str(CaseId.derive("none"))
DECISION = str(DecisionId.derive("none"))


def test_every_route_demands_a_caller(app: FastAPI) -> None:
    assert_every_route_is_guarded(app, frozenset())


# method, path, body, who may (the others get 403)
MATRIX: list[tuple[str, str, Any, set[str]]] = [
    ("POST", "/decisions", {"event": {}}, {"payments", "wallet"}),
    ("GET", "/decisions", None, {"analyst", "support", "robot"}),
    ("GET", f"/decisions/{DECISION}", None, {"payments", "wallet", "analyst", "support", "robot"}),
    ("GET", "/cases", None, {"analyst", "support", "robot"}),
    ("GET", f"/cases/{CASE}", None, {"analyst", "support", "robot"}),
    ("POST", f"/cases/{CASE}/resolve", {}, {"analyst", "robot"}),
    ("GET", "/rules", None, {"analyst", "support", "robot"}),
    ("GET", "/lists", None, {"analyst", "support", "robot"}),
    ("GET", "/lists/denied_customers/entries", None, {"analyst", "support", "robot"}),
    ("PUT", "/lists/denied_customers/entries/usr_x", {}, {"analyst", "robot"}),
    ("DELETE", "/lists/denied_customers/entries/usr_x", None, {"analyst", "robot"}),
]


@pytest.mark.parametrize(("method", "path", "body", "allowed"), MATRIX, ids=[f"{m} {p[:20]}" for m, p, _, _ in MATRIX])
async def test_who_may_call_what(
    http: httpx.AsyncClient, as_: Any, method: str, path: str, body: Any, allowed: set[str]
) -> None:
    for who in ("nobody", "payments", "wallet", "robot", "analyst", "support", "customer"):
        answer = await http.request(method, path, json=body, headers={**as_(who), **KEY})
        expected = 401 if who == "nobody" else 403
        assert (answer.status_code == expected) == (who not in allowed), f"{who}: {answer.status_code} {answer.text}"
        if who not in allowed:
            assert answer.json()["code"] == ("token-missing" if who == "nobody" else "scope-missing")


async def decide(http: httpx.AsyncClient, as_: Any, body: dict[str, Any], *, key: str = "k-1") -> httpx.Response:
    return await http.post("/decisions", json=body, headers={**as_("payments"), "Idempotency-Key": key})


async def test_an_order_with_a_key_is_decided_once_and_replayed_byte_for_byte(
    http: httpx.AsyncClient, as_: Any, order: Any
) -> None:
    first = await decide(http, as_, order())
    again = await decide(http, as_, order())
    assert (first.status_code, first.json()["verdict"], first.headers.get("idempotency-replayed")) == (
        201,
        "approve",
        None,
    )
    assert (again.status_code, again.content, again.headers["idempotency-replayed"]) == (201, first.content, "true")


async def test_an_order_with_an_id_needs_no_key(http: httpx.AsyncClient, as_: Any, order: Any) -> None:
    body = {**order(), "id": DECISION}
    first = await http.post("/decisions", json=body, headers=as_("payments"))
    again = await http.post("/decisions", json=body, headers=as_("payments"))
    assert (first.status_code, first.json()["id"], again.content) == (201, DECISION, first.content)


async def test_an_order_without_id_and_key_is_refused(http: httpx.AsyncClient, as_: Any, order: Any) -> None:
    answer = await http.post("/decisions", json=order(), headers=as_("payments"))
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency-key-missing")
    bad = await decide(http, as_, order(), key="k" * 256)
    assert (bad.status_code, bad.json()["code"]) == (400, "idempotency-key-invalid")


async def test_the_same_id_for_another_event_is_refused_and_says_what_differs(
    http: httpx.AsyncClient, as_: Any, order: Any
) -> None:
    await decide(http, as_, order())
    answer = await decide(http, as_, order(amount_minor=1300, destination=None))
    assert (answer.status_code, answer.json()["code"]) == (409, "id-reused")
    assert answer.json()["differs"] == ["event.amount_minor", "event.destination"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"amount_minor": 12.5}, "body.event.amount_minor"),
        ({"amount_minor": "1200"}, "body.event.amount_minor"),
        ({"amount_minor": 0}, "body.event.amount_minor"),
        ({"amount_minor": -1}, "body.event.amount_minor"),
        ({"amount_minor": 2**53}, "body.event.amount_minor"),
        ({"currency": "XXX"}, "body.event.currency"),
        ({"kind": "gift"}, "body.event.kind"),
        ({"source_kind": "cash"}, "body.event.source_kind"),
        ({"customer": ""}, "body.event.customer"),
        ({"customer": "a\x00b"}, "body.event.customer"),
        ({"metadata": {"a": "\x00"}}, "body.event.metadata.a"),
        ({"metadata": {str(number): "v" for number in range(51)}}, "body.event.metadata"),
        ({"occurred_at": "2026-01-05T12:00:00"}, "body.event.occurred_at"),
        ({"colour": "red"}, "body.event.colour"),
    ],
)
async def test_an_event_that_does_not_fit_is_refused_by_its_field(
    http: httpx.AsyncClient, as_: Any, order: Any, changes: dict[str, Any], path: str
) -> None:
    answer = await decide(http, as_, order(**changes))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request"), answer.text
    assert [error["path"] for error in answer.json()["errors"]] == [path]


async def test_a_date_in_the_future_and_a_broken_body_are_refused(
    http: httpx.AsyncClient, as_: Any, order: Any
) -> None:
    late = await decide(http, as_, order(occurred_at="2999-01-01T00:00:00Z"))
    assert (late.status_code, late.json()["code"]) == (422, "occurred-at-out-of-range")
    headers = {**as_("payments"), "Content-Type": "application/json"}
    broken = await http.post("/decisions", content=b"{", headers=headers)
    assert (broken.status_code, broken.json()["code"]) == (400, "malformed-body")
    form = await http.post("/decisions", data={"a": "b"}, headers=as_("payments"))
    assert (form.status_code, form.json()["code"]) == (415, "unsupported-media-type")


async def test_a_caller_sees_its_own_decisions_and_a_reader_all(http: httpx.AsyncClient, as_: Any, order: Any) -> None:
    made = (await decide(http, as_, order(metadata={"order": "42"}))).json()
    for who in ("payments", "analyst"):
        seen = await http.get(f"/decisions/{made['id']}", headers=as_(who))
        assert seen.status_code == 200
        assert {name: seen.json()[name] for name in made} == made
        assert seen.json()["event"]["metadata"] == {"order": "42"}
    hidden = await http.get(f"/decisions/{made['id']}", headers=as_("wallet"))
    assert (hidden.status_code, hidden.json()["code"]) == (404, "unknown-decision")
    wrong = await http.get("/decisions/dec_nonsense", headers=as_("analyst"))
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid-request")


async def test_decisions_are_listed_newest_first_by_page_and_filter(
    http: httpx.AsyncClient, as_: Any, order: Any, clock: Any
) -> None:
    for number in range(7):
        clock.advance(number % 2)  # some share a moment
        amount = 6_666_600 if number == 3 else 1200
        customer = "usr_bob" if number > 4 else "usr_ann"
        body = order(subject=f"pi_{number}", amount_minor=amount, customer=customer)
        await decide(http, as_, body, key=f"k-{number}")

    async def listed(**params: Any) -> list[str]:
        subjects: list[str] = []
        cursor: str | None = None
        while True:
            page = {**params, **({"cursor": cursor} if cursor else {})}
            answer = (await http.get("/decisions", params=page, headers=as_("analyst"))).json()
            subjects += [item["subject"] for item in answer["items"]]
            cursor = answer["next_cursor"]
            if cursor is None:
                return subjects

    everything = await listed(limit=2)
    assert sorted(everything) == [f"pi_{number}" for number in range(7)]
    assert everything == await listed(limit=100)
    assert set(everything[:2]) == {"pi_5", "pi_6"}
    assert await listed(verdict="review") == ["pi_3"]
    assert set(await listed(customer="usr_bob")) == {"pi_5", "pi_6"}
    assert await listed(subject="pi_2") == ["pi_2"]


@pytest.mark.parametrize("path", ["/decisions", "/cases", "/lists/denied_customers/entries"])
async def test_a_cursor_that_is_not_ours_is_refused(http: httpx.AsyncClient, as_: Any, path: str) -> None:
    from ledgerlink_kit.pagination import encode_cursor  # noqa: PLC0415 - makes the forgeries

    for cursor in (
        "%%%",
        encode_cursor({"x": 1}),
        encode_cursor({"at": "yesterday", "id": DECISION}),
        encode_cursor({"at": "2026-01-01T00:00:00", "id": "0" * 32}),
        encode_cursor({"at": 7, "id": None}),
        encode_cursor({"value": 7}),
        encode_cursor({"value": "a\x00"}),
    ):
        answer = await http.get(path, params={"cursor": cursor}, headers=as_("analyst"))
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid-cursor"), cursor


async def review(http: httpx.AsyncClient, as_: Any, order: Any, *, key: str = "k-1") -> dict[str, Any]:
    answer = await decide(http, as_, order(amount_minor=6_666_600, subject=f"pi_{key}"), key=key)
    assert answer.json()["verdict"] == "review", answer.text
    return answer.json()


YES = {"resolution": "approve", "note": "Rang the buyer."}


async def resolve(http: httpx.AsyncClient, as_: Any, case: str, key: str, body: Any = None) -> httpx.Response:
    headers = {**as_("analyst"), "Idempotency-Key": key}
    return await http.post(f"/cases/{case}/resolve", json=body or YES, headers=headers)


async def test_a_case_waits_until_a_person_resolves_it(http: httpx.AsyncClient, as_: Any, order: Any) -> None:
    made = await review(http, as_, order)
    waiting = (await http.get("/cases", params={"state": "open"}, headers=as_("analyst"))).json()["items"]
    assert [(case["id"], case["subject"], case["resolution"]) for case in waiting] == [(made["case"], "pi_k-1", None)]
    done = await resolve(http, as_, made["case"], "r-1")
    assert (done.status_code, done.json()["state"], done.json()["resolved_by"]) == (200, "resolved", "usr_eve")
    again = await resolve(http, as_, made["case"], "r-1")
    assert (again.content, again.headers["idempotency-replayed"]) == (done.content, "true")
    record = (await http.get(f"/decisions/{made['id']}", headers=as_("payments"))).json()
    assert (record["verdict"], record["case_state"], record["resolution"]) == ("review", "resolved", "approve")
    assert (await http.get(f"/cases/{made['case']}", headers=as_("support"))).json() == done.json()
    assert (await http.get("/cases", params={"state": "open"}, headers=as_("analyst"))).json()["items"] == []


async def test_a_case_is_resolved_once_and_by_a_person(http: httpx.AsyncClient, as_: Any, order: Any) -> None:
    made = await review(http, as_, order)
    robot = await http.post(
        f"/cases/{made['case']}/resolve", json=YES, headers={**as_("robot"), "Idempotency-Key": "r-0"}
    )
    assert (robot.status_code, robot.json()["code"]) == (403, "approver-not-a-person")
    await resolve(http, as_, made["case"], "r-1")
    second = await resolve(http, as_, made["case"], "r-2", {"resolution": "decline", "note": "No."})
    assert (second.status_code, second.json()["code"]) == (409, "case-already-resolved")
    assert (second.json()["resolution"], second.json()["resolved_by"]) == ("approve", "usr_eve")
    other = await resolve(http, as_, made["case"], "r-1", {"resolution": "decline", "note": "No."})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")


async def test_of_many_answers_at_once_one_stands_and_one_event_is_said(
    http: httpx.AsyncClient, as_: Any, order: Any, runtime: Any
) -> None:
    import sqlalchemy as sa  # noqa: PLC0415 - looks at the outbox only here

    made = await review(http, as_, order)
    bodies = [{"resolution": "approve" if number % 2 else "decline", "note": "Mine."} for number in range(12)]
    answers = await asyncio.gather(
        *(resolve(http, as_, made["case"], f"r-{number}", body) for number, body in enumerate(bodies))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 11
    (winner,) = [answer.json() for answer in answers if answer.status_code == 200]
    async with runtime.db.reading() as view:
        said = (await view.execute(sa.text("SELECT type, data FROM outbox ORDER BY seq"))).all()
    assert [row.type for row in said] == ["risk.case.opened", "risk.case.resolved"]
    assert said[1].data == {
        "case": made["case"],
        "decision": made["id"],
        "subject": "pi_k-1",
        "resolution": winner["resolution"],
    }


@pytest.mark.parametrize("body", [{"resolution": "maybe", "note": "x"}, {"resolution": "approve", "note": ""}, {}])
async def test_an_answer_that_does_not_fit_is_refused(http: httpx.AsyncClient, as_: Any, body: Any) -> None:
    answer = await http.post(f"/cases/{CASE}/resolve", json=body, headers={**as_("analyst"), **KEY})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")


async def test_an_unknown_case_is_not_found(http: httpx.AsyncClient, as_: Any) -> None:
    for answer in (await http.get(f"/cases/{CASE}", headers=as_("analyst")), await resolve(http, as_, CASE, "r-1")):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown-case")


async def test_rules_are_shown_as_they_are_in_force(http: httpx.AsyncClient, as_: Any) -> None:
    shown = (await http.get("/rules", headers=as_("analyst"))).json()
    assert (shown["version"], shown["review_at"], shown["on_degraded"]) == (1, 60, "open")
    assert shown["limits"]["payment_review"]["GBP"] == 50_000_00
    assert shown["rules"][0]["rule"] == "denied-party"
    assert (await http.get("/rules", params={"policy_version": 1}, headers=as_("analyst"))).json() == shown
    unknown = await http.get("/rules", params={"policy_version": 9}, headers=as_("analyst"))
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown-policy")


async def test_a_list_is_kept_by_put_and_delete(http: httpx.AsyncClient, as_: Any, order: Any, clock: Any) -> None:
    path = "/lists/denied_customers/entries"
    until = (clock.now() + timedelta(days=1)).astimezone(UTC).isoformat()
    for number in range(3):
        put = await http.put(f"{path}/usr_{number}", json={"note": "Fraud."}, headers=as_("analyst"))
        assert (put.status_code, put.json()["added_by"]) == (200, "usr_eve")
    same = await http.put(f"{path}/usr_0", json={"note": "Fraud."}, headers=as_("analyst"))
    changed = await http.put(f"{path}/usr_1", json={"note": "Till then.", "expires_at": until}, headers=as_("analyst"))
    assert (same.status_code, changed.json()["note"]) == (200, "Till then.")
    first = (await http.get(path, params={"limit": 2}, headers=as_("support"))).json()
    rest = (await http.get(path, params={"limit": 2, "cursor": first["next_cursor"]}, headers=as_("support"))).json()
    assert [entry["value"] for entry in first["items"] + rest["items"]] == ["usr_0", "usr_1", "usr_2"]
    assert rest["next_cursor"] is None
    gone = await http.delete(f"{path}/usr_0", headers=as_("analyst"))
    assert (gone.status_code, gone.content) == (204, b"")
    again = await http.delete(f"{path}/usr_0", headers=as_("analyst"))
    assert (again.status_code, again.json()["code"]) == (404, "unknown-entry")
    clock.advance(2 * 86_400)
    lists = (await http.get("/lists", headers=as_("support"))).json()["items"]
    assert {"list": "denied_customers", "entries": 1} in lists
    assert {one["list"] for one in lists} == {
        "allowed_customers",
        "denied_customers",
        "denied_destinations",
        "denied_payment_methods",
    }


async def test_a_list_that_no_rule_reads_and_an_end_in_the_past_are_refused(http: httpx.AsyncClient, as_: Any) -> None:
    for answer in (
        await http.put("/lists/misspelt/entries/usr_1", json={"note": "x"}, headers=as_("analyst")),
        await http.delete("/lists/misspelt/entries/usr_1", headers=as_("analyst")),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown-list")
        assert "denied_customers" in answer.json()["lists"]
    past = {"note": "x", "expires_at": datetime(2020, 1, 1, tzinfo=UTC).isoformat()}
    answer = await http.put("/lists/denied_customers/entries/usr_1", json=past, headers=as_("analyst"))
    assert (answer.status_code, answer.json()["code"]) == (422, "expires-in-the-past")
