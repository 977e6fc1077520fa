"""The ledger as a whole: what it holds, and its trial balance now or at any past moments."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.wallet.chart import CHART, Side
from ledgerlink_contracts.wallet.reports import CurrencyTotal, LedgerView, RootBalance, TrialBalanceView
from ledgerlink_wallet.domain.parties import LEDGER
from ledgerlink_wallet.domain.stretches import LEVEL_MAX, micros_of, stretches_until
from ledgerlink_wallet.queries.moments import NOW, Moments

# An account's version counts its entries, so nothing has to be counted.
_HOLDS: Final = text(
    "SELECT currency, count(*) AS accounts, sum(version)::bigint AS entries FROM accounts GROUP BY 1 ORDER BY 1"
)
_TRIAL_NOW: Final = text(
    "SELECT split_part(code, ':', 1) AS root, currency, count(*) AS accounts, sum(debits_posted)::numeric AS debits, "
    "sum(credits_posted)::numeric AS credits FROM accounts GROUP BY 1, 2 ORDER BY 1, 2"
)
_VERSION_AT: Final = """
WITH RECURSIVE search(step, version) AS (
    SELECT CASE a.version WHEN 0 THEN 0 ELSE CAST(1 AS bigint) << (64 - position('1' IN a.version::bit(64)::text)) END,
           CAST(0 AS bigint)
    UNION ALL
    SELECT s.step >> 1, CASE WHEN (SELECT e.recorded_at <= {at} FROM entries e
                                   WHERE e.account_id = a.id AND e.version = s.version + s.step)
                             THEN s.version + s.step ELSE s.version END
    FROM search s WHERE s.step > 0
) SELECT max(version) AS version FROM search
"""
# The same sums as `moments` makes for one account, for all of them in one statement.
_TRIAL_AT: Final = text(
    f"""
SELECT split_part(a.code, ':', 1) AS root, a.currency, count(*) AS accounts,
       sum(coalesce(e.debits_posted, 0) - coalesce(w.debits, 0) + coalesce(d.debits, 0))::numeric AS debits,
       sum(coalesce(e.credits_posted, 0) - coalesce(w.credits, 0) + coalesce(d.credits, 0))::numeric AS credits
FROM accounts a
CROSS JOIN LATERAL ({_VERSION_AT.format(at=":recorded_at")}) known
CROSS JOIN LATERAL ({_VERSION_AT.format(at=":ordinary_at")}) ordinary
LEFT JOIN entries e ON e.account_id = a.id AND e.version = least(known.version, ordinary.version)
LEFT JOIN LATERAL (
    SELECT s.debits_posted AS debits, s.credits_posted AS credits FROM dated_sums s
    WHERE :by_effective AND s.account_id = a.id AND s.level = {LEVEL_MAX} AND s.bucket = 0
      AND s.version <= least(known.version, ordinary.version)
    ORDER BY s.version DESC LIMIT 1
) w ON true
LEFT JOIN LATERAL (
    SELECT sum(one.debits_posted) AS debits, sum(one.credits_posted) AS credits
    FROM unnest(CAST(:levels AS smallint[]), CAST(:buckets AS bigint[])) AS t(level, bucket)
    CROSS JOIN LATERAL (
        SELECT s.debits_posted, s.credits_posted FROM dated_sums s
        WHERE s.account_id = a.id AND s.level = t.level AND s.bucket = t.bucket AND s.version <= known.version
        ORDER BY s.version DESC LIMIT 1
    ) one
    WHERE EXISTS (SELECT FROM dated_sums s WHERE s.account_id = a.id AND s.level = {LEVEL_MAX} AND s.bucket = 0)
) d ON true
WHERE known.version > 0
GROUP BY 1, 2 ORDER BY 1, 2
"""  # noqa: S608 - our own names
)


async def ledger(view: AsyncConnection, now: datetime) -> LedgerView:
    """Give what the one ledger holds."""
    rows = (await view.execute(_HOLDS)).all()
    return LedgerView(
        name=LEDGER,
        as_of=now,
        currencies=[row.currency for row in rows],
        accounts=sum(row.accounts for row in rows),
        entries=sum(row.entries for row in rows),
    )


async def trial_balance(view: AsyncConnection, now: datetime, moments: Moments = NOW) -> TrialBalanceView:
    """Sum all accounts by root of the chart and currency at ``moments``; debits equal credits in each currency."""
    if moments == NOW:
        rows = await view.execute(_TRIAL_NOW)
    else:
        recorded_at = moments.recorded_at or now
        effective_at = moments.effective_at
        stretches = [] if effective_at is None else stretches_until(micros_of(effective_at))
        values: dict[str, Any] = {
            "recorded_at": recorded_at,
            "ordinary_at": effective_at or recorded_at,
            "by_effective": effective_at is not None,
            "levels": [stretch.level for stretch in stretches],
            "buckets": [stretch.bucket for stretch in stretches],
        }
        rows = await view.execute(_TRIAL_AT, values)
    roots: list[RootBalance] = []
    totals: dict[str, list[int]] = {}
    for row in rows:
        debits, credits_ = int(row.debits), int(row.credits)
        normal = CHART[row.root].normal_side
        total = totals.setdefault(row.currency, [0, 0])
        total[0] += debits
        total[1] += credits_
        roots.append(
            RootBalance(
                root=row.root,
                currency=row.currency,
                normal_side=normal,
                accounts=row.accounts,
                debits_posted_minor=debits,
                credits_posted_minor=credits_,
                posted_minor=debits - credits_ if normal is Side.DEBIT else credits_ - debits,
            )
        )
    sums = [
        CurrencyTotal(currency=code, debits_posted_minor=d, credits_posted_minor=c, balanced=d == c)
        for code, (d, c) in sorted(totals.items())
    ]
    return TrialBalanceView(
        as_of=now,
        effective_at=moments.effective_at,
        recorded_at=moments.recorded_at,
        balanced=all(one.balanced for one in sums),
        totals=sums,
        roots=roots,
    )
