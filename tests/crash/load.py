"""Load through the gateway by people who keep a diary: every order with its key, and every answer that came.

An order without an answer may or may not have happened: that is what a crash leaves its callers with. `settle` asks
again with the same key until there is an answer, as a careful client would, and from then on the diary is complete.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Literal

import aiohttp
import orjson

from tests.crash.own_stack import OwnStack

Kind = Literal["credit", "debit", "transfer", "top_up", "pay"]
KINDS: Final[tuple[Kind, ...]] = ("credit", "debit", "transfer", "transfer", "top_up", "pay")
CURRENCY: Final = "GBP"
FIRST_TIMEOUT_S: Final = 8.0
SETTLE_TIMEOUT_S: Final = 120.0
PASSWORD: Final = "a long sentence that nobody else uses"
_AGAIN: Final = frozenset({401, 408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `replayed` says that the service remembered it."""

    status: int
    body: bytes
    replayed: bool

    @property
    def content(self) -> dict[str, Any]:
        """The body as JSON."""
        return orjson.loads(self.body)

    @property
    def done(self) -> bool:
        """Whether it says that the thing was done."""
        return self.status < HTTPStatus.BAD_REQUEST


@dataclass(slots=True)
class Person:
    """Someone with a wallet."""

    email: str
    token: str
    wallet: str


@dataclass(slots=True)
class Order:
    """One thing asked for. `first` is the answer of the first time that there was one, under fire."""

    person: Person
    kind: Kind
    key: str
    path: str
    body: dict[str, Any]
    amount: int
    other: str | None
    first: Answer | None = None
    final: Answer | None = None
    tries: int = 0


@dataclass(slots=True)
class Diary:
    """All people and all orders of one run."""

    people: list[Person] = field(default_factory=list[Person])
    orders: list[Order] = field(default_factory=list[Order])

    def acknowledged(self) -> list[Order]:
        """Orders that were answered under fire."""
        return [order for order in self.orders if order.first is not None]


class Load:
    """The people of one run, the connections they use, and their diary."""

    def __init__(self, stack: OwnStack, seed: int, session: aiohttp.ClientSession) -> None:
        """Everything random comes from `seed`; `run` keeps the keys of repeated runs of one seed apart."""
        self._stack = stack
        self._seed = seed
        self._run = f"{seed}-{time.time_ns():x}"
        self._session = session
        self.diary = Diary()
        self.defects: list[str] = []

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        key: str | None = None,
        json: Any = None,
        timeout_s: float = FIRST_TIMEOUT_S,
    ) -> Answer | None:
        """Send once. None means that there was no answer: nobody knows what happened."""
        headers = {"Content-Type": "application/json"} if json is not None else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if key:
            headers["Idempotency-Key"] = key
        data = None if json is None else orjson.dumps(json)
        try:
            async with self._session.request(
                method,
                f"{self._stack.url}{path}",
                data=data,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
            ) as reply:
                body = await reply.read()
                answer = Answer(reply.status, body, reply.headers.get("Idempotency-Replayed") == "true")
                in_flight = reply.status == HTTPStatus.CONFLICT and "Retry-After" in reply.headers
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None
        if answer.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            told = self._stack.told_of(str(answer.content.get("request_id")))
            self.defects.append(f"{method} {path}: {answer.body[:300]!r}\n{told}")
        return None if in_flight or answer.status in _AGAIN else answer

    async def must(self, method: str, path: str, **more: Any) -> Answer:
        """Send until there is an answer."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        while True:
            answer = await self.call(method, path, **more)
            if answer is not None:
                return answer
            assert time.monotonic() < deadline, f"{method} {path} had no answer for {SETTLE_TIMEOUT_S:.0f} s"
            await asyncio.sleep(0.3)

    async def log_in(self, email: str, password: str) -> str:
        """Return an access token."""
        answer = await self.must("POST", "/api/v1/auth/token", json={"username": email, "password": password})
        assert answer.status == HTTPStatus.OK, answer.body
        return str(answer.content["access_token"])

    async def admin_token(self) -> str:
        """Return a token that may audit."""
        return await self.log_in(self._stack.admin_email, self._stack.secrets.admin_password)

    async def enroll(self, count: int) -> None:
        """Register people and give each a wallet with something in it."""
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
            order = self._order(person, "credit", f"{self._run}-seed-{person.wallet}", 1_000_000, None)
            await self._send(order)

    def _order(self, person: Person, kind: Kind, key: str, amount: int, other: str | None) -> Order:
        """Write an order into the diary before it is sent."""
        wallet = {"amount_minor": amount, "currency": CURRENCY}
        intent = {
            "amount": amount,
            "currency": CURRENCY.lower(),
            "confirm": True,
            "payment_method": "pm_card_visa" if kind == "top_up" else person.wallet,
            "transfer_data": {"destination": person.wallet if kind == "top_up" else other},
        }
        path, body = {
            "credit": (f"/api/v1/wallets/{person.wallet}/credit", wallet),
            "debit": (f"/api/v1/wallets/{person.wallet}/debit", wallet),
            "transfer": (f"/api/v1/wallets/{person.wallet}/transfer", {**wallet, "to": other}),
            "top_up": ("/v1/payment_intents", intent),
            "pay": ("/v1/payment_intents", intent),
        }[kind]
        order = Order(person, kind, key, path, body, amount, other)
        self.diary.orders.append(order)
        return order

    async def _send(self, order: Order) -> Answer | None:
        """Send an order once more, and note the first answer."""
        order.tries += 1
        answer = await self.call("POST", order.path, token=order.person.token, key=order.key, json=order.body)
        if answer is not None and order.first is None:
            order.first = answer
        return answer

    async def press(self, number: int, stop: asyncio.Event) -> None:
        """Be one person who orders without pause until told to stop; sometimes asks again, sometimes gives up."""
        dice = random.Random(f"{self._seed}/{number}")
        person = self.diary.people[number]
        others = [other.wallet for other in self.diary.people if other is not person]
        count = 0
        while not stop.is_set():
            count += 1
            kind = dice.choice(KINDS)
            other = dice.choice(others) if kind in {"transfer", "pay"} else None
            order = self._order(person, kind, f"{self._run}-{number}-{count}", dice.randint(1, 5_000), other)
            patience = dice.choice((1, 1, 3))
            for _ in range(patience):
                if await self._send(order) is not None or stop.is_set():
                    break
                await asyncio.sleep(dice.uniform(0.05, 0.4))
            await asyncio.sleep(dice.uniform(0, 0.05))

    async def settle(self) -> None:
        """Ask for every order again, with its key, until each has an answer."""
        for person in self.diary.people:
            person.token = await self.log_in(person.email, PASSWORD)
        gate = asyncio.Semaphore(8)

        async def ask(order: Order) -> None:
            async with gate:
                order.final = await self.must(
                    "POST", order.path, token=order.person.token, key=order.key, json=order.body
                )

        await asyncio.gather(*(ask(order) for order in self.diary.orders))
