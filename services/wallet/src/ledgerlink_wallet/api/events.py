"""What happens on one account, entry by entry without a gap: pages, or a live stream (WHATWG server-sent events).

An entry's version is its place and its event id: versions are gapless and become visible in order, because whoever
writes the next one waits for the lock of the one before. So nothing is missed and nothing is told twice.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from ledgerlink_contracts.ids import AccountId
from ledgerlink_contracts.wallet.models import AccountEventsView
from ledgerlink_kit.pagination import PAGE_DEFAULT
from ledgerlink_kit.problem import responses
from ledgerlink_wallet.api.callers import AnyReader, GivenRuntime, LedgerLimit, owner_filter
from ledgerlink_wallet.domain.books import AccountFacts
from ledgerlink_wallet.queries import accounts, visibility
from ledgerlink_wallet.queries.moments import NEWEST
from ledgerlink_wallet.runtime import Runtime

router = APIRouter(tags=["ledger"])

EVENT_STREAM: Final = "text/event-stream"
POLL_S: Final = 0.25
POLL_S_MAX: Final = 2.0
"""How long a live stream waits before it looks for what is new: longer in silence, up to two seconds."""

HEARTBEAT_S: Final = 10.0
"""A comment is sent after so long a silence, so that whoever stands between knows that the stream lives."""

STREAM_S_MAX: Final = 600.0
"""A stream ends after so long, as an access token does; the listener comes back with Last-Event-ID."""

_LOT: Final = 500
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Entries after the version; live with `Accept: text/event-stream`",
        "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
    },
    **responses(404, 429),
}
_Version = Annotated[int, Query(ge=0, le=NEWEST, description="The last version that is known already")]


@router.get(
    "/accounts/{account}/events", name="list_account_events", response_model=AccountEventsView, responses=_ANSWERS
)
async def list_account_events(
    *,
    account: AccountId,
    caller: AnyReader,
    request: Request,
    runtime: GivenRuntime,
    after_version: _Version = 0,
    limit: LedgerLimit = PAGE_DEFAULT,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[
        int | None, Header(alias="Last-Event-ID", ge=0, le=NEWEST, description="Stands before `after_version`")
    ] = None,
) -> Response:
    """Give an account's entries after a version, without a gap; live with `Accept: text/event-stream`.

    A live stream names each version as its event id, says something every 10 seconds, and ends after 10 minutes or with
    the service: come back with `Last-Event-ID`. Owners listen to the accounts of their wallets.
    """
    after = after_version if last_event_id is None else last_event_id
    async with runtime.db.reading() as view:
        facts = (await visibility.visible_account(view, account, owner_filter(caller))).facts
        if EVENT_STREAM not in accept:
            items = await accounts.entries_after(view, facts, after, limit)
            page = AccountEventsView(account=account, items=items, after_version=items[-1].version if items else after)
            return Response(page.model_dump_json(), media_type="application/json", headers={"Vary": "Accept"})
    runtime.streams.check(caller.subject)
    events = live(runtime, request.app.state.stopping, caller.subject, facts, after)
    return StreamingResponse(events, media_type=EVENT_STREAM, headers={"Vary": "Accept", "X-Accel-Buffering": "no"})


async def live(
    runtime: Runtime, stopping: asyncio.Event, caller: str, facts: AccountFacts, after: int
) -> AsyncGenerator[str]:
    """Tell every entry after a version as it comes, until the service stops or the stream has lived long enough."""
    with runtime.streams.listening(caller):
        started = spoken = runtime.clock.monotonic()
        pause = POLL_S
        yield "retry: 1000\n\n"
        while not stopping.is_set() and runtime.clock.monotonic() - started < STREAM_S_MAX:
            # A view of its own each time: a listener holds no connection to the database while nothing happens.
            async with runtime.db.reading() as view:
                entries = await accounts.entries_after(view, facts, after, _LOT)
            if entries:
                after, pause = entries[-1].version, POLL_S
                spoken = runtime.clock.monotonic()
                yield "".join(
                    f"id: {entry.version}\nevent: entry\ndata: {entry.model_dump_json()}\n\n" for entry in entries
                )
                if len(entries) == _LOT:
                    continue
            else:
                pause = min(2 * pause, POLL_S_MAX)
            if not entries and runtime.clock.monotonic() - spoken >= HEARTBEAT_S:
                spoken = runtime.clock.monotonic()
                yield ":\n\n"
            try:
                await asyncio.wait_for(stopping.wait(), pause)
            except TimeoutError:
                continue
