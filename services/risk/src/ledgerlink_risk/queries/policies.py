"""Policies, compiled and shown, and the lists that their rules read."""

from datetime import datetime

import sqlalchemy as sa
from pydantic import AwareDatetime, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.risk.models import EventKind
from ledgerlink_kit.errors import Defect, Kind, Refused
from ledgerlink_kit.pagination import InvalidCursor, Page, decode_cursor, encode_cursor
from ledgerlink_kit.wire import ResponseModel
from ledgerlink_risk.domain.lists import Entry
from ledgerlink_risk.domain.policy import Effect, OnDegraded, OnMissing, Policy, PolicyRefused, compile_policy
from ledgerlink_risk.domain.verdicts import Inputs, decide, to_bytes
from ledgerlink_risk.runtime import Runtime
from ledgerlink_risk.store.lists import entry_of
from ledgerlink_risk.store.policies import load_policy
from ledgerlink_risk.tables import list_entries, policies


class RuleView(ResponseModel):
    """A rule in force, its text in the profile of CEL that the README documents."""

    rule: str
    version: int
    reason: str
    kinds: list[EventKind]
    condition: str
    effect: Effect
    points: int
    on_missing: OnMissing
    description: str


class PolicyView(ResponseModel):
    """The policy in force (or an earlier one): rules in the order of their reasons, and its bounds."""

    version: int
    review_at: int = Field(description="Score from which a decision goes to review")
    on_degraded: OnDegraded
    created_at: AwareDatetime
    limits: dict[str, dict[str, int]] = Field(description="Tables that `limit(...)` reads: minor units by currency")
    rules: list[RuleView]


class ListView(ResponseModel):
    """A list that a rule in force reads, with the number of values on it."""

    list: str
    entries: int


class Lists(ResponseModel):
    """All lists that rules in force read."""

    items: list[ListView]


class UnknownPolicy(Refused):
    """There is no policy of this version."""

    def __init__(self) -> None:
        super().__init__(Kind.NOT_FOUND, "unknown-policy", "There is no policy of this version.")


async def policy_of(runtime: Runtime, view: AsyncConnection, version: int) -> Policy:
    """Give a compiled policy, from the cache or from its stored rules."""
    kept = runtime.policies.get(version)
    if kept is not None:
        return kept
    draft = await load_policy(view, version)
    if draft is None:
        raise Defect(f"Policy {version} is not stored.")
    try:
        policy = compile_policy(version, draft)
    except PolicyRefused as refusal:
        raise Defect(f"Policy {version} does not compile: {refusal.detail}") from refusal
    runtime.policies.keep(policy)
    return policy


async def decide_again(runtime: Runtime, view: AsyncConnection, inputs: bytes) -> bytes:
    """Make a stored decision again from its stored inputs; the answer must come out byte for byte."""
    given = Inputs.from_json(inputs)
    return to_bytes(decide(await policy_of(runtime, view, given.policy_version), given))


async def policy_view(runtime: Runtime, version: int | None) -> PolicyView:
    """Give the policy in force, or that of a version. Refuses `UnknownPolicy`."""
    async with runtime.db.reading() as view:
        if version is None:
            version = await view.scalar(sa.select(sa.func.max(policies.c.version)))
        draft = None if version is None else await load_policy(view, version)
        created = await view.scalar(sa.select(policies.c.created_at).where(policies.c.version == version))
    if draft is None or version is None or created is None:
        raise UnknownPolicy
    return PolicyView(
        version=version,
        review_at=draft.review_at,
        on_degraded=draft.on_degraded,
        created_at=created,
        limits={name: dict(amounts) for name, amounts in draft.limits.items()},
        rules=[
            RuleView(
                rule=rule.rule,
                version=rule.version,
                reason=rule.reason,
                kinds=sorted(rule.kinds),
                condition=rule.condition,
                effect=rule.effect,
                points=rule.points,
                on_missing=rule.on_missing,
                description=rule.description,
            )
            for rule in draft.rules
        ],
    )


async def lists(runtime: Runtime) -> Lists:
    """Give the lists that the rules in force read, with how many values stand on each now."""
    now = runtime.clock.now()
    counted = (
        sa.select(list_entries.c.list, sa.func.count().label("entries"))
        .where(list_entries.c.removed_at.is_(None), _not_expired(now))
        .group_by(list_entries.c.list)
    )
    async with runtime.db.reading() as view:
        version = await view.scalar(sa.select(sa.func.max(policies.c.version)))
        policy = None if version is None else await policy_of(runtime, view, version)
        sizes = {row.list: int(row.entries) for row in await view.execute(counted)}
    names = sorted({listed.name for listed in policy.listed}) if policy is not None else []
    return Lists(items=[ListView(list=name, entries=sizes.get(name, 0)) for name in names])


async def entry_page(runtime: Runtime, name: str, *, limit: int, cursor: str | None) -> Page[Entry]:
    """Give the values that stand on a list now, by value. Refuses `InvalidCursor`."""
    wanted = (
        sa.select(list_entries)
        .where(list_entries.c.list == name, list_entries.c.removed_at.is_(None), _not_expired(runtime.clock.now()))
        .order_by(list_entries.c.value)
        .limit(limit + 1)
    )
    if cursor is not None:
        after = decode_cursor(cursor, "value")["value"]
        if not isinstance(after, str) or "\x00" in after:
            raise InvalidCursor
        wanted = wanted.where(list_entries.c.value > after)
    async with runtime.db.reading() as view:
        rows = list((await view.execute(wanted)).all())
    shown = rows[:limit]
    following = encode_cursor({"value": shown[-1].value}) if len(rows) > limit else None
    return Page(items=[entry_of(row) for row in shown], next_cursor=following)


def _not_expired(now: datetime) -> sa.ColumnElement[bool]:
    return sa.or_(list_entries.c.expires_at.is_(None), list_entries.c.expires_at > now)
