"""What can be asked for, and what each thing done leaves in the ledger: the diary's side of the comparison.

A trace is a transfer as its order meant it: by name (its id, or the reference that the payment, refund, payout or line
of a file gave it), with its kind and every posting. The ledger must hold each trace once, and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal, NamedTuple

import orjson

Kind = Literal[
    "credit",
    "debit",
    "transfer",
    "top_up",
    "pay",
    "buy",
    "refund",
    "merchant",
    "payout",
    "quote",
    "exchange",
    "hold",
    "capture",
    "bulk",
]
CURRENCY: Final = "GBP"
OTHER_CURRENCY: Final = "EUR"
FEE_BPS: Final = 250
"""What merchants pay us in the crash runs."""
INTENTS: Final[frozenset[Kind]] = frozenset({"top_up", "pay", "buy"})
CARD: Final = "pm_card_visa"
PROVIDER: Final = "clearing:sandbox"
_SERVER_ERROR: Final = 500

Posting = tuple[str, str, int, str]
"""Debit, credit, minor units, currency."""


class Trace(NamedTuple):
    """A transfer that must stand in the ledger."""

    name: str
    kind: str
    postings: tuple[Posting, ...]


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

    @property
    def whole(self) -> bool:
        """Whether it says of every item what became of it; an item that the ledger could not take is asked again."""
        items: list[dict[str, Any]] = self.content.get("items", []) if self.body.startswith(b'{"posted"') else []
        return all(item["status"] < _SERVER_ERROR for item in items)


@dataclass(slots=True)
class Person:
    """Someone with a wallet."""

    email: str
    token: str
    wallet: str


@dataclass(slots=True)
class Order:
    """One thing asked for. `first` is the answer of the first time that there was one, under fire.

    `operator` says that the admin asks for it; `merchant` is in whose name; `follows` the order that it builds on.
    """

    person: Person
    kind: Kind
    key: str
    path: str
    body: dict[str, Any]
    amount: int = 0
    other: str | None = None
    operator: bool = False
    merchant: str | None = None
    follows: Order | None = None
    first: Answer | None = None
    final: Answer | None = None
    tries: int = 0

    @property
    def done(self) -> dict[str, Any] | None:
        """What the last answer says, if the thing was done."""
        return self.final.content if self.final is not None and self.final.done else None


def intent(person: Person, kind: Kind, key: str, amount: int, other: str | None) -> Order:
    """Write a payment: a card fills the person's wallet, or the wallet pays another one or a merchant."""
    body = {
        "amount": amount,
        "currency": CURRENCY.lower(),
        "confirm": True,
        "payment_method": CARD if kind == "top_up" else person.wallet,
        "transfer_data": {"destination": person.wallet if kind == "top_up" else other},
    }
    return Order(person, kind, key, "/v1/payment_intents", body, amount, other)


def movement(person: Person, kind: Kind, key: str, amount: int, other: str | None) -> Order:
    """Write a credit, a debit or a transfer of the person's wallet."""
    body: dict[str, Any] = {"amount_minor": amount, "currency": CURRENCY}
    if other is not None:
        body["to"] = other
    return Order(person, kind, key, f"/api/v1/wallets/{person.wallet}/{kind}", body, amount, other)


def merchant_account(merchant: str) -> str:
    """Give the account of what we owe a merchant."""
    return f"merchant:{merchant}:available"


def payee(destination: str) -> str:
    """Give the account that a payment's destination is paid into."""
    return merchant_account(destination) if destination.startswith("acct_") else destination


def traces(order: Order) -> list[Trace]:
    """Say which transfers an order has left, going by its last answer."""
    content = order.done
    if content is None:
        return []
    mine, other, amount = order.person.wallet, order.other or "", order.amount
    if order.kind in INTENTS:
        return _of_intent(order, content)
    if order.kind == "refund":
        return _of_refund(order, content)
    if order.kind == "payout":
        return _of_payout(order, content)
    if order.kind == "exchange":
        return _of_exchange(order, content)
    if order.kind == "bulk":
        posted = zip(order.body["transfers"], content["items"], strict=True)
        return [
            Trace(one["reference"], one["kind"], tuple(_posting(each) for each in one["postings"]))
            for one, item in posted
            if item["status"] == HTTPStatus.CREATED
        ]
    if order.kind == "capture":
        return [Trace(content["transfer"]["id"], "hold.capture", ((mine, other, amount, CURRENCY),))]
    parties = {"credit": ("world", mine), "debit": (mine, "world"), "transfer": (mine, other)}.get(order.kind)
    if parties is None:
        return []
    return [Trace(id_of(content), f"wallet.{order.kind}", ((*parties, amount, CURRENCY),))]


def _posting(posting: dict[str, Any]) -> Posting:
    return (posting["debit"], posting["credit"], posting["amount_minor"], posting["currency"])


def _of_intent(order: Order, content: dict[str, Any]) -> list[Trace]:
    if content["status"] != "succeeded":
        return []
    mine, amount = order.person.wallet, order.amount
    if order.kind == "top_up":
        postings: tuple[Posting, ...] = ((PROVIDER, mine, amount, CURRENCY),)
    else:
        assert order.other is not None
        to, fee = payee(order.other), amount * FEE_BPS // 10_000 if order.kind == "buy" else 0
        postings = ((mine, to, amount, CURRENCY), *([(to, "revenue:fees", fee, CURRENCY)] if fee else []))
    return [Trace(content["id"], "payment.capture", postings)]


def _of_refund(order: Order, content: dict[str, Any]) -> list[Trace]:
    if content["status"] != "succeeded":
        return []
    name, paid = content["id"], order.follows
    assert paid is not None
    if paid.kind != "top_up":
        assert paid.other is not None
        given = (payee(paid.other), paid.person.wallet, order.amount, CURRENCY)
        return [Trace(name, "refund.refund", (given,))]
    return [
        Trace(name, "refund.reserve", ((paid.person.wallet, "refunds_in_flight", order.amount, CURRENCY),)),
        Trace(name, "refund.settle", (("refunds_in_flight", PROVIDER, order.amount, CURRENCY),)),
    ]


def _of_payout(order: Order, content: dict[str, Any]) -> list[Trace]:
    if content["status"] != "paid":
        return []
    assert order.merchant is not None
    from_ = merchant_account(order.merchant)
    return [
        Trace(content["id"], "payout.reserve", ((from_, "payouts_in_transit", order.amount, CURRENCY),)),
        Trace(content["id"], "payout.paid", (("payouts_in_transit", "bank", order.amount, CURRENCY),)),
    ]


def _of_exchange(order: Order, content: dict[str, Any]) -> list[Trace]:
    assert order.follows is not None
    quote = order.follows.done
    assert quote is not None, "what was accepted was quoted"
    mine = order.person.wallet
    postings = (
        (mine, "fx:position", quote["sell_minor"], quote["sell_currency"]),
        ("fx:position", mine, quote["buy_minor"], quote["buy_currency"]),
    )
    return [Trace(content["id"], "wallet.exchange", postings)]


def id_of(content: dict[str, Any]) -> str:
    """Return the id of what an answer describes."""
    return str((content.get("transfer") or content)["id"])
