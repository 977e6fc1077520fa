"""Proves imports through the door: each bad line is reported and no good one lost, whatever is sent or repeated."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import httpx
import orjson
import pytest
from services.wallet.tests.conftest import Service, run_service
from sqlalchemy import text

from ledgerlink_contracts.ids import ImportId, TransferId, UserId
from ledgerlink_contracts.wallet.imports import LINE_BYTES_MAX, ImportView
from ledgerlink_kit.db import Database

NDJSON = {"Content-Type": "application/x-ndjson"}


def posted(credit: str = "merchant:m", minor: Any = 1, debit: str = "world", **more: Any) -> dict[str, Any]:
    posting = {"debit": debit, "credit": credit, "amount_minor": minor, "currency": "GBP"}
    return {"kind": "test", "postings": [posting], **more}


def lines_of(orders: Iterable[Any]) -> bytes:
    return b"".join((order if isinstance(order, bytes) else orjson.dumps(order)) + b"\n" for order in orders)


async def opened(service: Service, key: str = "import", **order: Any) -> str:
    answer = await service.call("POST", "/imports", order, Idempotency_Key=key)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def send(service: Service, import_: str, body: Any, from_line: int = 0) -> httpx.Response:
    """Send a body (bytes, or an async iterator for a streamed one) as lines."""
    path = f"/imports/{import_}/lines?from_line={from_line}"
    return await service.client.post(path, content=body, headers={**service.headers(), **NDJSON})


async def problems(service: Service, import_: str, query: str = "") -> list[dict[str, Any]]:
    answer = await service.call("GET", f"/imports/{import_}/problems?limit=1000{query}")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def transfers(db: Database) -> int:
    async with db.reading() as view:
        return int(await view.scalar(text("SELECT count(*) FROM transfers")) or 0)


def counts(view: dict[str, Any]) -> tuple[int, ...]:
    return tuple(view[name] for name in ("next_line", "posted", "replayed", "refused", "malformed", "blank"))


async def test_a_file_with_bad_lines_reports_each_and_loses_none_of_the_good_ones(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=5)
    orders = [
        posted(),
        b"{not json",
        posted(debit=wallet, minor=3),
        posted(debit=wallet, minor=3),
        b"",
        posted(minor=-1),
        b"[1]",
        b'"\xff"',
        b"x" * (LINE_BYTES_MAX + 1),
        posted(credit="nowhere:at-all"),
        posted(metadata={"row": "ten"}),
    ]
    import_ = await opened(service, label="a file", total_lines=11)

    answer = await send(service, import_, lines_of(orders))

    assert answer.status_code == 200, answer.text
    view = answer.json()
    ImportView.model_validate(view)
    assert counts(view) == (11, 3, 0, 2, 5, 1)
    assert view["lines_per_s"] is None or view["lines_per_s"] >= 0
    assert (view["uploading"], view["label"], view["total_lines"]) == (False, "a file", 11)
    reported = await problems(service, import_)
    assert [(one["line"], one["outcome"], one["code"]) for one in reported] == [
        (1, "malformed", "malformed-line"),
        (3, "refused", "insufficient-funds"),
        (5, "malformed", "invalid-line"),
        (6, "malformed", "invalid-line"),
        (7, "malformed", "malformed-line"),
        (8, "malformed", "line-too-long"),
        (9, "refused", "unknown-account-code"),
    ]
    assert reported[1]["problem"]["available_minor"] == 2
    assert reported[2]["problem"]["errors"][0]["path"] == "postings.0.amount_minor"
    assert [one["line"] for one in await problems(service, import_, "&outcome=refused")] == [3, 9]
    found = await service.call("GET", "/transfers?metadata=row:ten")
    assert len(found.json()["items"]) == 1
    assert (await service.audit())["clean"]


BAD: list[tuple[str, Any, str]] = [
    ("an id of another kind", posted(id=str(UserId.derive("u"))), "id"),
    ("an id that is none", posted(id="tr_1"), "id"),
    ("no kind", {"postings": posted()["postings"]}, "kind"),
    ("a kind of other letters", {**posted(), "kind": "Test!"}, "kind"),
    ("no postings", {"kind": "test"}, "postings"),
    ("an empty list of postings", {"kind": "test", "postings": []}, "postings"),
    ("too many postings", {"kind": "test", "postings": posted()["postings"] * 101}, "postings"),
    ("an amount of zero", posted(minor=0), "postings.0.amount_minor"),
    ("an amount below zero", posted(minor=-1), "postings.0.amount_minor"),
    ("an amount as text", posted(minor="1"), "postings.0.amount_minor"),
    ("an amount as a fraction", posted(minor=1.5), "postings.0.amount_minor"),
    ("an amount above the bound", posted(minor=2**53), "postings.0.amount_minor"),
    ("a party of other letters", posted(credit="Merchant"), "postings.0.credit"),
    ("a party of nothing", posted(debit=""), "postings.0.debit"),
    (
        "a currency that is none",
        {"kind": "t", "postings": [{**posted()["postings"][0], "currency": "XXX"}]},
        "currency",
    ),
    ("a posting with more", {"kind": "t", "postings": [{**posted()["postings"][0], "more": 1}]}, "postings.0.more"),
    ("an owner that is none", posted(on_behalf_of="bob"), "on_behalf_of"),
    ("a reference with NUL", posted(reference="\x00"), "reference"),
    ("an empty reference", posted(reference=""), "reference"),
    ("metadata of numbers", posted(metadata={"a": 1}), "metadata.a"),
    ("a moment without offset", posted(effective_at="2026-01-01T00:00:00"), "effective_at"),
    ("a moment of digits", posted(effective_at=1), "effective_at"),
    ("no conditions in a list", posted(conditions=[]), "conditions"),
    ("a condition that says nothing", posted(conditions=[{"account": "world", "currency": "GBP"}]), "conditions.0"),
    ("an unknown field", posted(more=1), "more"),
    ("an unknown field named NUL", {**posted(), "a\x00b": 1}, "a\\u0000b"),
    ("null", None, ""),
]


async def test_bad_input_of_every_field_is_reported_by_its_path_beside_a_good_line(service: Service) -> None:
    import_ = await opened(service)
    orders = [order for _, bad, _ in BAD for order in (bad, posted())]

    view = (await send(service, import_, lines_of(orders))).json()

    assert counts(view) == (2 * len(BAD), len(BAD), 0, 0, len(BAD), 0)
    for (name, _, path), reported in zip(BAD, await problems(service, import_), strict=True):
        assert reported["code"] == "invalid-line", name
        assert any(path in error["path"] for error in reported["problem"]["errors"]), (name, reported)


async def test_a_line_of_a_thousand_errors_is_reported_in_bounds(service: Service) -> None:
    import_ = await opened(service)
    order = {**posted(), **{f"{number:04}{'x' * 40}": 1 for number in range(1_000)}, "y" * 2_000: 1}

    await send(service, import_, lines_of([order]))

    (reported,) = await problems(service, import_)
    assert (len(reported["problem"]["errors"]), reported["problem"]["errors_total"]) == (20, 1_001)
    assert len(orjson.dumps(reported)) < 10_000


async def test_the_same_file_twice_moves_money_once(service: Service) -> None:
    import_ = await opened(service)
    own = [posted(minor=number + 1, id=str(TransferId.derive(f"{number}"))) for number in range(30)]
    made = [posted(minor=number + 1) for number in range(30)]
    body = lines_of([*own, *made, own[0]])

    first = (await send(service, import_, body)).json()
    again = (await send(service, import_, body)).json()
    # Another import knows the lines that have ids of their own.
    other = (await send(service, await opened(service, "other"), lines_of(own))).json()

    assert counts(first) == (61, 61, 1, 0, 0, 0)
    assert counts(again) == counts(first)
    assert counts(other) == (30, 30, 30, 0, 0, 0)
    assert await transfers(service.db) == 60
    assert (await service.audit())["clean"]


async def test_an_id_with_other_content_is_a_problem_that_names_the_fields(service: Service) -> None:
    import_ = await opened(service)
    id_ = str(TransferId.derive("mine"))

    await send(service, import_, lines_of([posted(id=id_), posted(id=id_, minor=2)]))

    (reported,) = await problems(service, import_)
    assert (reported["line"], reported["code"]) == (1, "id-reused")
    assert reported["problem"]["differs"] == ["postings.0.amount_minor"]


async def test_the_pieces_of_a_file_may_overlap_but_leave_no_gap(service: Service) -> None:
    import_ = await opened(service)
    orders = [posted(minor=number + 1) for number in range(10)]

    await send(service, import_, lines_of(orders[:4]))
    gap = await send(service, import_, lines_of(orders[5:]), from_line=5)
    overlapping = await send(service, import_, lines_of(orders[2:]), from_line=2)

    assert (gap.status_code, gap.json()["code"], gap.json()["next_line"]) == (409, "import-gap", 4)
    assert counts(overlapping.json()) == (10, 10, 0, 0, 0, 0)
    assert await transfers(service.db) == 10


async def test_a_last_line_needs_no_line_feed_and_windows_line_ends_are_ends(service: Service) -> None:
    import_ = await opened(service)
    body = lines_of([posted(), posted()]).replace(b"\n", b"\r\n").rstrip()

    assert counts((await send(service, import_, body)).json()) == (2, 2, 0, 0, 0, 0)


async def test_a_body_beyond_the_ordinary_limit_passes_this_route_and_no_other(service: Service) -> None:
    import_ = await opened(service)
    orders = [posted(reference="r" * 500) for _ in range(1_800)]
    body = lines_of(orders)
    assert len(body) > 1024 * 1024

    stated = await send(service, import_, body)
    elsewhere = [
        await service.client.post(path, content=body, headers={**service.headers(), **NDJSON})
        for path in ("/imports", f"/imports/{import_}/close", f"/imports/{import_}/lines/more", "/transfers")
    ]

    assert counts(stated.json()) == (1_800, 1_800, 0, 0, 0, 0)
    assert [answer.status_code for answer in elsewhere] == [413] * 4


async def test_lines_of_another_media_type_are_unsupported_and_ndjson_is_elsewhere(service: Service) -> None:
    import_ = await opened(service)
    as_json = await service.call("POST", f"/imports/{import_}/lines?from_line=0", posted())
    elsewhere = await service.client.post("/transfers", content=b"{}\n", headers={**service.headers(), **NDJSON})

    assert [answer.status_code for answer in (as_json, elsewhere)] == [415, 415]
    assert "application/x-ndjson" in as_json.json()["detail"]


async def test_only_holders_of_ledger_write_import(service: Service, alice: str) -> None:
    import_ = await opened(service)
    for scopes in (("wallet:read", "wallet:write"), ("ledger:read", "ledger:audit")):
        headers = {**service.headers(alice, scopes), **NDJSON}
        paths = (("POST", "/lines?from_line=0"), ("POST", "/close"), ("GET", ""), ("GET", "/problems"))
        for method, path in paths:
            answer = await service.client.request(method, f"/imports/{import_}{path}", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "scope-missing"), path


async def test_opening_is_idempotent_and_bad_orders_are_refused(service: Service) -> None:
    first = await service.call("POST", "/imports", {"label": "x"}, Idempotency_Key="k")
    again = await service.call("POST", "/imports", {"label": "x"}, Idempotency_Key="k")
    other = await service.call("POST", "/imports", {"label": "y"}, Idempotency_Key="k")

    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    for bad in (
        {"label": ""},
        {"label": 1},
        {"total_lines": -1},
        {"total_lines": "1"},
        {"total_lines": 10**10},
        {"a": 1},
    ):
        answer = await service.call("POST", "/imports", bad, Idempotency_Key="bad")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request"), bad
    missing = await service.call("POST", "/imports", {})
    assert (missing.status_code, missing.json()["code"]) == (400, "idempotency-key-missing")


async def test_a_closed_import_takes_no_lines_and_stays_closed(service: Service) -> None:
    import_ = await opened(service)
    closed = await service.call("POST", f"/imports/{import_}/close")
    again = await service.call("POST", f"/imports/{import_}/close")
    late = await send(service, import_, lines_of([posted()]))

    assert (closed.status_code, closed.json()["state"]) == (200, "closed")
    assert again.json() == closed.json()
    assert (late.status_code, late.json()["code"]) == (409, "import-closed")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "/problems"), ("POST", "/close"), ("POST", "/lines")]
)
async def test_an_unknown_import_is_not_found(service: Service, method: str, path: str) -> None:
    unknown = f"/imports/{ImportId.derive('none')}{path}?from_line=0"
    answer = await service.client.request(method, unknown, headers={**service.headers(), **NDJSON})

    assert (answer.status_code, answer.json()["code"]) == (404, "import-not-found")


async def test_a_place_that_is_none_is_refused(service: Service) -> None:
    import_ = await opened(service)
    for place in ("", "?from_line=-1", "?from_line=x", "?from_line=99999999999"):
        answer = await service.client.post(
            f"/imports/{import_}/lines{place}", content=b"{}", headers={**service.headers(), **NDJSON}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request"), place


async def test_imports_and_problems_come_in_pages(service: Service) -> None:
    imports = [await opened(service, f"{number}") for number in range(5)]
    await service.call("POST", f"/imports/{imports[0]}/close")
    await send(service, imports[1], b"x\n" * 7)

    seen: list[str] = []
    cursor = ""
    while True:
        page = (await service.call("GET", f"/imports?limit=2{cursor}")).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == imports[::-1]
    closed = (await service.call("GET", "/imports?state=closed")).json()["items"]
    assert [item["id"] for item in closed] == imports[:1]

    first = (await service.call("GET", f"/imports/{imports[1]}/problems?limit=4")).json()
    rest = (await service.call("GET", f"/imports/{imports[1]}/problems?cursor={first['next_cursor']}")).json()
    assert [one["line"] for one in first["items"] + rest["items"]] == list(range(7))
    assert rest["next_cursor"] is None
    bad = await service.call("GET", f"/imports/{imports[1]}/problems?cursor=eyJsaW5lIjoieCJ9")
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid-cursor")


async def test_two_uploads_at_once_are_one_and_a_refusal(service: Service) -> None:
    import_ = await opened(service)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield lines_of([posted()])
        begun.set()
        await go_on.wait()
        yield lines_of([posted()])

    first = asyncio.create_task(send(service, import_, slow()))
    await begun.wait()
    second = await send(service, import_, lines_of([posted()] * 5))
    closing = await service.call("POST", f"/imports/{import_}/close")
    watched = (await service.call("GET", f"/imports/{import_}")).json()
    go_on.set()

    assert (second.status_code, second.json()["code"]) == (409, "import-busy")
    assert int(second.headers["retry-after"]) <= 30
    assert (closing.status_code, closing.json()["code"]) == (409, "import-busy")
    assert watched["uploading"]
    assert counts((await first).json()) == (2, 2, 0, 0, 0, 0)
    assert counts((await send(service, import_, lines_of([posted()] * 5))).json()) == (5, 5, 0, 0, 0, 0)


async def test_a_slow_sender_sees_progress_before_the_lot_is_full(service: Service) -> None:
    import_ = await opened(service)

    async def slow() -> AsyncIterator[bytes]:
        yield lines_of([posted()])
        for _ in range(200):
            if (await service.call("GET", f"/imports/{import_}")).json()["next_line"] == 1:
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("the first line was kept back")
        yield lines_of([posted()])

    assert counts((await send(service, import_, slow())).json()) == (2, 2, 0, 0, 0, 0)


async def test_small_queues_and_batches_make_small_lots(make_database: Any) -> None:
    async with run_service(await make_database("ledgerlink_wallet"), queue_max=7, batch_max=5) as service:
        import_ = await opened(service)
        view = (
            await send(
                service, import_, lines_of([posted()] * 23 + [{**posted(), "postings": posted()["postings"] * 100}])
            )
        ).json()

    assert counts(view) == (24, 24, 0, 0, 0, 0)
