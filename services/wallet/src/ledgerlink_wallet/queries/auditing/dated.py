"""Sums of dated entries: the same as made anew from the entries."""

from typing import Final

from ledgerlink_wallet.domain.stretches import BITS, LEVEL_MAX
from ledgerlink_wallet.queries.auditing.looking import set_check

# Every row that should stand is made from the entries anew; of those between level 0 and all of time a batch may leave
# out all but its last, so a sum that is there must be right, and the last one must be there.
_DATED: Final = f"""
WITH running AS (
    SELECT e.account_id, l.level, e.moment >> ({BITS} * l.level) AS bucket, e.version,
           sum(e.amount * (e.side = 'debit' AND e.layer = 'posted')::int) OVER sums AS dp,
           sum(e.amount * (e.side = 'credit' AND e.layer = 'posted')::int) OVER sums AS cp,
           sum(e.amount * (e.side = 'debit' AND e.layer <> 'posted')::int) OVER sums AS dq,
           sum(e.amount * (e.side = 'credit' AND e.layer <> 'posted')::int) OVER sums AS cq,
           lead(e.version) OVER sums IS NULL AS is_last
    FROM (
        SELECT account_id, version, side, layer,
               CASE layer WHEN 'released' THEN -amount_minor ELSE amount_minor END AS amount,
               (extract(epoch FROM effective_at - timestamptz '1900-01-01 00:00:00Z') * 1000000)::bigint AS moment
        FROM entries WHERE effective_at <> recorded_at
    ) e CROSS JOIN (SELECT generate_series(0, {LEVEL_MAX}) AS level) l
    WINDOW sums AS (PARTITION BY e.account_id, l.level, e.moment >> ({BITS} * l.level) ORDER BY e.version)
)
SELECT account_id, level, bucket, version
FROM running r FULL JOIN dated_sums s USING (account_id, level, bucket, version)
WHERE (s.version IS NULL AND (r.is_last OR level IN (0, {LEVEL_MAX})))
   OR (s.version IS NOT NULL AND (r.dp, r.cp, r.dq, r.cq)
       IS DISTINCT FROM (s.debits_posted, s.credits_posted, s.debits_pending, s.credits_pending))
"""  # noqa: S608 - our own numbers

DATED_CHECKS: Final = (
    set_check(
        "dated_sums_match",
        "The sums by effective time are what the dated entries add up to",
        "SELECT count(*) FROM dated_sums",
        _DATED,
        "account {account_id} version {version}: the sum of stretch {level}/{bucket}",
    ),
)
