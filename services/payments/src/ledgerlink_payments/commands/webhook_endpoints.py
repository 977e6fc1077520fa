"""Webhook endpoints: who wants to be told of events, where and of which."""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID, uuid4

from ledgerlink_contracts.ids import EventId, WebhookEndpointId
from ledgerlink_kit import phased
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.idempotency import Once, Reply
from ledgerlink_kit.ids import InvalidId, TypedId
from ledgerlink_kit.telemetry import span
from ledgerlink_payments.domain import addresses, refusals, webhooks
from ledgerlink_payments.domain.actors import Actor
from ledgerlink_payments.domain.webhooks import Endpoint
from ledgerlink_payments.runtime import Runtime
from ledgerlink_payments.store import webhooks as store

Shown = Callable[[Endpoint], Reply]


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    """What is asked for when an endpoint is made."""

    url: str
    enabled_events: Sequence[str]
    description: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to change of an endpoint; None leaves a thing as it is."""

    url: str | None = None
    enabled_events: Sequence[str] | None = None
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    disabled: bool | None = None


async def create(
    rt: Runtime,
    once: Once,
    actor: Actor,
    new: NewEndpoint,
    shown: Shown,
    refuse: phased.Refuse,
    *,
    allow_loopback: bool,
) -> Reply:
    """Make an endpoint with a fresh secret, which is shown this once. Refuses `url-invalid`, `parameter-invalid`."""
    endpoint = Endpoint(
        id=once.derive(WebhookEndpointId),
        owner=actor.subject,
        url=addresses.check_url(new.url, allow_loopback=allow_loopback),
        enabled_events=webhooks.check_events(new.enabled_events),
        secret=_fresh_secret(),
        created_at=rt.clock.now(),
        description=new.description or None,
        seed=secrets.token_bytes(webhooks.SEED_BYTES),
    ).labeled(new.metadata)

    async def work(tx: Tx) -> Endpoint:
        if await store.count_endpoints(tx, actor.subject) >= webhooks.ENDPOINTS_MAX:
            raise refusals.invalid("url", f"At most {webhooks.ENDPOINTS_MAX} endpoints may stand at a time.")
        await store.add_endpoint(tx, endpoint)
        return endpoint

    with span("create_webhook_endpoint"):
        return await _once(rt, once, work, shown, refuse)


async def change(
    rt: Runtime,
    once: Once,
    actor: Actor,
    text: str,
    changes: Changes,
    shown: Shown,
    refuse: phased.Refuse,
    *,
    allow_loopback: bool,
) -> Reply:
    """Change an endpoint of the caller's. Refuses `resource-missing`, `url-invalid`, `parameter-invalid`."""

    async def work(tx: Tx) -> Endpoint:
        endpoint = await _own(tx, actor, text)
        if changes.url is not None:
            endpoint = replace(endpoint, url=addresses.check_url(changes.url, allow_loopback=allow_loopback))
        if changes.enabled_events is not None:
            endpoint = replace(endpoint, enabled_events=webhooks.check_events(changes.enabled_events))
        if changes.description is not None:
            endpoint = endpoint.described(changes.description)
        if changes.metadata is not None:
            endpoint = endpoint.labeled(changes.metadata)
        if changes.disabled is not None:
            endpoint = endpoint.disabled("asked") if changes.disabled else endpoint.enabled()
        await store.save_endpoint(tx, endpoint)
        return endpoint

    with span("change_webhook_endpoint"):
        return await _once(rt, once, work, shown, refuse)


async def rotate_secret(
    rt: Runtime, once: Once, actor: Actor, text: str, overlap: timedelta, shown: Shown, refuse: phased.Refuse
) -> Reply:
    """Give an endpoint a fresh secret; the present one goes on signing for ``overlap``. Refuses `resource-missing`."""

    async def work(tx: Tx) -> Endpoint:
        endpoint = (await _own(tx, actor, text)).rotated(_fresh_secret(), rt.clock.now(), overlap)
        await store.save_endpoint(tx, endpoint)
        return endpoint

    with span("rotate_webhook_secret"):
        return await _once(rt, once, work, shown, refuse)


async def delete(rt: Runtime, actor: Actor, text: str) -> Endpoint:
    """Forget an endpoint, and what was still to be sent to it. Refuses `resource-missing`."""
    with span("delete_webhook_endpoint"):
        async with rt.db.transaction() as tx:
            endpoint = await _own(tx, actor, text)
            await store.drop_endpoint(tx, endpoint)
        return endpoint


async def replay(
    rt: Runtime,
    once: Once,
    actor: Actor,
    text: str,
    event: str,
    shown: Callable[[UUID], Reply],
    refuse: phased.Refuse,
) -> Reply:
    """Send one event to an endpoint once more. Refuses `resource-missing`, `too-many-replays`, and a disabled one."""
    now = rt.clock.now()

    async def work(tx: Tx) -> UUID:
        endpoint = await _own(tx, actor, text)
        if endpoint.status is webhooks.EndpointStatus.DISABLED:
            raise refusals.unexpected_state("webhook_endpoint", "disabled", "sent to")
        event_id = _parse(EventId, event, "event", "event")
        if not await store.event_for(tx, event_id, actor.subject):
            raise refusals.missing("event", event[:80], "event")
        delivery = uuid4()
        if await store.add_replay(tx, delivery, event_id, endpoint, now) is None:
            raise Refused(
                Kind.CONFLICT, "too-many-replays", f"An event is sent again at most {store.REPLAYS_MAX} times."
            )
        return delivery

    async def begin(tx: Tx, answer: phased.Answer) -> UUID:
        delivery = await work(tx)
        await answer.keep(tx, shown(delivery))
        return delivery

    async def finish(begun: UUID, _answer: phased.Answer) -> Reply:
        return shown(begun)

    with span("replay_event"):
        return await phased.run(rt.db, once, begin, finish, refuse)


async def _once(
    rt: Runtime,
    once: Once,
    work: Callable[[Tx], Awaitable[Endpoint]],
    shown: Shown,
    refuse: phased.Refuse,
) -> Reply:
    """Run ``work`` once under the key, in one transaction with its answer."""

    async def begin(tx: Tx, answer: phased.Answer) -> Endpoint:
        endpoint = await work(tx)
        await answer.keep(tx, shown(endpoint))
        return endpoint

    async def finish(begun: Endpoint, _answer: phased.Answer) -> Reply:
        return shown(begun)

    return await phased.run(rt.db, once, begin, finish, refuse)


async def _own(tx: Tx, actor: Actor, text: str) -> Endpoint:
    """Give the caller's endpoint, locked. Somebody else's is missing, as one that never was."""
    endpoint = await store.find_endpoint(tx, _parse(WebhookEndpointId, text, "webhook_endpoint", "id"))
    if endpoint is None or endpoint.owner != actor.subject:
        raise refusals.missing("webhook_endpoint", text[:80])
    return endpoint


def _parse(kind: type[TypedId], text: str, noun: str, param: str) -> UUID:
    try:
        return kind.parse(text).uuid
    except InvalidId:
        raise refusals.missing(noun, text[:80], param) from None


def _fresh_secret() -> str:
    return webhooks.secret_from(secrets.token_bytes(webhooks.SECRET_BYTES))
