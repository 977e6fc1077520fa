"""Load through the gateway by people who keep a diary: every order with its key, and every answer that came.

An order without an answer may or may not have happened: that is what a crash leaves its callers with. `settle` asks
again with the same key until there is an answer, as a careful client would, and from then on the diary is complete.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson

from ledgerlink_contracts.ids import HoldId
from tests.crash.imported import ImportedFile
from tests.crash.orders import CURRENCY, INTENTS, OTHER_CURRENCY, Answer, Kind, Order, Person, intent, movement
from tests.crash.own_stack import OwnStack

Wish = Kind
WISHES: Final[tuple[Wish, ...]] = (
    *("credit", "debit", "transfer", "transfer", "top_up", "top_up", "pay", "buy", "buy"),
    *("refund", "refund", "merchant", "payout", "exchange", "exchange", "hold", "hold", "bulk"),
)
"""What a person thinks of next."""
BULK_ITEMS: Final = 12
FIRST_TIMEOUT_S: Final = 8.0
SETTLE_TIMEOUT_S: Final = 120.0
PASSWORD: Final = "a long sentence that nobody else uses"
_NOT_YET: Final = frozenset({HTTPStatus.CONFLICT, HTTPStatus.LOCKED})
"""With Retry-After: somebody else is just doing this, or what stands in its way."""
_AGAIN: Final = frozenset({401, 408, 425, 429, 500, 502, 503, 504})


@dataclass(slots=True)
class Diary:
    """All people and all orders of one run."""

    people: list[Person] = field(default_factory=list[Person])
    orders: list[Order] = field(default_factory=list[Order])
    merchants: list[str] = field(default_factory=list[str])

    def acknowledged(self) -> list[Order]:
        """Orders that were answered under fire."""
        return [order for order in self.orders if order.first is not None]

    def paid_by(self, person: Person) -> list[Order]:
        """Payments of a person that they know to have succeeded."""
        return [
            order
            for order in self.orders
            if order.person is person and order.kind in INTENTS and order.first is not None and order.first.done
            if order.first.content["status"] == "succeeded"
        ]


class Load:
    """The people of one run, the connections they use, and their diary."""

    def __init__(self, stack: OwnStack, seed: int, session: aiohttp.ClientSession) -> None:
        """Everything random comes from `seed`; `run` keeps the keys of repeated runs of one seed apart."""
        self._stack = stack
        self._seed = seed
        self._run = f"{seed}-{time.time_ns():x}"
        self.session = session
        self.url = stack.url
        self.began_at = datetime.now(UTC)
        self.admin = ""
        self.diary = Diary()
        self.defects: list[str] = []
        self.file: ImportedFile | None = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        key: str | None = None,
        json: Any = None,
        merchant: str | None = None,
        timeout_s: float = FIRST_TIMEOUT_S,
    ) -> Answer | None:
        """Send once. None means that there was no answer: nobody knows what happened."""
        given = {"Authorization": token and f"Bearer {token}", "Idempotency-Key": key, "Stripe-Account": merchant}
        headers = {name: value for name, value in given.items() if value}
        data = None
        if json is not None:
            data, headers["Content-Type"] = orjson.dumps(json), "application/json"
        try:
            async with self.session.request(
                method,
                f"{self._stack.url}{path}",
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as reply:
                body = await reply.read()
                answer = Answer(reply.status, body, reply.headers.get("Idempotency-Replayed") == "true")
                come_back = reply.status in _NOT_YET and "Retry-After" in reply.headers
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        self.note_defect(method, path, answer.status, body)
        return None if come_back or answer.status in _AGAIN or not answer.whole else answer

    def note_defect(self, method: str, path: str, status: int, body: bytes) -> None:
        """Remember a 500 with what the services wrote about it."""
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            told = self._stack.told_of(str(orjson.loads(body).get("request_id")))
            self.defects.append(f"{method} {path}: {body[:300]!r}\n{told}")

    async def must(self, method: str, path: str, **more: Any) -> Answer:
        """Send until there is an answer."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            answer = await self.call(method, path, **more)
            if answer is not None:
                return answer
            assert time.monotonic() < deadline, f"{method} {path} had no answer for {SETTLE_TIMEOUT_S:.0f} s"
            await asyncio.sleep(0.3)

    async def items(self, path: str, *, limit: int) -> list[dict[str, Any]]:
        """Give all items of a list that comes in pages, as the admin sees it."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            sign = "&" if "?" in path else "?"
            page = await self.must("GET", f"{path}{sign}limit={limit}{cursor}", token=self.admin, timeout_s=30)
            assert page.done, page.body
            found += page.content["items"]
            following = page.content.get("next_cursor")
            if not following:
                return found
            cursor = f"&cursor={quote(following)}"

    async def log_in(self, email: str, password: str) -> str:
        """Return an access token."""
        answer = await self.must("POST", "/api/v1/auth/token", json={"username": email, "password": password})
        assert answer.status == HTTPStatus.OK, answer.body
        return str(answer.content["access_token"])

    async def log_in_admin(self) -> None:
        """Have a token of the admin, who may do everything."""
        self.admin = await self.log_in(self._stack.admin_email, self._stack.secrets.admin_password)

    async def enroll(self, count: int) -> None:
        """Register people, give each a wallet with something in it, and set the rates of exchange."""
        await self.log_in_admin()
        rate = {
            "base": CURRENCY,
            "quote": OTHER_CURRENCY,
            "mid": "1.1642",
            "spread_bp": 50,
            "source": "crash",
            "valid_until": (self.began_at + timedelta(hours=1)).isoformat(),
        }
        rates = await self.must("PUT", "/api/v1/exchange/rates", token=self.admin, json={"items": [rate]})
        assert rates.done, rates.body
        for number in range(count):
            email = f"crash-{self._run}-{number}@example.com"
            body = {"email": email, "password": PASSWORD}
            answer = await self.must("POST", "/api/v1/auth/register", json=body)
            assert answer.status in {HTTPStatus.CREATED, HTTPStatus.CONFLICT}, answer.body
            token = await self.log_in(email, PASSWORD)
            opened = await self.must(
                "POST", "/api/v1/wallets", token=token, key=f"{self._run}-open-{number}", json={"currency": CURRENCY}
            )
            assert opened.status == HTTPStatus.CREATED, opened.body
            person = Person(email, token, str(opened.content["id"]))
            self.diary.people.append(person)
        for person in self.diary.people:
            await self._send(self._noted(movement(person, "credit", f"{self._run}-seed-{person.wallet}", 10**6, None)))
        await self._onboard(self.diary.people[0], f"{self._run}-shop", 1)
        self.file = ImportedFile(self, f"{self._run}-file", self._seed)

    def _noted(self, order: Order) -> Order:
        """Write an order into the diary before it is sent."""
        self.diary.orders.append(order)
        return order

    async def ask(self, order: Order, *, settle: bool = False) -> Answer | None:
        """Send an order once, or until there is an answer."""
        token = self.admin if order.operator else order.person.token
        send = self.must if settle else self.call
        return await send("POST", order.path, token=token, key=order.key, json=order.body, merchant=order.merchant)

    async def _send(self, order: Order, patience: int = 1) -> Answer | None:
        """Send an order at most `patience` times more, and note the first answer."""
        for number in range(patience):
            if number:
                await asyncio.sleep(0.2)
            order.tries += 1
            answer = await self.ask(order)
            if answer is not None:
                order.first = order.first or answer
                return answer
        return None

    async def press(self, number: int, stop: asyncio.Event) -> None:
        """Be one person who orders without pause until told to stop; sometimes asks again, sometimes gives up."""
        dice = random.Random(f"{self._seed}/{number}")
        person = self.diary.people[number]
        count = 0
        while not stop.is_set():
            count += 1
            await self._wish(person, dice.choice(WISHES), f"{self._run}-{number}-{count}", dice)
            await asyncio.sleep(dice.uniform(0, 0.3))

    async def _wish(self, person: Person, wish: Wish, key: str, dice: random.Random) -> None:
        amount, patience = dice.randint(1, 5_000), dice.choice((1, 1, 3))
        other = dice.choice([one.wallet for one in self.diary.people if one is not person])
        if wish in {"exchange", "quote"}:
            await self._exchange(person, key, amount, patience, sells_other=dice.random() < 0.3)
        elif wish == "hold":
            await self._hold(person, key, amount, other, dice)
        elif wish == "merchant":
            await self._onboard(person, key, patience)
        else:
            order = self._order(person, wish, key, amount, other, dice)
            if order is not None:
                await self._send(self._noted(order), patience)

    def _order(
        self, person: Person, wish: Wish, key: str, amount: int, other: str, dice: random.Random
    ) -> Order | None:
        """Write an order of one request; none when there is nothing yet to order it for."""
        if wish in {"credit", "debit", "transfer"}:
            return movement(person, wish, key, amount, other if wish == "transfer" else None)
        if wish == "refund":
            return self._refund(person, key, amount, dice)
        if wish == "bulk":
            return self._bulk(person, key, dice)
        if wish in {"buy", "payout"}:
            if not self.diary.merchants:
                return None
            other = dice.choice(self.diary.merchants)
        if wish == "payout":
            body = {"amount": amount, "currency": CURRENCY.lower()}
            return Order(person, wish, key, "/v1/payouts", body, amount, operator=True, merchant=other)
        return intent(person, wish, key, amount, other)

    def _refund(self, person: Person, key: str, amount: int, dice: random.Random) -> Order | None:
        """Give a part of a payment back: several parts of one may be asked for, also more than it was."""
        paid = self.diary.paid_by(person)
        if not paid:
            return None
        of = dice.choice(paid)
        assert of.first is not None
        amount = min(amount, of.amount)
        body = {"payment_intent": of.first.content["id"], "amount": amount}
        return Order(person, "refund", key, "/v1/refunds", body, amount, operator=True, follows=of)

    def _bulk(self, person: Person, key: str, dice: random.Random) -> Order:
        """Write transfers between any wallets; the last one asks for more than there is."""
        wallets = [one.wallet for one in self.diary.people]
        transfers: list[dict[str, Any]] = []
        for number in range(BULK_ITEMS):
            debit, credit = dice.sample(wallets, 2)
            amount = 10**12 if number == BULK_ITEMS - 1 else dice.randint(1, 500)
            posting = {"debit": debit, "credit": credit, "amount_minor": amount, "currency": CURRENCY}
            transfers.append({"kind": "crash.bulk", "reference": f"{key}-{number}", "postings": [posting]})
        return Order(person, "bulk", key, "/api/v1/transfers/bulk", {"transfers": transfers}, operator=True)

    async def _onboard(self, person: Person, key: str, patience: int) -> None:
        """Make a merchant."""
        body = {"business_profile": {"name": f"Shop {key}"}, "country": "GB"}
        answer = await self._send(self._noted(Order(person, "merchant", key, "/v1/accounts", body)), patience)
        if answer is not None and answer.done:
            self.diary.merchants.append(answer.content["id"])

    async def _exchange(self, person: Person, key: str, amount: int, patience: int, *, sells_other: bool) -> None:
        """Ask for a quote, and accept it."""
        sell, buy = (OTHER_CURRENCY, CURRENCY) if sells_other else (CURRENCY, OTHER_CURRENCY)
        body = {"wallet": person.wallet, "sell_currency": sell, "buy_currency": buy, "sell_minor": amount + 1}
        quoted = self._noted(Order(person, "quote", f"{key}-quote", "/api/v1/exchange/quotes", body))
        answer = await self._send(quoted, patience)
        if answer is not None and answer.done:
            path = f"/api/v1/exchange/quotes/{answer.content['id']}/accept"
            await self._send(self._noted(Order(person, "exchange", key, path, {}, follows=quoted)), patience)

    async def _hold(self, person: Person, key: str, amount: int, other: str, dice: random.Random) -> None:
        """Place a hold, collect it in parts, and give the rest back, at once or when all is over."""
        hold = str(HoldId.derive("crash", key))
        body = {"id": hold, "wallet": person.wallet, "amount_minor": amount, "currency": CURRENCY}
        placed = self._noted(Order(person, "hold", key, "/api/v1/holds", body, amount, operator=True))
        if (answer := await self._send(placed, 2)) is None or not answer.done:
            return
        path = f"/api/v1/holds/{hold}/capture"
        # Two parts of up to two thirds: the second may be more than is left, and is refused then.
        for part in range(dice.choice((0, 1, 2, 2))):
            taken = dice.randint(1, max(1, amount * 2 // 3))
            body = {"amount_minor": taken, "credit": other, "final": dice.random() < 0.2}
            capture = Order(person, "capture", f"{key}-{part}", path, body, taken, other, operator=True, follows=placed)
            if await self._send(self._noted(capture), dice.choice((1, 2))) is None:
                return
        if dice.random() < 0.5:
            await self.call("POST", f"/api/v1/holds/{hold}/release", token=self.admin)

    async def settle(self) -> None:
        """Ask for every order again, with its key, until each has an answer; then end what is still held."""
        await self.log_in_admin()
        for person in self.diary.people:
            person.token = await self.log_in(person.email, PASSWORD)
        gate = asyncio.Semaphore(8)

        async def once_more(order: Order) -> None:
            async with gate:
                order.final = await self.ask(order, settle=True)

        await asyncio.gather(*(once_more(order) for order in self.diary.orders))

    def holds(self) -> list[Order]:
        """Orders that placed a hold."""
        return [order for order in self.diary.orders if order.kind == "hold" and order.done is not None]
