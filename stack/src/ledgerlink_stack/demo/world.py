"""Who takes part in the demo, made through the API: departments, cardholders with wallets, merchants."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from ledgerlink_stack.demo.gateway import Gateway, Person, password_of
from ledgerlink_stack.demo.rows import BILLING, Row

Item = TypeVar("Item")
Tick = Callable[[], None]

DOMAIN: Final = "demo.ledgerlink.dev"
CREATED, EXISTS = 201, 409


async def side_by_side(items: Iterable[Item], work: Callable[[Item], Awaitable[None]], width: int) -> None:
    """Do ``work`` on every item, ``width`` at a time; the first error ends it all."""
    queue = iter(items)

    async def worker() -> None:
        for item in queue:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(width):
            group.create_task(worker())


class World:
    """The people, wallets and merchants of one replay; ``name`` keeps replays of other files apart."""

    def __init__(self, gateway: Gateway, admin: Person, *, name: str, secret: str) -> None:
        """Make nobody yet."""
        self.gateway = gateway
        self.admin = admin
        self.name = name
        self._secret = secret
        self.departments: dict[str, Person] = {}
        self.cardholders: dict[str, Person] = {}
        self.wallets: dict[str, str] = {}
        self.merchants: dict[str, str] = {}

    def key(self, *parts: object) -> str:
        """Give the idempotency key of one step of this replay."""
        return "-".join(str(part) for part in (self.name, *parts))

    async def populate(self, rows: Sequence[Row], width: int, tick: Tick) -> None:
        """Make, or find again, everybody whom ``rows`` name."""
        departments = sorted({row.department for row in rows})
        cards = sorted({row.card for row in rows})
        merchants = sorted({row.merchant for row in rows})

        async def department(item: tuple[int, str]) -> None:
            number, name = item
            self.departments[name] = await self._register(f"department-{number}", name)
            tick()

        async def cardholder(card: str) -> None:
            person = self.cardholders[card] = await self._register(f"card-{card}", f"Cardholder {card}")
            wallet = await self.gateway.done(
                "POST",
                "/api/v1/wallets",
                kind="open wallet",
                token=person,
                json={"currency": BILLING, "label": f"Purchase card {card}"},
                key=self.key("wallet", card),
            )
            self.wallets[card] = wallet["id"]
            tick()

        async def merchant(name: str) -> None:
            made = await self.gateway.done(
                "POST",
                "/v1/accounts",
                kind="open merchant",
                token=self.admin,
                form={"business_profile": {"name": name}, "metadata": {"replay": self.name}},
                key=self.key("merchant", name.encode().hex()[:160]),
            )
            self.merchants[name] = made["id"]
            tick()

        await side_by_side(enumerate(departments), department, width)
        await side_by_side(cards, cardholder, width)
        await side_by_side(merchants, merchant, width)

    async def _register(self, slug: str, full_name: str) -> Person:
        email = f"{self.name}-{slug}@{DOMAIN}"
        password = password_of(self._secret, email)
        body: dict[str, Any] = {"email": email, "password": password, "full_name": full_name}
        answer = await self.gateway.send("POST", "/api/v1/auth/register", kind="register", json=body)
        if answer.status not in {CREATED, EXISTS}:
            # Let the refusal speak for itself.
            await self.gateway.done("POST", "/api/v1/auth/register", kind="register", json=body)
        return Person(self.gateway, email, password)
