"""Exchange between the currencies of one wallet: rates are set, quotes are given, a quote is accepted once."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, insert, text

from ledgerlink_contracts.ids import QuoteId, TransferId
from ledgerlink_contracts.wallet.exchange import (
    QUOTE_LIFE_S,
    QuoteOrder,
    QuoteState,
    QuoteView,
    RatesOrder,
    RatesView,
)
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.idempotency import Once, Reply, json_reply, run_once
from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_kit.telemetry import span
from ledgerlink_wallet.commands.ledger import Mandate, content, submit
from ledgerlink_wallet.commands.wallets import check_own
from ledgerlink_wallet.domain.books import Posting, TransferKey
from ledgerlink_wallet.domain.exchange import bought, offered_rate, sold
from ledgerlink_wallet.domain.orders import PostTransfer
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.queries import exchange as queries
from ledgerlink_wallet.runtime import Answer, Runtime
from ledgerlink_wallet.tables import exchange_quotes, exchange_rates

POSITION: Final = "fx:position"
"""The account that holds our position in each currency."""

_CREATED: Final = 201


async def set_rates(runtime: Runtime, order: RatesOrder) -> RatesView:
    """Put ``order`` in the place of all rates."""

    async def body(tx: Tx) -> RatesView:
        # Two orders one after the other: neither meets the other's new rows. Readers go on.
        await tx.execute(text("LOCK TABLE exchange_rates IN SHARE ROW EXCLUSIVE MODE"))
        await tx.execute(delete(exchange_rates))
        if order.items:
            now = runtime.clock.now()
            await tx.execute(
                insert(exchange_rates), [{**item.model_dump(), "recorded_at": now} for item in order.items]
            )
        return await queries.rates(tx)

    with span("set_rates"):
        return await runtime.db.retrying(body)


async def _rate(tx: Tx, order: QuoteOrder, now: datetime) -> queries.KnownRate:
    pair = {"sell_currency": order.sell_currency, "buy_currency": order.buy_currency}
    rate = await queries.rate_of(tx, order.sell_currency, order.buy_currency)
    if rate is None:
        raise Refused(Kind.CONFLICT, "rate-missing", "There is no rate between these currencies.", **pair)
    if rate.valid_until <= now:
        raise Refused(
            Kind.CONFLICT, "rate-stale", "The rate between these currencies is out of date; try again later.", **pair
        )
    return rate


async def give_quote(runtime: Runtime, mandate: Mandate, once: Once, order: QuoteOrder) -> Reply:
    """Offer an exchange for 30 seconds, or until its rate ends. Raises `Refused`."""
    await check_own(runtime, mandate, order.wallet)
    quote_id, now = once.derive(QuoteId), runtime.clock.now()

    async def work(tx: Tx) -> QuoteView:
        known = await _rate(tx, order, now)
        rate = offered_rate(known.mid, known.spread_bp, inverse=known.is_inverse)
        pair = (order.sell_currency, order.buy_currency)
        sell = order.sell_minor if order.sell_minor is not None else sold(order.buy_minor or 0, *pair, rate)
        buy = order.buy_minor if order.buy_minor is not None else bought(sell, *pair, rate)
        if buy < 1 or sell > MAX_MINOR:
            raise Refused(
                Kind.UNPROCESSABLE,
                "exchange-out-of-bounds",
                "At this rate one side of the exchange would be nothing, or above the largest amount.",
            )
        values = {
            "id": quote_id.uuid,
            "wallet_id": order.wallet.uuid,
            "sell_currency": order.sell_currency,
            "sell_minor": sell,
            "buy_currency": order.buy_currency,
            "buy_minor": buy,
            "rate": rate,
            "mid": known.mid,
            "spread_bp": known.spread_bp,
            "source": known.source,
            "expires_at": min(now + timedelta(seconds=QUOTE_LIFE_S), known.valid_until),
            "recorded_at": now,
            "transfer_id": TransferId.derive("exchange", str(quote_id)).uuid,
        }
        made = await tx.execute(insert(exchange_quotes).values(**values).returning(exchange_quotes))
        return queries.quote_view(made.one(), QuoteState.OPEN)

    with span("give_quote"):
        return await run_once(runtime.db, once, work, lambda quote: json_reply(_CREATED, quote))


async def accept_quote(runtime: Runtime, mandate: Mandate, quote_id: QuoteId) -> Answer:
    """Carry a quote out by one transfer through our positions in both currencies.

    The quote is its own key: the first answer is kept, a refusal too, and given again. Whether it has expired is
    decided when the transfer is. An exchange stays within a wallet, so limits on spending do not count it.
    """
    async with runtime.db.reading() as view:
        owner = None if mandate.trusted else mandate.subject
        quote = await queries.quote(view, quote_id, owner, runtime.clock.now())
    wallet = str(quote.wallet)
    sell, buy = quote.sell_currency, quote.buy_currency
    command = PostTransfer(
        TransferKey(TransferId.derive("exchange", str(quote_id)).uuid),
        content("exchange", quote, include={"sell_minor", "buy_minor"}, quote=str(quote_id)),
        "wallet.exchange",
        (
            Posting(party_of(wallet, sell), party_of(POSITION, sell), quote.sell_minor, sell),
            Posting(party_of(POSITION, buy), party_of(wallet, buy), quote.buy_minor, buy),
        ),
        reference=str(quote_id),
        expires_at=quote.expires_at,
    )
    with span("accept_quote"):
        return await submit(runtime, mandate, command, derived=False)
