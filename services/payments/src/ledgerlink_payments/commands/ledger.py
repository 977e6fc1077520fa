"""Orders to the ledger. Every transfer and hold has an id that derives from what it is for: a repeat is a replay."""

from collections.abc import Sequence
from typing import Final

from ledgerlink_contracts.ids import HoldId, TransferId, UserId, WalletId
from ledgerlink_contracts.wallet.models import CaptureOrder, HoldOrder, HoldState, PostingOrder, TransferOrder
from ledgerlink_kit.errors import Refused, Unavailable
from ledgerlink_payments.domain import intents, postings
from ledgerlink_payments.domain.answers import AuthorizationAnswer, AuthorizationOutcome, Decline, DeclineKind
from ledgerlink_payments.domain.attempts import Attempt, Operation
from ledgerlink_payments.domain.intents import Intent
from ledgerlink_payments.domain.postings import Line
from ledgerlink_payments.runtime import Runtime

_O = AuthorizationOutcome
_LOST: Final = AuthorizationAnswer(_O.UNKNOWN)


def transfer_id(*parts: str) -> TransferId:
    """Give the id of the transfer that ``parts`` (a row's id or key, and the step) are booked by."""
    return TransferId.derive("payments", *parts)


def _orders(lines: Sequence[Line]) -> list[PostingOrder]:
    return [
        PostingOrder.model_construct(
            debit=line.debit, credit=line.credit, amount_minor=line.amount_minor, currency=line.currency
        )
        for line in lines
    ]


async def post(
    rt: Runtime,
    transfer: TransferId,
    kind: str,
    lines: Sequence[Line],
    *,
    reference: str,
    on_behalf_of: UserId | None = None,
) -> None:
    """Post ``lines`` under ``transfer``. Raises `Refused` and `Unavailable`."""
    order = TransferOrder(
        id=transfer, kind=kind, postings=_orders(lines), reference=reference, on_behalf_of=on_behalf_of
    )
    await rt.wallet.post_transfer(order)


def _payer(intent: Intent) -> UserId | None:
    """Give the user whose wallet must pay, or none when the intent's creator may use any wallet."""
    return None if intent.unlimited else UserId.parse(intent.owner)


def _fee(rt: Runtime, intent: Intent, amount_minor: int) -> int:
    return postings.fee(amount_minor, rt.fee_bps, intent.destination)


def capture_lines(rt: Runtime, intent: Intent, attempt: Attempt, amount_minor: int) -> tuple[Line, ...]:
    """Give the lines that book ``amount_minor`` as collected by this attempt."""
    payer = attempt.payment_method if attempt.by_wallet else postings.clearing(attempt.connector)
    exchange = intents.payer_side(intent, amount_minor)
    fee = _fee(rt, intent, amount_minor)
    return postings.captured(payer, intent.destination, amount_minor, intent.currency, fee, exchange)


async def post_capture(rt: Runtime, intent: Intent, attempt: Attempt) -> None:
    """Book what a provider has collected. Raises `Refused` and `Unavailable`."""
    lines = capture_lines(rt, intent, attempt, attempt.captured_minor)
    await post(rt, transfer_id(str(attempt.id), "capture"), "payment.capture", lines, reference=str(intent.id))


async def ask_wallet(rt: Runtime, intent: Intent, attempt: Attempt) -> AuthorizationAnswer:
    """Take the step last begun on a wallet that pays; the ledger's answer in a provider's terms.

    A lost answer is `UNKNOWN` and the same order is given again later: it is a replay if it had arrived.
    """
    try:
        if attempt.operation is Operation.VOID:
            return await _release(rt, attempt)
        if attempt.operation is Operation.CAPTURE:
            return await _capture(rt, intent, attempt)
        return await (_pay(rt, intent, attempt) if attempt.capture else _hold(rt, intent, attempt))
    except Unavailable:
        return _LOST


async def _pay(rt: Runtime, intent: Intent, attempt: Attempt) -> AuthorizationAnswer:
    lines = capture_lines(rt, intent, attempt, attempt.amount_minor)
    transfer = transfer_id(str(attempt.id), "capture")
    try:
        await post(rt, transfer, "payment.capture", lines, reference=str(intent.id), on_behalf_of=_payer(intent))
    except Refused as refusal:
        return AuthorizationAnswer(_O.DECLINED, decline=_decline(refusal, attempt))
    return AuthorizationAnswer(_O.CAPTURED, reference=str(transfer), captured_minor=attempt.amount_minor)


def _hold_id(attempt: Attempt) -> HoldId:
    return HoldId.derive("payments", str(attempt.id))


async def _hold(rt: Runtime, intent: Intent, attempt: Attempt) -> AuthorizationAnswer:
    taken = capture_lines(rt, intent, attempt, attempt.amount_minor)[0]
    hold = _hold_id(attempt)
    order = HoldOrder(
        id=hold,
        wallet=WalletId.parse(attempt.payment_method),
        amount_minor=taken.amount_minor,
        currency=taken.currency,
        on_behalf_of=_payer(intent),
        reference=str(intent.id),
    )
    try:
        await rt.wallet.place_hold(order)
    except Refused as refusal:
        return AuthorizationAnswer(_O.DECLINED, decline=_decline(refusal, attempt))
    return AuthorizationAnswer(_O.AUTHORIZED, reference=str(hold), authorized_minor=attempt.amount_minor)


async def _capture(rt: Runtime, intent: Intent, attempt: Attempt) -> AuthorizationAnswer:
    first, *rest = capture_lines(rt, intent, attempt, attempt.operation_minor)
    transfer = transfer_id(attempt.operation_key, "capture")
    order = CaptureOrder(
        id=transfer,
        kind="payment.capture",
        amount_minor=first.amount_minor,
        credit=first.credit,
        postings=_orders(rest),
        reference=str(intent.id),
    )
    try:
        await rt.wallet.capture_hold(_hold_id(attempt), order)
    except Refused as refusal:
        if refusal.members.get("state") in {HoldState.RELEASED, HoldState.EXPIRED}:
            return AuthorizationAnswer(_O.VOIDED)
        return AuthorizationAnswer(_O.AUTHORIZED, decline=_decline(refusal, attempt))
    return AuthorizationAnswer(_O.CAPTURED, reference=str(transfer), captured_minor=attempt.operation_minor)


async def _release(rt: Runtime, attempt: Attempt) -> AuthorizationAnswer:
    try:
        await rt.wallet.release_hold(_hold_id(attempt))
    except Refused as refusal:
        if refusal.members.get("state") != HoldState.EXPIRED:
            return AuthorizationAnswer(_O.AUTHORIZED, decline=_decline(refusal, attempt))
    return AuthorizationAnswer(_O.VOIDED)


def _decline(refusal: Refused, attempt: Attempt) -> Decline:
    """Say in Stripe's words why the ledger refused a payer."""
    if refusal.code == "insufficient-funds":
        message = "The wallet has insufficient funds to cover this payment."
        return Decline("insufficient_funds", message, DeclineKind.SOFT, "insufficient_funds")
    if refusal.code == "wallet-not-found":
        return Decline("resource_missing", f"No such payment_method: '{attempt.payment_method}'", DeclineKind.HARD)
    return Decline("payment_method_provider_decline", refusal.detail, DeclineKind.HARD, refusal.code.replace("-", "_"))
