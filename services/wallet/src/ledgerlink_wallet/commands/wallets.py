"""What a person does with their wallets: open one, credit, debit, move money to another."""

from typing import Any, Final

import orjson
from sqlalchemy import insert, select

from ledgerlink_contracts.ids import TransferId, WalletId
from ledgerlink_contracts.wallet.events import WalletCreated
from ledgerlink_contracts.wallet.models import (
    AmountOrder,
    BalanceView,
    PostingOrder,
    Standing,
    TransferOrder,
    WalletOrder,
    WalletTransferOrder,
    WalletView,
)
from ledgerlink_contracts.wallet.refusals import KINDS, RefusalCode
from ledgerlink_kit.db import Tx
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.idempotency import Once, Reply, json_reply, run_once
from ledgerlink_kit.outbox import record
from ledgerlink_kit.telemetry import span
from ledgerlink_wallet import metrics
from ledgerlink_wallet.commands.ledger import Mandate, post_transfer
from ledgerlink_wallet.domain.books import WalletKey, unopened
from ledgerlink_wallet.domain.parties import wallet_facts
from ledgerlink_wallet.runtime import Answer, Runtime
from ledgerlink_wallet.store import promises
from ledgerlink_wallet.tables import accounts, unsealed, wallets

_CREATED: Final = 201
_FIRST_ERROR: Final = 400


async def open_wallet(runtime: Runtime, once: Once, order: WalletOrder) -> Reply:
    """Open a wallet for the caller of ``once``, with an empty account in its first currency."""
    wallet = once.derive(WalletId)
    now = runtime.clock.now()
    view = WalletView(
        id=wallet,
        owner=once.caller,
        currency=order.currency,
        label=order.label,
        state=Standing.OPEN,
        balances=[BalanceView(currency=order.currency, posted_minor=0, pending_minor=0, available_minor=0)],
        opened_at=now,
    )

    async def work(tx: Tx) -> WalletView:
        row = {"id": wallet.uuid, "owner": once.caller, "currency": order.currency, "label": order.label}
        await tx.execute(insert(wallets).values(**row, opened_at=now))
        await tx.execute(insert(unsealed).values(recorded_at=now, transfers=0, wallet_id=wallet.uuid, promises=1))
        account = unopened(wallet_facts(WalletKey(wallet.uuid), order.currency))
        facts = account.facts
        await tx.execute(
            insert(accounts).values(
                id=facts.id,
                code=facts.code,
                currency=facts.currency,
                normal_side=facts.normal_side,
                may_overdraw=facts.may_overdraw,
                wallet_id=facts.wallet,
                standing=account.standing,
                debits_posted=0,
                credits_posted=0,
                debits_pending=0,
                credits_pending=0,
                version=0,
                opened_at=now,
            )
        )
        await tx.execute(promises.OPEN_FIRST, {"account": facts.id})
        await record(tx, WalletCreated(wallet=view), aggregate=str(wallet), now=now)
        return view

    with span("open_wallet"):
        return await run_once(runtime.db, once, work, lambda created: json_reply(_CREATED, created))


async def owner_of(runtime: Runtime, wallet: WalletId) -> str:
    """Give the owner of ``wallet``. Raises `Refused` (`wallet-not-found`)."""
    key = WalletKey(wallet.uuid)
    owner = runtime.owners.get(key)
    if owner is None:
        async with runtime.db.reading() as view:
            owner = await view.scalar(select(wallets.c.owner).where(wallets.c.id == key))
        if owner is None:
            raise wallet_not_found(wallet)
        runtime.owners.learn({key: owner})
    return owner


def wallet_not_found(wallet: WalletId) -> Refused:
    """Refuse somebody else's wallet in the same words as one that does not exist."""
    code = RefusalCode.WALLET_NOT_FOUND
    return Refused(KINDS[code], code.value, f"There is no wallet {wallet}.", party=str(wallet))


async def check_own(runtime: Runtime, mandate: Mandate, wallet: WalletId) -> str:
    """Give the owner of ``wallet`` when the caller may move its money. Raises `Refused` (`wallet-not-found`)."""
    owner = await owner_of(runtime, wallet)
    if not mandate.trusted and owner != mandate.subject:
        raise wallet_not_found(wallet)
    return owner


def _check_self_funding(runtime: Runtime, mandate: Mandate) -> None:
    if not mandate.trusted and not runtime.settings.self_funding:
        raise Refused(
            Kind.FORBIDDEN,
            "self-funding-disabled",
            "Here owners cannot credit or debit their own wallets from the outside; top up by a payment instead.",
        )


async def credit(runtime: Runtime, mandate: Mandate, wallet: WalletId, order: AmountOrder) -> Answer:
    """Credit a wallet from `world`: for development, demonstrations and operators."""
    _check_self_funding(runtime, mandate)
    await check_own(runtime, mandate, wallet)
    answer = await _move(runtime, mandate, wallet, "credit", ("world", str(wallet)), order)
    if _is_new(answer):
        metrics.credits_posted.labels(order.currency).inc()
    return answer


async def debit(runtime: Runtime, mandate: Mandate, wallet: WalletId, order: AmountOrder) -> Answer:
    """Debit a wallet to `world`: for development, demonstrations and operators."""
    _check_self_funding(runtime, mandate)
    spends = await check_own(runtime, mandate, wallet) == mandate.subject
    answer = await _move(runtime, mandate, wallet, "debit", (str(wallet), "world"), order, spends=spends)
    if _is_new(answer):
        metrics.debits_posted.labels(order.currency).inc()
    return answer


async def transfer(runtime: Runtime, mandate: Mandate, wallet: WalletId, order: WalletTransferOrder) -> Answer:
    """Move money from a wallet to another."""
    spends = await check_own(runtime, mandate, wallet) == mandate.subject
    return await _move(runtime, mandate, wallet, "transfer", (str(wallet), str(order.to)), order, spends=spends)


def _is_new(answer: Answer) -> bool:
    return answer.status == _CREATED and not answer.replayed


async def _move(
    runtime: Runtime,
    mandate: Mandate,
    wallet: WalletId,
    verb: str,
    parties: tuple[str, str],
    order: AmountOrder | WalletTransferOrder,
    *,
    spends: bool = False,
) -> Answer:
    """Post one amount and answer with the wallet's balances after it; limits hold when the owner ``spends``."""
    # The path stands in the operation, so that one key can be used once for each wallet and verb.
    id_ = mandate.named(None, TransferId, f"{verb} {wallet}")
    posting = PostingOrder(
        debit=parties[0], credit=parties[1], amount_minor=order.amount_minor, currency=order.currency
    )
    whole = TransferOrder(id=TransferId(id_.uuid), kind=f"wallet.{verb}", postings=[posting], reference=order.reference)
    # Whose wallet it is has been checked; `world` is named by us, not by the caller.
    answer = await post_transfer(runtime, Mandate(mandate.subject, trusted=True), whole, from_key=True, spends=spends)
    if answer.status >= _FIRST_ERROR:
        return answer
    return answer.telling(orjson.dumps(_movement(wallet, orjson.loads(answer.body))))


def _movement(wallet: WalletId, body: dict[str, Any]) -> dict[str, Any]:
    """Show a transfer from one wallet's side, as `WalletMovementView` has it."""
    mine = [entry for entry in body["entries"] if entry["party"] == str(wallet)]
    names = ("currency", "posted_minor", "pending_minor", "available_minor")
    balance = {name: mine[-1][name] for name in names}
    return {"wallet": str(wallet), "transfer": {**body, "entries": mine}, "balance": balance}
