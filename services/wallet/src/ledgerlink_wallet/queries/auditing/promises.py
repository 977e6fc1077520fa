"""What accounts, wallets and limits are held to: as it was promised last, and promises that follow each other."""

from typing import Final

from ledgerlink_wallet.queries.auditing.looking import set_check
from ledgerlink_wallet.store.promises import PLAIN_WALLET, STANDING_NOW, UNLIMITED

# Bounds, side, code and moment of opening are given once; what is closed stays closed.
_STEPS: Final = """
SELECT id, kind, subject, step, before, says FROM (
    SELECT *, lag(step, 1, 0) OVER steps AS step_before, lag(says) OVER steps AS before FROM promises
    WINDOW steps AS (PARTITION BY kind, subject ORDER BY step)
) AS chained
WHERE step <> step_before + 1
   OR kind = 'account' AND (before IS NULL AND recorded_at < CAST(says ->> 'opened_at' AS timestamptz)
                            OR before - 'standing' <> says - 'standing')
   OR before ->> 'standing' = 'closed' AND says ->> 'standing' <> 'closed'
"""
# What nobody has changed has no row and no promise, which says the same as a row with the plain values.
_KEPT: Final = f"""
SELECT kind, subject, coalesce(n.says::text, 'nothing') AS stands, coalesce(p.says::text, 'nothing') AS promised
FROM ({STANDING_NOW}) AS n FULL JOIN (
    SELECT DISTINCT ON (kind, subject) kind, subject, says FROM promises ORDER BY kind DESC, subject DESC, step DESC
) AS p USING (kind, subject)
CROSS JOIN LATERAL (
    SELECT CAST(CASE kind WHEN 'wallet' THEN '{PLAIN_WALLET}' WHEN 'limits' THEN '{UNLIMITED}' END AS jsonb) AS plain
) AS d
WHERE coalesce(n.says, plain) IS DISTINCT FROM coalesce(p.says, plain)
"""  # noqa: S608 - our own names

PROMISE_CHECKS: Final = (
    set_check(
        "promises_follow_each_other",
        "No promise is missing between two others, and what an account was opened with is never promised otherwise",
        "SELECT count(*) FROM promises",
        _STEPS,
        "promise {id}, step {step} of {kind} {subject}: it says {says}, after {before}",
    ),
    set_check(
        "promises_kept",
        "Accounts, wallets and limits stand as was promised last",
        f"SELECT count(*) FROM ({STANDING_NOW}) AS now",  # noqa: S608 - our own names
        _KEPT,
        "{kind} {subject}: it stands as {stands}, and was promised as {promised}",
    ),
)
