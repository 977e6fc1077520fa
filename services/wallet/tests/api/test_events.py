"""Proves that an account's events come without a gap and without a repeat, in pages and live, and that a live stream
speaks up in silence, knows its limits, and ends when the service does.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
import uvicorn
from services.wallet.tests.conftest import MakeDatabase, Service, run_service

from ledgerlink_contracts.ids import AccountId
from ledgerlink_kit.errors import Refused, Unavailable
from ledgerlink_kit.testing.clock import ManualClock
from ledgerlink_wallet.api.events import HEARTBEAT_S, STREAM_S_MAX, live
from ledgerlink_wallet.domain.books import AccountFacts
from ledgerlink_wallet.queries.accounts import account_row
from ledgerlink_wallet.runtime import Runtime, Streams


async def credit(service: Service, wallet: str, first: int, last: int) -> None:
    """Credit a wallet concurrently with 1, 2, 3 and so on."""

    async def one(number: int) -> None:
        order = {"amount_minor": number, "currency": "GBP"}
        await service.call("POST", f"/wallets/{wallet}/credit", order, Idempotency_Key=f"c{number}")

    await asyncio.gather(*(one(number) for number in range(first, last + 1)))


async def account_of(service: Service, wallet: str) -> str:
    return str((await service.call("GET", f"/accounts?wallet={wallet}")).json()["items"][0]["id"])


def versions(event_stream: str) -> list[int]:
    """Give the event ids of a stream, each of which must be that of its data."""
    found: list[int] = []
    for event in event_stream.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.splitlines() if not line.startswith(":"))
        if "data" in fields:
            assert orjson.loads(fields["data"])["version"] == int(fields["id"])
            assert fields["event"] == "entry"
            found.append(int(fields["id"]))
    return found


async def test_pages_of_events_follow_each_other_without_a_gap(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice)
    await credit(service, wallet, 1, 7)
    path = f"/accounts/{await account_of(service, wallet)}/events?limit=3"
    seen: list[int] = []
    after = 0
    for _ in range(4):
        page = (await service.call_as(alice, "GET", f"{path}&after_version={after}")).json()
        seen += [entry["version"] for entry in page["items"]]
        after = page["after_version"]
    later = (await service.call("GET", path, Last_Event_ID="5")).json()

    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert after == 7
    assert [entry["version"] for entry in later["items"]] == [6, 7]


async def test_somebody_elses_events_are_answered_like_those_of_no_account(
    service: Service, alice: str, bob: str
) -> None:
    account = await account_of(service, await service.wallet(bob, funds=5))
    for path in (account, f"acc_{'0' * 26}"):
        answer = await service.call_as(alice, "GET", f"/accounts/{path}/events")

        assert (answer.status_code, answer.json()["code"]) == (404, "account-not-found")


async def test_a_bad_version_is_refused(service: Service) -> None:
    path = f"/accounts/acc_{'0' * 26}/events"
    for query, header in (("?after_version=-1", "1"), ("?after_version=x", "1"), ("", "x"), ("", str(2**63))):
        answer = await service.call("GET", path + query, Last_Event_ID=header)

        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request"), (query, header)


@asynccontextmanager
async def served(service: Service) -> AsyncGenerator[str]:
    """Serve the app on a free port of this loop; gives its address."""
    config = uvicorn.Config(service.app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())  # pyright: ignore[reportPrivateUsage]
    while not server.started:  # noqa: ASYNC110 - the server has no event for it
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await running


async def test_a_live_stream_tells_each_entry_once_goes_on_after_a_break_and_ends_with_the_service(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice)
    await credit(service, wallet, 1, 3)
    path = f"/accounts/{await account_of(service, wallet)}/events"
    headers = {**service.headers(alice, ("wallet:read",)), "Accept": "text/event-stream"}
    async with served(service) as address, httpx.AsyncClient(base_url=address) as client:
        async with client.stream("GET", path, headers=headers) as answer:
            first = await heard(answer.aiter_text(), 3)
        async with client.stream("GET", path, headers={**headers, "Last-Event-ID": "2"}) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            text = answer.aiter_text()
            _, rest = await asyncio.gather(credit(service, wallet, 4, 40), heard(text, 38))
            service.app.state.stopping.set()
            left = [piece async for piece in text]

    assert versions(first) == [1, 2, 3]
    assert versions(rest) == list(range(3, 41))
    assert versions("".join(left)) == []


async def heard(text: AsyncIterator[str], count: int) -> str:
    """Listen until ``count`` events were told."""
    said = ""
    async for piece in text:
        said += piece
        if said.count("\ndata: ") >= count:
            break
    return said


async def listened_to(service: Service, owner: str) -> tuple[Runtime, AccountFacts, ManualClock]:
    """Give the service's runtime with a clock that stands, and a wallet's account."""
    account = await account_of(service, await service.wallet(owner, funds=5))
    running: Runtime = service.app.state.runtime
    clock = ManualClock()
    runtime = Runtime(running.db, running.ledger, clock, running.settings, running.checkpoint_key)
    async with runtime.db.reading() as view:
        return runtime, (await account_row(view, AccountId.parse(account))).facts, clock


async def test_silence_is_broken_by_a_heartbeat_and_a_stream_ends_after_ten_minutes(
    service: Service, alice: str
) -> None:
    runtime, facts, clock = await listened_to(service, alice)
    stream = live(runtime, asyncio.Event(), alice, facts, 1)
    first = await anext(stream)
    clock.advance(HEARTBEAT_S)
    second = await anext(stream)
    clock.advance(STREAM_S_MAX)
    rest = [piece async for piece in stream]

    assert (first, second, rest) == ("retry: 1000\n\n", ":\n\n", [])


async def test_too_many_streams_are_refused_and_an_ended_one_makes_room(service: Service, alice: str) -> None:
    runtime, facts, _ = await listened_to(service, alice)
    streams = Streams(total_max=3, caller_max=2)
    with streams.listening("a"), streams.listening("b"):
        streams.check("a")
        with streams.listening("a"):
            with pytest.raises(Refused, match="2 streams"):
                streams.check("a")
            with pytest.raises(Unavailable, match="Too many"):
                streams.check("c")
        streams.check("c")
    stop = asyncio.Event()
    stop.set()
    assert [piece async for piece in live(runtime, stop, alice, facts, 0)] == ["retry: 1000\n\n"]


async def test_the_stream_that_is_one_too_many_is_told_when_to_come_back(
    make_database: MakeDatabase, alice: str
) -> None:
    async with run_service(await make_database("ledgerlink_wallet"), streams_max=1) as service:
        account = await account_of(service, await service.wallet(alice, funds=5))
        runtime: Runtime = service.app.state.runtime
        with runtime.streams.listening("somebody"):
            answer: Any = await service.call("GET", f"/accounts/{account}/events", Accept="text/event-stream")

    assert (answer.status_code, answer.json()["code"]) == (503, "streams-busy")
    assert answer.headers["retry-after"] == "5"
