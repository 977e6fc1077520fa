"""How an answer is given: the thing as JSON, and the faults that were asked for on the way."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import orjson
from fastapi import HTTPException, Response

from ledgerlink_kit.errors import Unavailable
from ledgerlink_sandbox.commands.orders import Done
from ledgerlink_sandbox.domain.cards import find_card
from ledgerlink_sandbox.domain.faults import Fault, FaultKind, Operation, fault_from_metadata
from ledgerlink_sandbox.domain.notices import Snapshot
from ledgerlink_sandbox.runtime import Runtime

Thing = TypeVar("Thing")

REPLAYED_HEADER: Final = "Idempotency-Replayed"
WRITE_STATUSES: Final = (400, 401, 409, 413, 415, 422, 503, 504)
LOOKUP_STATUSES: Final = (401, 404, 422, 503)


def own_fault(metadata: dict[str, str], payment_method: str | None = None) -> Fault | None:
    """Give the fault that a request asks for by its metadata, or by its card. Raises `Refused`."""
    kind = fault_from_metadata(metadata)
    if kind is None and payment_method is not None:
        kind = find_card(payment_method).fault
    return None if kind is None else Fault(kind)


async def perform(
    runtime: Runtime,
    operation: Operation,
    key: str,
    work: Callable[[], Awaitable[Done[Thing]]],
    describe: Callable[[Thing], Snapshot],
    own: Fault | None = None,
) -> Response:
    """Do ``work`` and answer 201, or go wrong as planned: before the work, or after it with the answer lost."""
    fault = runtime.faults.take(operation, key, own)
    if fault is not None:
        await asyncio.sleep(fault.before_s)
        if fault.kind is FaultKind.ERROR:
            raise Unavailable("fault-error", "The provider fails as it was told to; nothing was done.")
        if fault.loses_request:
            raise _timed_out()
    done = await work()
    if fault is not None and fault.loses_answer:
        await asyncio.sleep(fault.after_s)
        raise _timed_out()
    return answer(describe(done.thing), 201, replayed=done.replayed)


def answer(snapshot: Snapshot, status: int = 200, *, replayed: bool = False) -> Response:
    """Write a thing as JSON; a replay says so in a header."""
    headers = {REPLAYED_HEADER: "true"} if replayed else {}
    return Response(orjson.dumps(snapshot), status, headers=headers, media_type="application/json")


def _timed_out() -> HTTPException:
    return HTTPException(504, "The provider did not answer in time; ask by the key what became of the request.")
