"""Fixtures of payments' tests: a house with a ledger, risk and a provider in memory, and a database of its own."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
import pytest_asyncio
import sqlalchemy as sa
from fastapi import FastAPI
from pydantic import SecretStr

from ledgerlink_contracts.ids import IntentId, MerchantId, UserId, WalletId
from ledgerlink_contracts.risk.fake import FakeRisk
from ledgerlink_contracts.wallet.fake import FakeWallet
from ledgerlink_kit.db import Database
from ledgerlink_kit.idempotency import Once, Reply, json_reply, once_for
from ledgerlink_kit.invariants import run_invariants
from ledgerlink_kit.testing import Faults, ManualClock, TokenMint
from ledgerlink_payments import tables
from ledgerlink_payments.api.dialect import refusal_reply
from ledgerlink_payments.app import make_app
from ledgerlink_payments.commands import intents, merchants, news, payouts, refunds, sweep
from ledgerlink_payments.connectors.fake import FakeConnector
from ledgerlink_payments.domain import objects
from ledgerlink_payments.domain.actors import Actor
from ledgerlink_payments.domain.intents import CancellationReason, CaptureMethod
from ledgerlink_payments.runtime import Open, Runtime, Settings
from ledgerlink_payments.worker import INVARIANTS


class Breakable:
    """Stands before a client and passes ``before <method>`` and ``after <method>`` to the faults of the test."""

    def __init__(self, target: Any, faults: Faults, let_pass: list[str]) -> None:
        self._target = target
        self._faults = faults
        self._let_pass = let_pass

    def _reach(self, point: str) -> None:
        if point in self._let_pass:
            self._let_pass.remove(point)
            return
        self._faults.reach(point)

    def __getattr__(self, name: str) -> Any:
        inner: Any = getattr(self._target, name)
        if not inspect.iscoroutinefunction(inner):
            return inner

        async def call(*arguments: Any) -> Any:
            self._reach(f"before {name}")
            answer: Any = await inner(*arguments)
            self._reach(f"after {name}")
            return answer

        return call


def breakable(target: Any, faults: Faults, let_pass: list[str]) -> Any:
    """Put `Breakable` before ``target``; for the type checker it is what it stands before."""
    return Breakable(target, faults, let_pass)


def show(thing: Any) -> Reply:
    """Answer with a thing in Stripe's shape, whatever it came to."""
    shapes: dict[str, Callable[[Any], dict[str, Any]]] = {
        "Intent": objects.payment_intent,
        "Refund": objects.refund,
        "Payout": objects.payout,
        "Merchant": objects.account,
    }
    return json_reply(200, shapes[type(thing).__name__](thing))


