"""Rates and quotes as they stand."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import Row, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from ledgerlink_contracts.ids import QuoteId, TransferId, WalletId
from ledgerlink_contracts.wallet.exchange import QuoteState, QuoteView, RatesView, RateView
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_wallet.tables import exchange_rates

_QUOTE: Final = text(
    "SELECT q.*, w.owner, t.id IS NOT NULL AS is_accepted, o.recorded_at AS refused_at FROM exchange_quotes q "
    "JOIN wallets w ON w.id = q.wallet_id LEFT JOIN transfers t ON t.id = q.transfer_id "
    "LEFT JOIN outcomes o ON o.id = q.transfer_id WHERE q.id = :id"
)


class KnownRate(NamedTuple):
    """A rate that serves an exchange; ``is_inverse`` when it was given the other way round."""

    mid: Decimal
    spread_bp: int
    source: str
    valid_until: datetime
    is_inverse: bool


def plain(rate: Decimal) -> str:
    """Write a rate as a plain decimal without trailing zeros."""
    written = f"{rate:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


async def rates(view: AsyncConnection) -> RatesView:
    """Give all rates."""
    found = await view.execute(select(exchange_rates).order_by(exchange_rates.c.base, exchange_rates.c.quote))
    return RatesView(
        items=[
            RateView(
                base=row.base,
                quote=row.quote,
                mid=plain(row.mid),
                spread_bp=row.spread_bp,
                source=row.source,
                valid_until=row.valid_until,
                recorded_at=row.recorded_at,
            )
            for row in found
        ]
    )


async def rate_of(view: AsyncConnection, sell: str, buy: str) -> KnownRate | None:
    """Give the rate from ``sell`` to ``buy``, or the other way round when only that is there."""
    table = exchange_rates
    pairs = ((table.c.base == sell) & (table.c.quote == buy)) | ((table.c.base == buy) & (table.c.quote == sell))
    found = sorted(await view.execute(select(table).where(pairs)), key=lambda row: row.base != sell)
    if not found:
        return None
    row = found[0]
    return KnownRate(row.mid, row.spread_bp, row.source, row.valid_until, row.base != sell)


async def quote(view: AsyncConnection, quote_id: QuoteId, owner: str | None, now: datetime) -> QuoteView:
    """Give a quote; with ``owner``, one for their wallet. Raises `Refused` (`quote-not-found`)."""
    row = (await view.execute(_QUOTE, {"id": quote_id.uuid})).one_or_none()
    if row is None or (owner is not None and row.owner != owner):
        raise Refused(Kind.NOT_FOUND, "quote-not-found", f"There is no quote {quote_id}.")
    return quote_view(row, _state(row, now))


def _state(row: Row[Any], now: datetime) -> QuoteState:
    if row.is_accepted:
        return QuoteState.ACCEPTED
    if row.refused_at is not None and row.refused_at < row.expires_at:
        return QuoteState.REFUSED
    return QuoteState.EXPIRED if now >= row.expires_at else QuoteState.OPEN


def quote_view(row: Any, state: QuoteState) -> QuoteView:
    """Show a row of `exchange_quotes`."""
    return QuoteView(
        id=QuoteId(row.id),
        wallet=WalletId(row.wallet_id),
        state=state,
        sell_currency=row.sell_currency,
        sell_minor=row.sell_minor,
        buy_currency=row.buy_currency,
        buy_minor=row.buy_minor,
        rate=plain(row.rate),
        mid=plain(row.mid),
        spread_bp=row.spread_bp,
        source=row.source,
        expires_at=row.expires_at,
        recorded_at=row.recorded_at,
        transfer=TransferId(row.transfer_id) if state is QuoteState.ACCEPTED else None,
    )
