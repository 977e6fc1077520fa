"""Proves that the overview has every part that can be had, within a bounded time, and marks each that cannot."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from ledgerlink_gateway.testing import (
    Answer,
    MakeStand,
    RawRequest,
    RawUpstream,
    Stand,
    ask,
    raw,
    raw_upstream,
    request,
)

ME = {"id": "usr_alice", "email": "alice@example.com"}
AT = "2026-01-02T03:04:05Z"
GBP = {"currency": "GBP", "posted_minor": 500, "pending_minor": 0, "available_minor": 500}
WALLET = {
    "id": "wal_01h455vb4pex5vsknk084sn02q",
    "owner": "usr_alice",
    "currency": "GBP",
    "label": None,
    "state": "open",
    "balances": [GBP, {**GBP, "currency": "KWD"}],
    "opened_at": AT,
}


def _transfer(number: int) -> dict[str, Any]:
    return {
        "id": f"tr_01h455vb4pex5vsknk084sn0{number:02}",
        "kind": "wallet.credit",
        "state": "posted",
        "postings": [],
        "on_behalf_of": None,
        "reference": None,
        "metadata": {},
        "reverses": None,
        "hold": None,
        "effective_at": AT,
        "recorded_at": f"2026-01-{number:02}T00:00:00Z",
    }


INTENTS = {
    "object": "list",
    "data": [
        {"id": "pi_1", "status": "requires_capture"},
        {"id": "pi_2", "status": "succeeded"},
        {"id": "pi_3", "status": "processing"},
        {"id": "pi_4", "status": "canceled"},
    ],
}
WHOLE: Mapping[str, tuple[int, Any]] = {
    "/auth/me": (200, ME),
    "/wallets": (200, {"items": [WALLET], "next_cursor": None}),
    "/transfers": (200, {"items": [_transfer(number) for number in range(9, 2, -1)], "next_cursor": None}),
    "/v1/payment_intents": (200, INTENTS),
}
GARBLED: list[tuple[tuple[int, Any], str]] = [
    ((403, {"code": "scope-missing"}), "scope-missing"),
    ((500, {"code": "internal-error"}), "internal-error"),
    ((404, {}), "answered-404"),
    ((200, {"nothing": "here"}), "upstream-invalid"),
    ((200, {"items": [{"id": "wal_1"}]}), "upstream-invalid"),
    ((200, [1, 2]), "answered-200"),
]


def _services(answers: Mapping[str, tuple[int, Any]], slow: str | None = None) -> Answer:
    async def answer(
        seen: RawRequest, _upstream: RawUpstream, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        path = seen.target.split("?")[0]
        if path == slow:
            await asyncio.sleep(30)
        status, document = answers[path]
        body = orjson.dumps(document)
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))

    return answer


async def _overview(stand: Stand) -> dict[str, Any]:
    reply = await ask(
        stand.port, request("GET", "/api/v1/overview", token=stand.token, headers=[("x-request-id", "o-1")])
    )
    assert (reply.status, reply.header("x-request-id")) == (200, "o-1")
    return orjson.loads(reply.body)


async def test_the_overview_joins_four_parts_asked_with_the_callers_own_token(stand: Stand) -> None:
    stand.upstream.otherwise = _services(WHOLE)
    body = await _overview(stand)
    assert body["is_complete"] is True
    assert (body["me"], body["wallets"]) == (ME, [WALLET])
    days = [transfer["recorded_at"][8:10] for transfer in body["recent_transfers"]]
    assert days == ["09", "08", "07", "06", "05", "04", "03"]
    assert [intent["id"] for intent in body["open_intents"]] == ["pi_1", "pi_3"]
    assert {seen.header("authorization") for seen in stand.upstream.requests} == {f"Bearer {stand.token}"}
    assert {seen.header("x-request-id") for seen in stand.upstream.requests} == {"o-1"}


async def test_a_service_that_is_down_leaves_its_part_marked_and_the_others_there(make_stand: MakeStand) -> None:
    async with raw_upstream() as gone:
        pass
    stand = await make_stand(payments_url=gone.url)
    stand.upstream.otherwise = _services(WHOLE)
    body = await _overview(stand)
    assert (body["is_complete"], body["open_intents"]) == (False, None)
    assert body["parts"]["open_intents"] == {"state": "missing", "reason": "upstream-unavailable"}
    assert body["parts"]["wallets"] == {"state": "present", "reason": None}


async def test_a_slow_part_is_given_up_at_its_deadline_and_holds_up_nobody(stand: Stand) -> None:
    stand.upstream.otherwise = _services(WHOLE, slow="/transfers")
    async with asyncio.timeout(4):
        body = await _overview(stand)
    assert body["parts"]["recent_transfers"]["reason"] == "upstream-timeout"
    assert body["wallets"] == [WALLET]


@pytest.mark.parametrize(
    ("answer", "reason"),
    GARBLED,
)
async def test_what_a_service_refuses_or_garbles_is_marked_with_its_reason(
    stand: Stand, answer: tuple[int, Any], reason: str
) -> None:
    stand.upstream.otherwise = _services({**WHOLE, "/wallets": answer})
    body = await _overview(stand)
    assert body["parts"]["wallets"] == {"state": "missing", "reason": reason}
    assert body["me"] == ME


async def test_transfers_are_asked_for_each_account_of_the_callers_wallets(stand: Stand) -> None:
    stand.upstream.otherwise = _services(WHOLE)
    await _overview(stand)
    asked = sorted(seen.target for seen in stand.upstream.requests if seen.target.startswith("/transfers"))
    wallet = WALLET["id"]
    assert asked == [f"/transfers?account={wallet}&currency={code}&limit=10" for code in ("GBP", "KWD")]


async def test_with_nothing_to_be_had_every_part_is_marked(stand: Stand) -> None:
    stand.upstream.otherwise = raw(b"", close=True)
    body = await _overview(stand)
    assert {part["state"] for part in body["parts"].values()} == {"missing"}


async def test_the_overview_is_for_callers_only(stand: Stand) -> None:
    assert (await ask(stand.port, request("GET", "/api/v1/overview"))).status == 401
    assert stand.upstream.requests == []