@dataclass
class House:
    """Everything that a test of commands needs."""

    rt: Runtime
    clock: ManualClock
    wallet: FakeWallet
    risk: FakeRisk
    provider: FakeConnector
    faults: Faults
    payer: Actor
    shop: Actor
    merchant: str
    purse: WalletId
    let_pass: list[str]

    def once(self, actor: Actor, operation: str, key: str | None = None, **content: Any) -> Once:
        """Make a request's key; a moment passes with each, so that events have an order."""
        self.clock.advance(0.01)
        return once_for(actor.subject, operation, key or str(uuid4()), content)

    async def pay(self, amount: int = 1000, *, key: str | None = None, actor: Actor | None = None, **more: Any) -> Any:
        """Create and confirm; gives the payment intent. By wallet unless told."""
        by = actor or self.payer
        order: dict[str, Any] = {
            "amount_minor": amount,
            "currency": "GBP",
            "destination": self.merchant,
            "payment_method": str(self.purse),
            "confirm": True,
            **more,
        }
        order["capture_method"] = CaptureMethod(order.get("capture_method", "automatic"))
        new = intents.NewIntent(**order)
        once = self.once(by, "create", key, **{name: str(value) for name, value in order.items()})
        return read(await intents.create(self.rt, once, by, new, show, refusal_reply))

    async def capture(self, intent: str, amount: int | None = None, *, key: str | None = None) -> Any:
        once = self.once(self.shop, "capture", key, intent=intent, amount=amount)
        return read(
            await intents.capture(self.rt, once, self.shop, IntentId.parse(intent), amount, show, refusal_reply)
        )

    async def cancel(self, intent: str, *, key: str | None = None, reason: str | None = None) -> Any:
        why = CancellationReason(reason) if reason else None
        once = self.once(self.shop, "cancel", key, intent=intent)
        return read(await intents.cancel(self.rt, once, self.shop, IntentId.parse(intent), why, show, refusal_reply))

    async def confirm(
        self, intent: str, method: str | None = None, *, key: str | None = None, actor: Actor | None = None
    ) -> Any:
        by = actor or self.payer
        once = self.once(by, "confirm", key, intent=intent, method=method)
        return read(await intents.confirm(self.rt, once, by, IntentId.parse(intent), method, show, refusal_reply))

    async def refund(
        self, intent: str, amount: int | None = None, *, key: str | None = None, actor: Actor | None = None, **more: Any
    ) -> Any:
        by = actor or self.shop
        new = refunds.NewRefund(IntentId.parse(intent), amount, **more)
        once = self.once(by, "refund", key, intent=intent, amount=amount)
        return read(await refunds.create(self.rt, once, by, new, show, refusal_reply))

    async def payout(
        self, amount: int, currency: str = "GBP", *, key: str | None = None, actor: Actor | None = None, **more: Any
    ) -> Any:
        by = actor or self.shop
        new = payouts.NewPayout(MerchantId.parse(self.merchant), amount, currency, **more)
        once = self.once(by, "payout", key, amount=amount, currency=currency)
        return read(await payouts.create(self.rt, once, by, new, show, refusal_reply))

    async def sweep_all(self, seconds: float = 31) -> None:
        """Let leases end and sweep until nothing is due any more."""
        for _ in range(20):
            self.clock.advance(seconds)
            if not await sweep.sweep(self.rt):
                return
        raise AssertionError("the sweeper finds no end")

    async def sweep_once(self) -> int:
        """Sweep what is due right now."""
        return await sweep.sweep(self.rt)

    async def sweep_for(self, seconds: float) -> None:
        """Sweep as time goes by, whatever is still waiting at its end."""
        for _ in range(int(seconds // 30)):
            self.clock.advance(30)
            await sweep.sweep(self.rt)

    async def balance(self, code: str, currency: str = "GBP") -> int:
        """Give what stands on an account, on its normal side."""
        if code.startswith("wal_"):
            held = (await self.wallet.wallet(WalletId.parse(code))).balances
            return next((b.posted_minor for b in held if b.currency == currency), 0)
        return sum(a.posted_minor for a in await self.wallet.accounts(code) if a.currency == currency)

    async def owed(self, currency: str = "GBP") -> int:
        """Give what we owe the merchant."""
        return await self.balance(f"merchant:{self.merchant}:available", currency)

    async def rows(self, table: sa.Table) -> list[Any]:
        async with self.rt.db.reading() as view:
            return list((await view.execute(sa.select(table).order_by(table.c.created_at))).all())

    async def attempt(self) -> Any:
        """Give the only attempt's row."""
        (row,) = await self.rows(tables.attempts)
        return row

    async def event_types(self) -> list[str]:
        async with self.rt.db.reading() as view:
            return list(
                (await view.execute(sa.select(tables.events.c.type).order_by(tables.events.c.created_at))).scalars()
            )

    async def hear(self, kind: str, subject: str, key: str, identifier: str | None = None) -> str:
        """Let the provider tell something by webhook; says what came of it."""
        body = orjson.dumps({"id": identifier or str(uuid4()), "type": kind, "subject": subject, "key": key})
        return await news.hear_provider(self.rt, "fake", self.provider.parse_event(body), body)

    async def wake(self, table: sa.Table) -> None:
        """Make every row of ``table`` due, as a provider's webhook does."""
        async with self.rt.db.transaction() as tx:
            await tx.execute(table.update().values(next_action_at=self.clock.now()))

    async def books_are_square(self) -> None:
        """Fail unless what stands in the books is what the provider did and what the payers gave."""
        provider = self.provider
        assert await self.balance("clearing:fake") == provider.charged_minor - provider.refunded_minor
        assert await self.balance("refunds_in_flight") == 0
        assert await self.balance("payouts_in_transit") == 0
        assert -await self.balance("bank") == provider.paid_out_minor
        for finding in await run_invariants(self.rt.db, INVARIANTS):
            assert finding.differences == (), finding.name

    def with_rt(self, **changes: Any) -> "House":
        return replace(self, rt=replace(self.rt, **changes))


def read(reply: Reply) -> Any:
    return {**orjson.loads(reply.body), "_status": reply.status, "_replayed": reply.replayed}


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest_asyncio.fixture
async def house(make_database: Callable[[str], Awaitable[Database]], clock: ManualClock, faults: Faults) -> House:
    """A shop that can be paid and a payer with 1,000.00 GBP in their wallet."""
    wallet, risk, provider = FakeWallet(clock), FakeRisk(clock), FakeConnector(clock)
    let_pass: list[str] = []
    rt = Runtime(
        db=await make_database("ledgerlink_payments"),
        clock=clock,
        wallet=breakable(wallet, faults, let_pass),
        risk=breakable(risk, faults, let_pass),
        connectors={"fake": breakable(provider, faults, let_pass)},
        default_connector="fake",
    )
    payer = Actor(str(UserId.new(clock.now())))
    shop = Actor(str(UserId.new(clock.now())))
    purse = wallet.open_wallet(payer.subject, "GBP")
    wallet.fund(purse, 100_000, "GBP")
    new = merchants.NewMerchant("GB", "GBP", "ba_main", name="The Shop")
    once = once_for(shop.subject, "account", "first", {})
    merchant = read(await merchants.create(rt, once, shop, new, show, refusal_reply))["id"]
    return House(rt, clock, wallet, risk, provider, faults, payer, shop, merchant, purse, let_pass)


@dataclass
class Door:
    """The API of a house: who may knock, and clients that do."""

    house: House
    app: FastAPI
    mint: TokenMint

    def token(self, actor: Actor | str, *scopes: str) -> str:
        subject = actor if isinstance(actor, str) else actor.subject
        return self.mint.token(subject, scopes or CUSTOMER)

    def client(self, token: str | None = None, **headers: str) -> httpx.AsyncClient:
        sent = {"Authorization": f"Bearer {token}", **headers} if token else headers
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://payments", headers=sent)


CUSTOMER = ("payments:read", "payments:write")
MERCHANT = (*CUSTOMER, "payments:refund", "payments:payout")
OPERATOR = (*MERCHANT, "payments:exchange", "ledger:read", "ledger:write")


@pytest.fixture
def door(house: House, mint: TokenMint) -> Door:
    chosen: dict[str, Any] = {"environment": "test", "database_url": SecretStr("postgresql://not-used")}
    settings = Settings(**chosen)
    return Door(house, make_app(settings, Open(house.rt, ()), mint.verifier()), mint)
