"""What stands beside wallets: standings that their accounts follow, spending within the debits, quotes, exchanges."""

from typing import Any, Final

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import QuoteId, TransferId
from ledgerlink_contracts.wallet.exchange import QUOTE_LIFE_S
from ledgerlink_kit.errors import Refused
from ledgerlink_wallet.domain.books import WalletKey
from ledgerlink_wallet.domain.exchange import bought, offered_rate, sold
from ledgerlink_wallet.domain.parties import wallet_facts
from ledgerlink_wallet.queries.auditing.looking import STREAM_ROWS, Check, Looked, Notes, Tick, set_check

# From open to frozen to closed, an account goes at least as far as its wallet.
_STANDINGS: Final = """
SELECT p.wallet_id, p.standing AS wallet_standing, a.id AS account_id, a.standing
FROM wallet_profiles p LEFT JOIN wallets w ON w.id = p.wallet_id LEFT JOIN accounts a ON a.wallet_id = p.wallet_id
WHERE w.id IS NULL OR p.standing NOT IN ('open', 'frozen', 'closed')
   OR p.standing = 'frozen' AND a.standing = 'open' OR p.standing = 'closed' AND a.standing <> 'closed'
"""
# An owner's spending is a part of what left the account: all that was posted or reserved there.
_SPENDING: Final = """
SELECT u.account_id, u.day_minor, u.month_minor FROM spending u CROSS JOIN LATERAL (
    SELECT coalesce(sum(e.amount_minor), 0) AS month,
           coalesce(sum(e.amount_minor) FILTER (WHERE e.recorded_at >= u.day::timestamp AT TIME ZONE 'UTC'), 0) AS day
    FROM entries e WHERE e.account_id = u.account_id AND e.side = 'debit' AND e.layer <> 'released'
    AND e.recorded_at >= u.month::timestamp AT TIME ZONE 'UTC'
) e WHERE u.day_minor > e.day OR u.month_minor > e.month
"""
_QUOTES: Final = text(
    "SELECT q.*, t.id IS NOT NULL AS is_accepted, t.kind, t.reference, t.postings, t.recorded_at AS accepted_at "
    "FROM exchange_quotes q LEFT JOIN transfers t ON t.id = q.transfer_id"
)
_KIND: Final = "wallet.exchange"


async def _exchanges(view: AsyncConnection, tick: Tick) -> Looked:
    """Work out every offer anew, and look whether its transfer moved what it said."""
    notes, examined = Notes(), 0
    async for rows in (await view.stream(_QUOTES, execution_options={"yield_per": STREAM_ROWS})).partitions():
        for row in rows:
            for difference in _misfits(row):
                notes.add(f"quote {QuoteId(row.id)}, transfer {TransferId(row.transfer_id)}: {difference}")
        examined += len(rows)
        tick(examined)
    return Looked(examined, notes.differences)


def _misfits(row: Row[Any]) -> list[str]:
    wrong: list[str] = []
    if row.transfer_id != TransferId.derive("exchange", str(QuoteId(row.id))).uuid:
        wrong.append("the transfer's id is not made from the quote's")
    if row.rate not in {offered_rate(row.mid, row.spread_bp, inverse=inverse) for inverse in (False, True)}:
        wrong.append(f"the rate is {row.rate}, which {row.mid} less {row.spread_bp} bp does not give")
    if not _is_worked_out(row):
        wrong.append(f"at {row.rate}, {row.sell_minor} {row.sell_currency} is not {row.buy_minor} {row.buy_currency}")
    if (row.expires_at - row.recorded_at).total_seconds() > QUOTE_LIFE_S:
        wrong.append(f"it was offered for more than {QUOTE_LIFE_S} s")
    if row.is_accepted and not _is_carried_out(row):
        wrong.append("another exchange was posted, or after the quote's end")
    return wrong


def _is_worked_out(row: Row[Any]) -> bool:
    """Say whether one side of the offer follows from the other: either may be what was asked."""
    pair = (row.sell_currency, row.buy_currency)
    try:
        return row.buy_minor == bought(row.sell_minor, *pair, row.rate) or row.sell_minor == sold(
            row.buy_minor, *pair, row.rate
        )
    except Refused:
        return False


def _is_carried_out(row: Row[Any]) -> bool:
    wallet = WalletKey(row.wallet_id)
    moved = [(posting[0], posting[2], *posting[4:6]) for posting in row.postings]
    if (row.kind, row.reference, len(moved)) != (_KIND, str(QuoteId(row.id)), 2) or row.accepted_at >= row.expires_at:
        return False
    (seller, _, *sell), (_, buyer, *buy) = moved
    return (seller, sell, buyer, buy) == (
        str(wallet_facts(wallet, row.sell_currency).id),
        [row.sell_minor, row.sell_currency],
        str(wallet_facts(wallet, row.buy_currency).id),
        [row.buy_minor, row.buy_currency],
    )


STANDING_CHECKS: Final = (
    set_check(
        "accounts_stand_as_their_wallets",
        "No account of a frozen or closed wallet is more open than its wallet",
        "SELECT count(*) FROM wallet_profiles",
        _STANDINGS,
        "wallet {wallet_id} is {wallet_standing}: no such wallet or standing, or account {account_id} is {standing}",
    ),
)
"""Checks of what stands now: cheap, however long the books are."""

SPENDING_CHECKS: Final = (
    set_check(
        "spending_is_part_of_the_debits",
        "What counts against an owner's limits left the account in the same day and month",
        "SELECT count(*) FROM spending",
        _SPENDING,
        "account {account_id}: counted {day_minor} in the day, {month_minor} in the month, more than left it",
    ),
    Check(
        "exchanges_match_quotes",
        "Every quote follows from its rate, and its exchange moved what it offered, before its end",
        _exchanges,
    ),
)
