"""Rules and policies, as they are stored."""

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from ledgerlink_contracts.risk.models import EventKind
from ledgerlink_kit.db import Tx
from ledgerlink_risk.domain.policy import Effect, OnDegraded, OnMissing, PolicyDraft, Rule
from ledgerlink_risk.tables import policies, policy_rules, rules

_POLICY_LOCK: Final = sa.text("SELECT pg_advisory_xact_lock(hashtext('risk-policies'))")


async def lock_policies(tx: Tx) -> None:
    """Let one process at a time bring policies into force."""
    await tx.execute(_POLICY_LOCK)


async def latest_policy(tx: Tx) -> sa.Row[Any] | None:
    """Give version, origin and fingerprint of the policy in force."""
    newest = sa.text("SELECT version, origin, fingerprint FROM policies ORDER BY version DESC LIMIT 1")
    return (await tx.execute(newest)).one_or_none()


async def load_policy(tx: Tx, version: int) -> PolicyDraft | None:
    """Give the draft of a policy, its rules in their order."""
    head = (await tx.execute(sa.select(policies).where(policies.c.version == version))).one_or_none()
    if head is None:
        return None
    rows = await tx.execute(
        sa.select(rules)
        .join(policy_rules, (policy_rules.c.rule == rules.c.rule) & (policy_rules.c.rule_version == rules.c.version))
        .where(policy_rules.c.policy_version == version)
        .order_by(policy_rules.c.position)
    )
    return PolicyDraft(
        rules=tuple(rule_of(row) for row in rows),
        limits=head.limits,
        review_at=head.review_at,
        on_degraded=OnDegraded(head.on_degraded),
    )


def rule_of(row: sa.Row[Any]) -> Rule:
    """Read a rule from its row."""
    return Rule(
        rule=row.rule,
        version=row.version,
        reason=row.reason,
        kinds=frozenset(EventKind(kind) for kind in row.kinds),
        condition=row.condition,
        effect=Effect(row.effect),
        points=row.points,
        description=row.description,
        on_missing=OnMissing(row.on_missing),
    )


async def find_rule(tx: Tx, rule: str, version: int) -> Rule | None:
    """Give a stored rule."""
    found = sa.select(rules).where(rules.c.rule == rule, rules.c.version == version)
    row = (await tx.execute(found)).one_or_none()
    return None if row is None else rule_of(row)


async def insert_rule(tx: Tx, rule: Rule, now: datetime) -> None:
    """Store a new version of a rule."""
    await tx.execute(
        sa.insert(rules).values(
            rule=rule.rule,
            version=rule.version,
            reason=rule.reason,
            kinds=sorted(kind.value for kind in rule.kinds),
            condition=rule.condition,
            effect=rule.effect.value,
            points=rule.points,
            on_missing=rule.on_missing.value,
            description=rule.description,
            created_at=now,
        )
    )


async def insert_policy(
    tx: Tx, version: int, draft: PolicyDraft, *, origin: str, fingerprint: bytes, now: datetime
) -> None:
    """Store a policy whose rules are stored already; from here on it is in force."""
    await tx.execute(
        sa.insert(policies).values(
            version=version,
            review_at=draft.review_at,
            on_degraded=draft.on_degraded.value,
            limits={name: dict(amounts) for name, amounts in draft.limits.items()},
            origin=origin,
            fingerprint=fingerprint,
            created_at=now,
        )
    )
    await tx.execute(
        sa.insert(policy_rules),
        [
            {"policy_version": version, "position": position, "rule": rule.rule, "rule_version": rule.version}
            for position, rule in enumerate(draft.rules)
        ],
    )
