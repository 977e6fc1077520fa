"""What the provider does when asked. Each command is one transaction: look up the key, decide, store, note the event.

A key belongs to the first request that was accepted under it. The same request again gets the same answer, whatever
became of the thing since (a lookup tells that); another request under the key is refused. A refusal leaves nothing
behind, so its key stays free.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Defect, Kind, Refused
from ledgerlink_sandbox import store
from ledgerlink_sandbox.domain import authorizations as law
from ledgerlink_sandbox.domain import movements, notices
from ledgerlink_sandbox.domain.authorizations import Authorization, AuthorizationRequest
from ledgerlink_sandbox.domain.faults import delivery_from_metadata
from ledgerlink_sandbox.domain.movements import (
    Capture,
    CaptureRequest,
    Payout,
    PayoutRequest,
    Refund,
    RefundRequest,
)
from ledgerlink_sandbox.runtime import Runtime

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Done(Generic[Thing]):
    """The thing as it was first answered; ``replayed`` when the key had been used for the same request before."""

    thing: Thing
    replayed: bool = False


async def authorize(runtime: Runtime, request: AuthorizationRequest) -> Done[Authorization]:
    """Decide on a card. Raises `Refused`: ``payment-method-unknown``, ``fault-unknown``, ``key-reused``."""
    now, delivery = runtime.clock.now(), delivery_from_metadata(request.metadata)
    opened = law.authorize(request, now)

    async def body(tx: Tx) -> Done[Authorization]:
        if not await store.insert_authorization(tx, opened):
            stored = _found(await store.find_authorization(tx, request.key))
            _same(stored.request, request)
            return Done(law.authorize(stored.request, stored.created_at), replayed=True)
        await store.record_notice(tx, notices.authorization_notice(opened, now), delivery, now)
        return Done(opened)

    return await _run(runtime, body)


async def capture(runtime: Runtime, request: CaptureRequest) -> Done[Capture]:
    """Collect from an authorization.

    Raises `Refused`: ``authorization-unknown``, ``key-reused``, and what `law.capture` refuses.
    """
    now = runtime.clock.now()

    async def body(tx: Tx) -> Done[Capture]:
        # The lock comes first, so that two captures of one authorization are judged one after the other.
        authorization = await _lock(tx, request.authorization)
        known = await store.find_capture(tx, request.key)
        if known is not None:
            _same(known.request, request)
            return Done(known, replayed=True)
        after = law.capture(authorization, request.amount_minor, now, final=request.final)
        made = Capture(request, authorization.request.currency, now)
        if not await store.insert_capture(tx, made):
            # Taken since we looked, hence under another authorization's lock, hence for another request.
            raise _reused(["authorization"])
        await store.save_authorization(tx, after)
        delivery = delivery_from_metadata(authorization.request.metadata)
        await store.record_notice(tx, notices.capture_notice(made, now), delivery, now)
        return Done(made)

    return await _run(runtime, body)


async def void(runtime: Runtime, key: str) -> Done[Authorization]:
    """Release what is left of an authorization. Raises `Refused`: ``authorization-unknown``, and as `law.void`."""
    now = runtime.clock.now()

    async def body(tx: Tx) -> Done[Authorization]:
        before = await _lock(tx, key)
        after = law.void(before)
        if after == before:
            return Done(before, replayed=True)
        await store.save_authorization(tx, after)
        delivery = delivery_from_metadata(after.request.metadata)
        await store.record_notice(tx, notices.void_notice(after, now), delivery, now)
        return Done(after)

    return await _run(runtime, body)


async def refund(runtime: Runtime, request: RefundRequest) -> Done[Refund]:
    """Give captured money back.

    Raises `Refused`: ``fault-unknown``, ``authorization-unknown``, ``key-reused``, and what `law.take_back` refuses.
    """
    now, delivery = runtime.clock.now(), delivery_from_metadata(request.metadata)

    async def body(tx: Tx) -> Done[Refund]:
        authorization = await _lock(tx, request.authorization)
        card = authorization.request.payment_method
        known = await store.find_refund(tx, request.key)
        if known is not None:
            _same(known.request, request)
            return Done(movements.start_refund(known.request, card, known.currency, known.created_at), replayed=True)
        after = law.take_back(authorization, request.amount_minor)
        opened = movements.start_refund(request, card, authorization.request.currency, now)
        if not await store.insert_refund(tx, opened):
            raise _reused(["authorization"])
        await store.save_authorization(tx, after)
        await store.record_notice(tx, notices.refund_notice(opened, now), delivery, now)
        return Done(opened)

    return await _run(runtime, body)


async def pay_out(runtime: Runtime, request: PayoutRequest) -> Done[Payout]:
    """Send money to a bank. Raises `Refused`: ``fault-unknown``, ``key-reused``."""
    now, delivery = runtime.clock.now(), delivery_from_metadata(request.metadata)
    opened = movements.start_payout(request, now)

    async def body(tx: Tx) -> Done[Payout]:
        if not await store.insert_payout(tx, opened):
            stored = await store.find_payout(tx, request.key)
            assert stored is not None, "a key that is taken has its payout"
            _same(stored.request, request)
            return Done(movements.start_payout(stored.request, stored.created_at), replayed=True)
        await store.record_notice(tx, notices.payout_notice(opened, now), delivery, now)
        return Done(opened)

    return await _run(runtime, body)


async def _run(runtime: Runtime, body: Callable[[Tx], Awaitable[Thing]]) -> Thing:
    result = await runtime.db.retrying(body)
    runtime.news.set()
    return result


async def _lock(tx: Tx, key: str) -> Authorization:
    found = await store.find_authorization(tx, key, lock=True)
    if found is None:
        raise Refused(Kind.NOT_FOUND, "authorization-unknown", "No authorization has this key.")
    return found


def _found(authorization: Authorization | None) -> Authorization:
    if authorization is None:
        raise Defect("a key is taken by an authorization that is not there")
    return authorization


def _same(stored: Any, asked: Any) -> None:
    """Refuse ``asked`` when it is another request than the one ``stored`` under its key."""
    differs = [part.name for part in fields(stored) if getattr(stored, part.name) != getattr(asked, part.name)]
    if differs:
        raise _reused(differs)


def _reused(differs: list[str]) -> Refused:
    names = [name.removesuffix("_minor") for name in differs]
    return Refused(
        Kind.CONFLICT,
        "key-reused",
        f"The key was used for another request; what differs: {', '.join(names)}.",
        differs=names,
    )
