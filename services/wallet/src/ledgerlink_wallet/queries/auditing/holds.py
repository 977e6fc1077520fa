"""Holds, reversals, outcomes: what is remembered beside the entries equals what they and the transfers say."""

from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.wallet.refusals import KINDS
from ledgerlink_kit.problem import STATUS
from ledgerlink_wallet.queries.auditing.looking import (
    Check,
    Looked,
    Sides,
    Tick,
    fingerprints_fit,
    set_check,
    what_differs,
)

# A hold is placed by one pending entry, gives back by released ones, and is captured by transfers: the captured amount
# is the first posting's. It ended as captured when a capture gave the rest back, as expired when its time had come.
_HOLDS: Final = """
SELECT coalesce(h.id, e.hold_id) AS id, h.state, h.amount_minor, h.captured_minor, h.remaining_minor, h.account_id,
       h.recorded_at, e.placed, e.placed - e.released AS remaining, coalesce(c.captured, 0) AS captured
FROM holds h FULL JOIN (
    SELECT hold_id, coalesce(sum(amount_minor) FILTER (WHERE layer = 'pending'), 0) AS placed,
           count(*) FILTER (WHERE layer = 'pending') AS placings,
           coalesce(sum(amount_minor) FILTER (WHERE layer = 'released'), 0) AS released,
           min(account_id::text) AS account, max(account_id::text) AS account_too,
           min(recorded_at) FILTER (WHERE layer = 'pending') AS placed_at,
           (array_agg(transfer_id ORDER BY version DESC))[1] AS last_transfer,
           (array_agg(recorded_at ORDER BY version DESC))[1] AS last_at
    FROM entries WHERE hold_id IS NOT NULL AND layer <> 'posted' GROUP BY 1) e ON e.hold_id = h.id
LEFT JOIN (SELECT hold_id, sum((postings -> 0 ->> 4)::bigint) AS captured FROM transfers WHERE hold_id IS NOT NULL
           GROUP BY 1) c ON c.hold_id = h.id
WHERE (h.amount_minor, h.remaining_minor, h.captured_minor, h.account_id::text, h.recorded_at, e.placings, e.account)
    IS DISTINCT FROM
      (e.placed, e.placed - e.released, coalesce(c.captured, 0), e.account, e.placed_at, 1, e.account_too)
   OR h.state IS DISTINCT FROM CASE
        WHEN e.placed > e.released THEN 'placed' WHEN e.last_transfer IS NOT NULL THEN 'captured'
        WHEN h.expires_at <= e.last_at THEN 'expired' ELSE 'released' END
"""
# What was ordered is remembered as canonical JSON, as long as outcomes are kept.
_ORDERED: Final = """
SELECT h.id FROM holds h JOIN outcomes o ON o.id = h.id
CROSS JOIN LATERAL (SELECT convert_from(o.fields, 'UTF8')::jsonb AS asked) f
WHERE (h.amount_minor, h.expires_at, h.on_behalf_of, h.reference)
    IS DISTINCT FROM ((f.asked ->> 'amount_minor')::bigint, (f.asked ->> 'expires_at')::timestamptz,
                      f.asked ->> 'on_behalf_of', f.asked ->> 'reference')
"""
# The entry that a capture gives back by stands right before that of its first posting.
_CAPTURES: Final = """
SELECT e.account_id, e.version FROM entries e LEFT JOIN transfers t ON t.id = e.transfer_id
WHERE e.layer <> 'posted' AND e.transfer_id IS NOT NULL
  AND (e.hold_id, e.effective_at, e.recorded_at, e.account_id::text, e.version + 1)
    IS DISTINCT FROM (t.hold_id, t.effective_at, t.recorded_at, t.postings -> 0 ->> 0, (t.postings -> 0 ->> 1)::bigint)
"""
_PENDING: Final = """
SELECT coalesce(a.id, h.account_id) AS account_id, coalesce(a.pending, 0) AS pending, coalesce(h.held, 0) AS held
FROM (SELECT id, debits_pending + credits_pending AS pending FROM accounts
      WHERE debits_pending + credits_pending > 0) a
FULL JOIN (SELECT account_id, sum(remaining_minor) AS held FROM holds WHERE state = 'placed' GROUP BY 1) h
     ON h.account_id = a.id
WHERE coalesce(a.pending, 0) <> coalesce(h.held, 0)
"""
_REVERSALS: Final = """
SELECT coalesce(r.transfer_id, u.reverses) AS transfer_id, coalesce(r.posting, u.posting) AS posting,
       coalesce(r.reversed_minor, 0) AS noted, coalesce(u.reversed, 0) AS reversed
FROM reversals r
FULL JOIN (SELECT t.reverses, (p.value ->> 6)::int AS posting, sum((p.value ->> 4)::bigint) AS reversed
           FROM transfers t, jsonb_array_elements(t.postings) p WHERE t.reverses IS NOT NULL GROUP BY 1, 2) u
     ON u.reverses = r.transfer_id AND u.posting = r.posting
LEFT JOIN transfers o ON o.id = coalesce(r.transfer_id, u.reverses)
WHERE coalesce(r.reversed_minor, 0) <> coalesce(u.reversed, 0)
   OR (o.postings -> coalesce(r.posting, u.posting) ->> 4)::bigint IS DISTINCT FROM r.posted_minor
"""
_TRIAL: Final = """
SELECT currency, sum(debits_posted) AS debits, sum(credits_posted) AS credits FROM accounts GROUP BY 1
HAVING sum(debits_posted) <> sum(credits_posted)
"""
_OWNERLESS: Final = """
SELECT a.id AS account_id FROM accounts a LEFT JOIN wallets w ON w.id = a.wallet_id
WHERE a.wallet_id IS NOT NULL AND (w.id IS NULL OR a.debits_posted + a.debits_pending > a.credits_posted)
"""
# One id has one outcome: a success beside its transfer or hold, a refusal beside nothing. Outcomes are dropped by age;
# facts older than the oldest that is kept have none.
_STATUSES: Final = ", ".join(str(status) for status in sorted({201, *(STATUS[kind] for kind in KINDS.values())}))
_REMEMBERED: Final = f"SELECT id, status, recorded_at FROM outcomes WHERE status < 400 OR status NOT IN ({_STATUSES})"  # noqa: S608
_DONE: Final = """
SELECT id, 201::smallint AS status, recorded_at
FROM (SELECT id, recorded_at FROM transfers UNION ALL SELECT id, recorded_at FROM holds) f
WHERE recorded_at >= (SELECT min(recorded_at) FROM outcomes)
"""
_SIDES: Final = Sides(_REMEMBERED, _DONE, ("id", "status", "recorded_at"), ("id",), "id")


