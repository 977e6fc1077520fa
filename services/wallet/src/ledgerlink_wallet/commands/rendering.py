"""Answers as bytes: made once when a command is decided, stored under its id, and sent again whenever it is repeated.

Plain dictionaries and one call of the serializer: at a thousand answers a batch, models would cost more than the
ledger. The tests hold every answer against the models of `ledgerlink_contracts.wallet.models`.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from ledgerlink_contracts.ids import HoldId, TransferId, WalletId
from ledgerlink_contracts.wallet.refusals import KINDS, RefusalCode
from ledgerlink_kit.errors import Refused
from ledgerlink_kit.problem import problem_body, status_of
from ledgerlink_wallet.domain.books import Account, Entry, Hold, Transfer, TransferKey
from ledgerlink_wallet.domain.orders import (
    AccountOpened,
    Captured,
    HoldChanged,
    Posted,
    Refusal,
    Result,
    StandingChanged,
    WalletStandingChanged,
)
from ledgerlink_wallet.domain.parties import account_wire

CREATED: Final = 201
OK: Final = 200
_FIRST_ERROR: Final = 400
_OPTIONS: Final = orjson.OPT_UTC_Z


class Rendered(NamedTuple):
    """An answer before it is known whether it will be repeated."""

    status: int
    body: bytes


def render(result: Result, request_id: str) -> Rendered:
    """Write ``result`` as the answer to its command; a refusal carries the id of the request that met it."""
    if isinstance(result, Posted):
        return Rendered(CREATED, posted_json(result))
    if isinstance(result, HoldChanged):
        placed = bool(result.entries) and result.hold.remaining_minor > 0
        return Rendered(CREATED if placed else OK, dumps(hold_body(result.hold, result.account)))
    if isinstance(result, Captured):
        body = {
            "hold": hold_body(result.hold, result.account),
            "transfer": transfer_body(result.transfer, result.entries),
        }
        return Rendered(CREATED, dumps(body))
    if isinstance(result, StandingChanged):
        return Rendered(OK, dumps({"id": account_wire(result.account.facts.id), "state": result.account.standing}))
    if isinstance(result, WalletStandingChanged):
        return Rendered(OK, dumps({"id": str(WalletId(result.wallet)), "state": result.standing}))
    if isinstance(result, AccountOpened):
        return Rendered(CREATED if result.fresh else OK, dumps({"id": account_wire(result.account.facts.id)}))
    refused = refused_from(result)
    return Rendered(status_of(refused), orjson.dumps({**problem_body(refused), "request_id": request_id}))


def render_group(nouns: Sequence[str], parts: Sequence[Rendered]) -> tuple[Rendered, int | None]:
    """Write a group's answer from its items' answers, and say which was refused first.

    Carried out: each item's answer under its noun. Refused: the first refusal's problem, with all items' in ``items``.
    """
    if all(part.status < _FIRST_ERROR for part in parts):
        items = b",".join(b'{"%b":%b}' % (noun.encode(), part.body) for noun, part in zip(nouns, parts, strict=True))
        return Rendered(CREATED, b'{"items":[' + items + b"]}"), None
    bodies = [orjson.loads(part.body) for part in parts]
    linked = RefusalCode.LINKED_REFUSED.value
    refused = [number for number, part in enumerate(parts) if part.status >= _FIRST_ERROR]
    first = next((number for number in refused if bodies[number]["code"] != linked), refused[0])
    problem = {**bodies[first], "item": first, "items": bodies}
    return Rendered(parts[first].status, orjson.dumps(problem)), first


def mark_dry_run(rendered: Rendered) -> Rendered:
    """Mark what would have been answered; what would be 201 is 200, since nothing was made."""
    status = rendered.status if rendered.status >= _FIRST_ERROR else OK
    return Rendered(status, orjson.dumps({**orjson.loads(rendered.body), "dry_run": True}))


@lru_cache(4_096)
def transfer_wire(transfer: TransferKey) -> str:
    """Write a transfer's id for the wire; remembered, because answer and event both carry it."""
    return str(TransferId(transfer))


def dumps(body: dict[str, Any]) -> bytes:
    """Write ``body`` as JSON, moments in UTC."""
    return orjson.dumps(body, option=_OPTIONS)


def refused_from(refusal: Refusal) -> Refused:
    """Give the domain's refusal its kind."""
    return Refused(KINDS[refusal.code], refusal.code.value, refusal.detail, **refusal.members)


def balance_body(account: Account) -> dict[str, Any]:
    """Give an account's balances as `BalanceView` has them."""
    posted, pending = account.posted_minor, account.pending_minor
    return {
        "currency": account.facts.currency,
        "posted_minor": posted,
        "pending_minor": pending,
        "available_minor": posted - pending,
    }


def _entry_body(entry: Entry) -> dict[str, Any]:
    side, layer, amount, after = entry
    facts = after.facts
    posted, pending = after.posted_minor, after.pending_minor
    return {
        "account": account_wire(facts.id),
        "party": facts.party,
        "side": side,
        "layer": layer,
        "amount_minor": amount,
        "currency": facts.currency,
        "posted_minor": posted,
        "pending_minor": pending,
        "available_minor": posted - pending,
        "version": after.version,
    }


def posted_json(posted: Posted) -> bytes:
    """Write the answer to a transfer that was posted, as `TransferView` has it."""
    return dumps(transfer_body(posted.transfer, posted.entries))


def transfer_body(transfer: Transfer, entries: tuple[Entry, ...]) -> dict[str, Any]:
    """Give a transfer as `TransferView` has it."""
    return {
        "id": transfer_wire(transfer.id),
        "kind": transfer.kind,
        "state": "posted",
        "postings": [
            {"debit": m.debit.party, "credit": m.credit.party, "amount_minor": m.amount_minor, "currency": m.currency}
            for m in transfer.movements
        ],
        "on_behalf_of": transfer.on_behalf_of,
        "reference": transfer.reference,
        "metadata": transfer.metadata,
        "reverses": None if transfer.reverses is None else str(TransferId(transfer.reverses)),
        "hold": None if transfer.hold is None else str(HoldId(transfer.hold)),
        "effective_at": transfer.effective_at,
        "recorded_at": transfer.recorded_at,
        "entries": [_entry_body(entry) for entry in entries],
    }


def hold_body(hold: Hold, account: Account) -> dict[str, Any]:
    """Give a hold as `HoldView` has it; ``account`` is the wallet's account after the step."""
    facts = hold.account
    assert facts.wallet is not None
    return {
        "id": str(HoldId(hold.id)),
        "wallet": str(WalletId(facts.wallet)),
        "account": account_wire(facts.id),
        "state": hold.state,
        "amount_minor": hold.amount_minor,
        "captured_minor": hold.captured_minor,
        "remaining_minor": hold.remaining_minor,
        "currency": facts.currency,
        "expires_at": hold.expires_at,
        "on_behalf_of": hold.on_behalf_of,
        "reference": hold.reference,
        "recorded_at": hold.recorded_at,
        "balance": balance_body(account),
    }
