"""What an owner may spend from a wallet's account: by transfer, by day, by month, and how much of that is used.

Days and months are UTC's, by the moment that records the command.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_wallet.domain.books import AccountFacts, AccountKey
from ledgerlink_wallet.domain.orders import Allowance, Refusal


class Left(NamedTuple):
    """One limit: ``remaining_minor`` of ``limit_minor`` is left until ``resets_at`` (None: it holds each time anew)."""

    period: str
    limit_minor: int
    used_minor: int
    remaining_minor: int
    resets_at: datetime | None


def current(allowance: Allowance, now: datetime) -> Allowance:
    """Give ``allowance`` as it is at ``now``: a day or month that has passed leaves nothing used.

    A clock that is behind the one that counted before goes on in the later period, so nothing is allowed twice.
    """
    today = now.astimezone(UTC).date()
    if today > allowance.day:
        allowance = allowance._replace(day=today, day_used_minor=0)
    if (month := allowance.day.replace(day=1)) > allowance.month:
        allowance = allowance._replace(month=month, month_used_minor=0)
    return allowance


def left(allowance: Allowance) -> list[Left]:
    """Give the limits that there are, the shortest first."""
    next_month = (allowance.month + timedelta(days=31)).replace(day=1)
    known = (
        ("transfer", allowance.transfer_minor, 0, None),
        ("day", allowance.day_minor, allowance.day_used_minor, allowance.day + timedelta(days=1)),
        ("month", allowance.month_minor, allowance.month_used_minor, next_month),
    )
    return [
        Left(period, limit, used, max(limit - used, 0), None if ends is None else _midnight(ends))
        for period, limit, used, ends in known
        if limit is not None
    ]


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def allow(
    allowances: Mapping[AccountKey, Allowance], spent: Mapping[AccountFacts, int], now: datetime
) -> dict[AccountKey, Allowance] | Refusal:
    """Spend ``spent`` (by account) from ``allowances``; gives those that changed.

    An account without an allowance is not limited.
    """
    changed: dict[AccountKey, Allowance] = {}
    for facts, amount in spent.items():
        before = allowances.get(facts.id)
        if before is None:
            continue
        now_left = current(before, now)
        for one in left(now_left):
            if amount > one.remaining_minor:
                return _exceeded(facts, one, amount)
        changed[facts.id] = now_left._replace(
            day_used_minor=now_left.day_used_minor + amount, month_used_minor=now_left.month_used_minor + amount
        )
    return changed


def _exceeded(facts: AccountFacts, limit: Left, amount: int) -> Refusal:
    until = "" if limit.resets_at is None else f" until {limit.resets_at:%Y-%m-%dT%H:%M:%SZ}"
    return Refusal(
        RefusalCode.LIMIT_EXCEEDED,
        f"The limit per {limit.period} leaves {limit.remaining_minor} minor units of {facts.currency}{until}, "
        f"less than {amount}.",
        {
            "party": facts.party,
            "currency": facts.currency,
            "period": limit.period,
            "limit_minor": limit.limit_minor,
            "used_minor": limit.used_minor,
            "remaining_minor": limit.remaining_minor,
            "resets_at": None if limit.resets_at is None else f"{limit.resets_at:%Y-%m-%dT%H:%M:%SZ}",
        },
    )
