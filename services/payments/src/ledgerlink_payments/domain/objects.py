"""Our things in Stripe's shapes: what the API answers and what events carry. Pure; amounts are minor units."""

from datetime import datetime
from typing import Any, Final

from ledgerlink_payments.domain.attempts import Payout, Refund, is_wallet
from ledgerlink_payments.domain.intents import Intent
from ledgerlink_payments.domain.machines import IntentState, PayoutState, RefundState
from ledgerlink_payments.domain.merchants import Merchant

API_VERSION: Final = "2025-09-30.clover"
"""The dated version of Stripe's API whose shapes these are."""

Thing = dict[str, Any]

_REFUND_STATUS: Final = {
    RefundState.CREATED: "pending",
    RefundState.PENDING: "pending",
    RefundState.UNKNOWN: "pending",
    RefundState.SUCCEEDED: "succeeded",
    RefundState.FAILED: "failed",
}
_PAYOUT_STATUS: Final = {
    PayoutState.CREATED: "pending",
    PayoutState.UNKNOWN: "pending",
    PayoutState.IN_TRANSIT: "in_transit",
    PayoutState.PAID: "paid",
    PayoutState.FAILED: "failed",
}


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _exchange(currency: str, amount_minor: int) -> Thing:
    return {"currency": currency.lower(), "amount": amount_minor}


def payment_intent(intent: Intent) -> Thing:
    """Write an intent as Stripe's `payment_intent`.

    Beside Stripe's members: ``review`` (risk's case while a person looks), ``exchange`` (the payer's side in another
    currency), ``amount_refunded`` and ``latest_attempt``.
    """
    error = intent.last_error
    return {
        "id": str(intent.id),
        "object": "payment_intent",
        "amount": intent.amount_minor,
        "amount_capturable": intent.capturable_minor if intent.state is IntentState.REQUIRES_CAPTURE else 0,
        "amount_received": intent.captured_minor,
        "amount_refunded": intent.refunded_minor,
        "application_fee_amount": None,
        "canceled_at": _seconds(intent.canceled_at),
        "cancellation_reason": intent.cancellation_reason.value if intent.cancellation_reason else None,
        "capture_method": intent.capture_method.value,
        "client_secret": None,
        "confirmation_method": "automatic",
        "created": _seconds(intent.created_at),
        "currency": intent.currency.lower(),
        "customer": intent.owner,
        "description": intent.description,
        "exchange": _exchange(intent.exchange.currency, intent.exchange.amount_minor) if intent.exchange else None,
        "last_payment_error": dict(error) if error else None,
        "latest_attempt": str(intent.latest_attempt) if intent.latest_attempt else None,
        "latest_charge": None,
        "livemode": False,
        "metadata": dict(intent.metadata),
        "next_action": None,
        "payment_method": intent.payment_method,
        "payment_method_types": ["wallet" if is_wallet(intent.payment_method or "") else "card"],
        "review": intent.review_case,
        "status": intent.state.value,
        "transfer_data": {"destination": intent.destination},
    }


def refund(refund: Refund) -> Thing:
    """Write a refund as Stripe's `refund`; ``exchange`` is what a payer in another currency gets."""
    status = _REFUND_STATUS[refund.state]
    return {
        "id": str(refund.id),
        "object": "refund",
        "amount": refund.amount_minor,
        "charge": None,
        "created": _seconds(refund.created_at),
        "currency": refund.currency.lower(),
        "exchange": _exchange(refund.exchange.currency, refund.exchange.amount_minor) if refund.exchange else None,
        "failure_reason": refund.failure_reason,
        "metadata": dict(refund.metadata),
        "payment_intent": str(refund.intent),
        "reason": refund.reason,
        # What the provider has done and the books do not tell yet is not done.
        "status": "pending" if status == "succeeded" and not refund.posted else status,
    }


def payout(payout: Payout) -> Thing:
    """Write a payout as Stripe's `payout`; ``account`` is the merchant."""
    status = _PAYOUT_STATUS[payout.state]
    return {
        "id": str(payout.id),
        "object": "payout",
        "account": str(payout.merchant),
        "amount": payout.amount_minor,
        "automatic": False,
        "created": _seconds(payout.created_at),
        "currency": payout.currency.lower(),
        "description": payout.description,
        "destination": payout.destination,
        "failure_code": payout.failure_code,
        "livemode": False,
        "metadata": dict(payout.metadata),
        "method": "standard",
        "status": "in_transit" if status == "paid" and not payout.posted else status,
        "type": "bank_account",
    }


def account(merchant: Merchant) -> Thing:
    """Write a merchant as Stripe's `account`."""
    return {
        "id": str(merchant.id),
        "object": "account",
        "business_profile": {"name": merchant.name},
        "charges_enabled": True,
        "country": merchant.country,
        "created": _seconds(merchant.created_at),
        "default_currency": merchant.default_currency.lower(),
        "details_submitted": True,
        "email": merchant.email,
        "external_account": merchant.external_account,
        "metadata": dict(merchant.metadata),
        "payouts_enabled": True,
        "type": "custom",
    }


def event(identifier: str, kind: str, thing: Thing, created_at: datetime) -> Thing:
    """Write an event as Stripe's `event`: ``thing`` as it was when it happened."""
    return {
        "id": identifier,
        "object": "event",
        "api_version": API_VERSION,
        "created": _seconds(created_at),
        "data": {"object": thing},
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }


def listing(url: str, things: list[Thing], *, has_more: bool) -> Thing:
    """Write a page as Stripe's list envelope."""
    return {"object": "list", "data": things, "has_more": has_more, "url": url}


def decline_error(code: str, message: str, *, decline_code: str | None = None, hard: bool = True) -> Thing:
    """Write why an attempt came to nothing as Stripe's error object."""
    return {
        "type": "card_error",
        "code": code,
        "decline_code": decline_code,
        "message": message,
        "advice_code": "do_not_try_again" if hard else "try_again_later",
    }
