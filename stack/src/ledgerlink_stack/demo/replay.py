"""The replay: top-ups, purchases, refunds, credits and payouts as HTTP requests, each safe to repeat."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ledgerlink_stack.demo.gateway import PATIENCE_S
from ledgerlink_stack.demo.rows import BILLING, Row
from ledgerlink_stack.demo.schedule import Credit, Month, Payout, Purchase, Refund, Step, TopUp
from ledgerlink_stack.demo.world import Tick, World, side_by_side
from ledgerlink_stack.trouble import Trouble

CARD: Final = "pm_card_visa"
_POLL_S: Final = 0.3
_PENDING: Final = frozenset({"processing", "pending", "in_transit"})


@dataclass
class Tally:
    """What happened to one kind of step; amounts in minor units by currency."""

    count: int = 0
    amounts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    reviewed: int = 0
    refused: dict[str, int] = field(default_factory=lambda: defaultdict(int))


class Replay:
    """Replays months of one plan in a `World`, and remembers which ledger reference belongs to which row."""

    def __init__(self, world: World, width: int) -> None:
        """Work ``width`` requests at a time."""
        self._world = world
        self._gateway = world.gateway
        self._width = width
        self.tallies: dict[str, Tally] = defaultdict(Tally)
        self.rows_by_reference: dict[str, Row] = {}
        self.refused_rows: list[Row] = []
        self.payouts_by_reference: dict[str, Payout] = {}
        self.top_ups_by_reference: dict[str, TopUp] = {}
        self._intents: dict[str, str] = {}

    async def run(self, month: Month, tick: Tick) -> None:
        """Replay one month: each card's steps in their order, the cards side by side."""

        async def top_up(item: TopUp) -> None:
            await self._top_up(item)
            tick()

        async def card(steps: Sequence[Step]) -> None:
            for step in steps:
                await self._step(step)
                tick()

        async def payout(item: Payout) -> None:
            await self._payout(item)
            tick()

        by_card: dict[str, list[Step]] = defaultdict(list)
        for step in month.steps:
            by_card[step.row.card].append(step)
        longest_first = sorted(by_card.values(), key=len, reverse=True)
        await side_by_side(month.top_ups, top_up, self._width)
        await side_by_side(longest_first, card, self._width)
        await side_by_side(month.payouts, payout, self._width)

    async def _step(self, step: Step) -> None:
        if isinstance(step, Purchase):
            await self._purchase(step.row)
        elif isinstance(step, Refund) and step.of.key in self._intents:
            await self._refund(step)
        elif isinstance(step, Credit):
            await self._credit(step.row)
        else:
            # The purchase it would refund was refused: there is nothing to give back.
            self._refuse("refund", "purchase-refused", step.row)

    async def _top_up(self, item: TopUp) -> None:
        world = self._world
        intent = await self._pay(
            "top-up",
            world.key("top-up", item.month, item.department, item.card, item.part),
            {
                "amount": item.amount_minor,
                "currency": BILLING.lower(),
                "payment_method": CARD,
                "transfer_data": {"destination": world.wallets[item.card]},
                "confirm": True,
                "metadata": {"replay": world.name, "department": item.department, "card": item.card},
            },
            payer=world.departments[item.department],
        )
        if isinstance(intent, str):
            raise Trouble(f"A top-up of card {item.card} was refused: {intent}.", "The demo cannot go on without it.")
        self._count("top-up", item.amount_minor, BILLING)
        self.top_ups_by_reference[intent["id"]] = item

    async def _purchase(self, row: Row) -> None:
        world = self._world
        form: dict[str, Any] = {
            "amount": row.amount_minor,
            "currency": row.currency.lower(),
            "payment_method": world.wallets[row.card],
            "transfer_data": {"destination": world.merchants[row.merchant]},
            "confirm": True,
            "metadata": {"replay": world.name, "row": row.key, "day": row.day, "department": row.department},
        }
        if row.foreign:
            # The rate is the card scheme's, so it is an operator who states it.
            form["exchange"] = {"currency": BILLING.lower(), "amount": row.billed_minor}
        payer = world.admin if row.foreign else world.cardholders[row.card]
        intent = await self._pay("purchase", world.key("row", row.key), form, payer=payer)
        if isinstance(intent, str):
            self._refuse("purchase", intent, row)
            return
        self._intents[row.key] = intent["id"]
        self.rows_by_reference[intent["id"]] = row
        self._count("purchase", row.amount_minor, row.currency)

    async def _pay(self, kind: str, key: str, form: Mapping[str, Any], *, payer: Any) -> dict[str, Any] | str:
        """Create and confirm an intent and follow it to its end: the intent, or why it was refused."""
        answer = await self._gateway.send("POST", "/v1/payment_intents", kind=kind, token=payer, form=form, key=key)
        if not answer.ok:
            return str(answer.body.get("code"))
        intent = answer.body
        if intent["status"] in _PENDING:
            intent = await self._follow(kind, f"/v1/payment_intents/{intent['id']}", intent)
        if intent["status"] == "succeeded":
            return intent
        error: dict[str, Any] = intent.get("last_payment_error") or {}
        return str(error.get("decline_code") or error.get("code") or intent["status"])

    async def _follow(self, kind: str, path: str, thing: dict[str, Any]) -> dict[str, Any]:
        """Wait until ``thing`` is no longer on its way; a review is decided by the admin, as an analyst would."""
        deadline = time.monotonic() + PATIENCE_S
        decided: set[str] = set()
        while thing["status"] in _PENDING and time.monotonic() < deadline:
            case = thing.get("review")
            if case and case not in decided:
                decided.add(case)
                self.tallies[kind].reviewed += 1
                await self._gateway.send(
                    "POST",
                    f"/api/v1/risk/cases/{case}/resolve",
                    kind="resolve case",
                    token=self._world.admin,
                    json={"resolution": "approve", "note": "A purchase of the published file."},
                    key=self._world.key("case", case),
                )
            await asyncio.sleep(_POLL_S)
            thing = await self._gateway.done("GET", path, kind="look again", token=self._world.admin)
        return thing

    async def _refund(self, step: Refund) -> None:
        world, row = self._world, step.row
        form: dict[str, Any] = {
            "payment_intent": self._intents[step.of.key],
            "amount": -row.amount_minor,
            "metadata": {"replay": world.name, "row": row.key, "department": row.department},
        }
        if row.foreign:
            form["exchange"] = {"currency": BILLING.lower(), "amount": -row.billed_minor}
        answer = await self._gateway.send(
            "POST", "/v1/refunds", kind="refund", token=world.admin, form=form, key=world.key("row", row.key)
        )
        if not answer.ok:
            self._refuse("refund", str(answer.body.get("code")), row)
            return
        refund = await self._follow("refund", f"/v1/refunds/{answer.body['id']}", answer.body)
        if refund["status"] != "succeeded":
            self._refuse("refund", str(refund["status"]), row)
            return
        self.rows_by_reference[refund["id"]] = row
        self._count("refund", -row.amount_minor, row.currency)

    async def _credit(self, row: Row) -> None:
        """Book a credit that refunds no known purchase: from the merchant's account to the wallet."""
        world = self._world
        merchant, wallet = f"merchant:{world.merchants[row.merchant]}:available", world.wallets[row.card]
        given = {"debit": merchant, "amount_minor": -row.amount_minor, "currency": row.currency}
        if row.foreign:
            back = {"debit": "fx:position", "credit": wallet, "amount_minor": -row.billed_minor, "currency": BILLING}
            postings = [{**given, "credit": "fx:position"}, back]
        else:
            postings = [{**given, "credit": wallet}]
        order = {
            "kind": "merchant.credit",
            "postings": postings,
            "reference": row.key,
            "metadata": {"replay": world.name, "department": row.department},
        }
        answer = await self._gateway.send(
            "POST", "/api/v1/transfers", kind="credit", token=world.admin, json=order, key=world.key("row", row.key)
        )
        if not answer.ok:
            self._refuse("credit", str(answer.body.get("code")), row)
            return
        self.rows_by_reference[answer.body["id"]] = row
        self._count("credit", -row.amount_minor, row.currency)

    async def _payout(self, item: Payout) -> None:
        world = self._world
        answer = await self._gateway.send(
            "POST",
            "/v1/payouts",
            kind="payout",
            token=world.admin,
            form={
                "amount": item.amount_minor,
                "currency": item.currency.lower(),
                "metadata": {"replay": world.name, "month": item.month},
            },
            account=world.merchants[item.merchant],
            key=world.key("payout", item.month, item.merchant.encode().hex()[:120], item.currency),
        )
        if not answer.ok:
            self.tallies["payout"].refused[str(answer.body.get("code"))] += 1
            return
        self.payouts_by_reference[answer.body["id"]] = item
        self._count("payout", item.amount_minor, item.currency)

    async def await_payouts(self) -> int:
        """Wait until the provider has paid every payout; gives how many it has not within two minutes."""
        waiting = dict(self.payouts_by_reference)
        deadline = time.monotonic() + PATIENCE_S
        while waiting and time.monotonic() < deadline:

            async def look(reference: str) -> None:
                path = f"/v1/payouts/{reference}"
                headers = self._world.merchants[self.payouts_by_reference[reference].merchant]
                found = await self._gateway.done(
                    "GET", path, kind="look again", token=self._world.admin, account=headers
                )
                if found["status"] == "paid":
                    waiting.pop(reference)

            await side_by_side(list(waiting), look, self._width)
            if waiting:
                await asyncio.sleep(1)
        return len(waiting)

    def _count(self, kind: str, amount_minor: int, currency: str) -> None:
        self.tallies[kind].count += 1
        self.tallies[kind].amounts[currency] += amount_minor

    def _refuse(self, kind: str, why: str, row: Row) -> None:
        self.tallies[kind].refused[why] += 1
        self.refused_rows.append(row)