async def _outcomes(view: AsyncConnection, _tick: Tick) -> Looked:
    def tell(key: dict[str, Any], ours: dict[str, Any] | None, theirs: Any) -> str:
        if ours is None:
            return f"outcome {key['id']}: there is no remembered success of the transfer or hold"
        return f"outcome {key['id']}: {what_differs(ours, theirs, 'outcome', 'transfer or hold')}"

    looked = await fingerprints_fit(view, _SIDES, tell)
    return Looked(await view.scalar(text("SELECT count(*) FROM outcomes")) or 0, looked.differences)


BALANCE_CHECKS: Final = (
    set_check(
        "trial_balance",
        "In every currency all debits equal all credits",
        "SELECT count(DISTINCT currency) FROM accounts",
        _TRIAL,
        "{currency}: debits {debits}, credits {credits}",
    ),
    set_check(
        "pending_equals_open_holds",
        "What is pending on an account is what its open holds still reserve",
        "SELECT count(*) FROM holds WHERE state = 'placed'",
        _PENDING,
        "account {account_id}: pending {pending}, open holds {held}",
    ),
    set_check(
        "wallets_have_owners_and_funds",
        "Every wallet's account belongs to a wallet and is never below zero",
        "SELECT count(*) FROM accounts WHERE wallet_id IS NOT NULL",
        _OWNERLESS,
        "account {account_id}: no wallet, or below zero",
    ),
)
"""Checks of what stands now: cheap, however long the books are."""

MEMORY_CHECKS: Final = (
    set_check(
        "holds_equal_their_history",
        "Every hold's amounts, account, times and state are those that its entries and captures give",
        "SELECT count(*) FROM holds",
        _HOLDS,
        "hold {id}: it says {state}, {amount_minor} placed, {captured_minor} captured, {remaining_minor} left, on "
        "account {account_id}, at {recorded_at}; its history gives {placed} placed, {captured} captured, {remaining} "
        "left, or another state, account or time",
    ),
    set_check(
        "holds_are_as_ordered",
        "Every hold is what was ordered, as far back as outcomes are kept",
        "SELECT count(*) FROM holds h JOIN outcomes o ON o.id = h.id",
        _ORDERED,
        "hold {id}: amount, expiry, reference or on whose behalf are not what was ordered",
    ),
    set_check(
        "captures_give_back_what_was_held",
        "What a capture gives back stands right before its first posting, under its times and its hold",
        "SELECT count(*) FROM transfers WHERE hold_id IS NOT NULL",
        _CAPTURES,
        "account {account_id} version {version}",
    ),
    set_check(
        "reversals_match",
        "What is noted as reversed is what reversals posted, and never above what was posted",
        "SELECT count(*) FROM reversals",
        _REVERSALS,
        "transfer {transfer_id} posting {posting}: noted {noted}, reversed {reversed}",
    ),
    Check(
        "outcomes_match",
        "Every remembered success has its transfer or hold, no refusal has one, and all but plain transfers are there",
        _outcomes,
    ),
)
