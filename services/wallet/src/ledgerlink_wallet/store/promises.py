"""What accounts, wallets and limits are held to, as facts: one definition of what each of them says, for who writes a
promise and for the audit that holds the tables against them (ADR 0068).

A promise tells the whole of its subject. An account's first one tells how it was opened, and every later one differs
from it in its standing alone. Whoever writes one holds the lock of what it is about (the account, the wallet's profile,
the table of limits), so steps follow each other without a gap.
"""

from typing import Final

from sqlalchemy import text


def says_of_account(row: str) -> str:
    """Give the SQL of what the account in ``row`` (an alias of `accounts` or of its columns) is held to."""
    columns = ("code", "currency", "normal_side", "may_overdraw", "wallet_id", "floor_minor", "ceiling_minor")
    said = ", ".join(f"'{column}', {row}.{column}" for column in (*columns, "standing"))
    # A moment is written by us: a jsonb of it would follow the session's time zone.
    return (
        f"jsonb_build_object({said}, 'opened_at', "
        f"to_char({row}.opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))"
    )


_SAYS_OF_LIMITS: Final = (
    "jsonb_object_agg(currency, jsonb_build_object('transfer_minor', transfer_minor, 'day_minor', day_minor, "
    "'month_minor', month_minor))"
)
PLAIN_WALLET: Final = '{"role": "customer", "standing": "open"}'
"""What a wallet of which nothing has changed is held to, without a row."""
UNLIMITED: Final = "{}"
"""What a scope without limits says."""

STANDING_NOW: Final = f"""
SELECT 'account' AS kind, a.id::text AS subject, {says_of_account("a")} AS says FROM accounts a
UNION ALL
SELECT 'wallet', wallet_id::text, jsonb_build_object('role', role, 'standing', standing) FROM wallet_profiles
UNION ALL
SELECT 'limits', scope, {_SAYS_OF_LIMITS} FROM spending_limits GROUP BY scope
"""  # noqa: S608 - our own names
"""What the tables say now, in the form of promises."""

_INTO: Final = "INSERT INTO promises (id, kind, subject, step, says, recorded_at)"
_LAST: Final = "SELECT step, says FROM promises WHERE kind = '{0}' AND subject = {1} ORDER BY step DESC LIMIT 1"

OPENED: Final = f"""
{_INTO} SELECT gen_random_uuid(), 'account', a.id::text, 1, {says_of_account("a")}, a.opened_at FROM part_before AS a
"""  # noqa: S608 - our own names
"""A part after the one that opens accounts, whose rows it reads: an account is met at its key before its promise is."""
RESTOOD: Final = f"""
{_INTO} SELECT gen_random_uuid(), 'account', t.id::text, last.step + 1,
               last.says || jsonb_build_object('standing', t.standing), $3::timestamptz
FROM unnest($1::uuid[], $2::text[]) AS t(id, standing)
CROSS JOIN LATERAL ({_LAST.format("account", "t.id::text")}) AS last
"""  # noqa: S608 - our own names
"""Accounts stand another way. Goes on from what was promised last, never from the row that the promise guards."""
WALLETS_RESTOOD: Final = f"""
{_INTO} SELECT gen_random_uuid(), 'wallet', t.id::text, coalesce(last.step, 0) + 1,
               coalesce(last.says, '{PLAIN_WALLET}') || jsonb_build_object('standing', t.standing), $3::timestamptz
FROM unnest($1::uuid[], $2::text[]) AS t(id, standing)
LEFT JOIN LATERAL ({_LAST.format("wallet", "t.id::text")}) AS last ON true
"""  # noqa: S608 - our own names
"""Wallets stand another way, each under its profile's lock."""

OPEN_FIRST: Final = text(
    f"{_INTO} SELECT gen_random_uuid(), 'account', a.id::text, 1, {says_of_account('a')}, a.opened_at "  # noqa: S608
    "FROM accounts a WHERE a.id = :account"
)
"""Promise what an account that this transaction has opened is held to."""
WALLET_ROLE: Final = text(f"""
{_INTO} SELECT gen_random_uuid(), 'wallet', w.id, coalesce(last.step, 0) + 1,
               coalesce(last.says, '{PLAIN_WALLET}') || jsonb_build_object('role', CAST(:role AS text)), :now
FROM (SELECT CAST(:wallet AS text) AS id) w LEFT JOIN LATERAL ({_LAST.format("wallet", "w.id")}) AS last ON true
WHERE coalesce(last.says, '{PLAIN_WALLET}') ->> 'role' <> :role
""")  # noqa: S608 - our own names
"""Promise a wallet's role, if it is another one; the profile's row is locked."""
LIMITS: Final = text(f"""
{_INTO} SELECT gen_random_uuid(), 'limits', s.scope, coalesce(last.step, 0) + 1, s.says, :now
FROM (SELECT w.scope, coalesce((SELECT {_SAYS_OF_LIMITS} FROM spending_limits l WHERE l.scope = w.scope), '{UNLIMITED}')
             AS says
      FROM unnest(CAST(:scopes AS text[])) AS w(scope)) s
LEFT JOIN LATERAL ({_LAST.format("limits", "s.scope")}) AS last ON true
WHERE s.says <> coalesce(last.says, '{UNLIMITED}')
""")  # noqa: S608 - our own names
"""Promise the limits of scopes that were written anew, as far as they are others; their locks are held."""
