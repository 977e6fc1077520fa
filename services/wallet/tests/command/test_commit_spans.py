"""Proves where the span of a commit stands that serves several requests, and that its statements are in it."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial

import orjson
import pytest
from opentelemetry.sdk.trace import ReadableSpan

from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.ids import uuid8
from ledgerlink_kit.telemetry import new_traceparent, request_context
from ledgerlink_kit.testing.plugin import MakeDatabase
from ledgerlink_kit.testing.spans import PARENT, recorded_spans
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.domain.books import TransferKey
from ledgerlink_wallet.domain.content import content_of
from ledgerlink_wallet.domain.orders import Posting, PostTransfer
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.runtime import Answer, Owners
from ledgerlink_wallet.store import open_pool

TRACES = [f"00-{number:032x}-00000000000000aa-01" for number in (1, 2, 3)]


def order(id_: str) -> PostTransfer:
    posting = Posting(party_of("world", "GBP"), party_of("merchant:m", "GBP"), 1, "GBP")
    return PostTransfer(TransferKey(uuid8(id_)), content_of(orjson.dumps({"id": id_})), "test", (posting,))


@pytest.fixture
async def committer(make_database: MakeDatabase) -> AsyncGenerator[Committer]:
    db: Database = await make_database("ledgerlink_wallet")
    made = Committer(partial(open_pool, db.url, application_name="test", size=2), SystemClock(), Owners())
    await made.start()
    await made.submit(order("warm"))  # connects, and opens the accounts
    yield made
    await made.stop()


async def asked(committer: Committer, trace: str, id_: str) -> Answer:
    with request_context(id_, trace):
        return await committer.submit(order(id_))


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.trace_id


async def test_one_commit_stands_under_the_first_and_is_linked_with_the_others(committer: Committer) -> None:
    with recorded_spans() as spans:
        unrecorded = asked(committer, new_traceparent(), "unrecorded")
        await asyncio.gather(unrecorded, *(asked(committer, trace, trace) for trace in TRACES))
    waits = {trace_of(span): span for span in spans.all() if span.name == "await commit"}
    assert waits.keys() == {1, 2, 3}
    commit = spans.one("commit batch")
    assert spans.attributes("commit batch") == {"ledgerlink.commands": 4}
    assert commit.parent is not None
    assert (trace_of(commit), commit.parent) == (1, waits[1].context)
    assert [link.context for link in commit.links] == [waits[2].context, waits[3].context]
    assert [[link.context for link in waits[trace].links] for trace in (1, 2, 3)] == [[], *[[commit.context]] * 2]


async def test_a_commits_statements_are_below_it_and_hold_no_value(committer: Committer) -> None:
    with recorded_spans() as spans:
        await asked(committer, PARENT, "one")
    commit = spans.one("commit batch")
    below = [span for span in spans.all() if span.parent == commit.context]
    assert [span.name for span in below] == ["SELECT accounts", "UPDATE accounts", "COMMIT"]
    assert {str((span.attributes or {})["db.system.name"]) for span in below} == {"postgresql"}
    assert "merchant:m" not in "".join(span.to_json() for span in below)


async def test_a_commit_that_nobody_records_makes_no_span(committer: Committer) -> None:
    with recorded_spans() as spans:
        await asked(committer, new_traceparent(), "two")
    assert spans.names() == []
