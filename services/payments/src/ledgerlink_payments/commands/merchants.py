"""Merchants: whom payments can be made to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ledgerlink_contracts.ids import MerchantId
from ledgerlink_kit import phased
from ledgerlink_kit.db import Tx
from ledgerlink_kit.idempotency import Once, Reply
from ledgerlink_kit.telemetry import span
from ledgerlink_payments import store
from ledgerlink_payments.domain import objects
from ledgerlink_payments.domain.actors import Actor
from ledgerlink_payments.domain.merchants import Merchant
from ledgerlink_payments.runtime import Runtime


@dataclass(frozen=True, slots=True)
class NewMerchant:
    """What is asked for when a merchant is created; its owner is the caller."""

    country: str
    default_currency: str
    external_account: str
    name: str | None = None
    email: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])


async def create(
    rt: Runtime, once: Once, actor: Actor, new: NewMerchant, render: Callable[[Merchant], Reply], refuse: phased.Refuse
) -> Reply:
    """Make a merchant."""
    merchant = Merchant(
        id=once.derive(MerchantId),
        owner=actor.subject,
        country=new.country,
        default_currency=new.default_currency,
        external_account=new.external_account,
        created_at=rt.clock.now(),
        name=new.name,
        email=new.email,
        metadata=new.metadata,
    )

    async def begin(tx: Tx, answer: phased.Answer) -> Merchant:
        if await store.add_merchant(tx, merchant):
            told = ("account.updated", objects.account(merchant), merchant.owner, merchant.id)
            await store.add_events(tx, [told], rt.clock.now())
        await answer.keep(tx, render(merchant))
        return merchant

    async def finish(begun: Merchant, _answer: phased.Answer) -> Reply:
        return render(begun)

    with span("create_merchant"):
        return await phased.run(rt.db, once, begin, finish, refuse)
