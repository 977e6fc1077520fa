"""Rows of the tables as the domain's dataclasses, and back."""

from typing import Any

from sqlalchemy import Row

from ledgerlink_contracts.ids import AttemptId, IntentId, MerchantId, PayoutId, RefundId
from ledgerlink_payments.domain.attempts import Attempt, Operation, Payout, Refund, Work
from ledgerlink_payments.domain.intents import CancellationReason, CaptureMethod, Intent
from ledgerlink_payments.domain.machines import AttemptState, IntentState, PayoutState, RefundState
from ledgerlink_payments.domain.merchants import Merchant
from ledgerlink_payments.domain.postings import Exchange

Values = dict[str, Any]


def merchant(row: Row[Any]) -> Merchant:
    """Read a merchant."""
    return Merchant(
        id=MerchantId(row.id),
        owner=row.owner,
        country=row.country,
        default_currency=row.default_currency,
        external_account=row.external_account,
        created_at=row.created_at,
        name=row.name,
        email=row.email,
        metadata=row.metadata,
    )


def of_merchant(merchant: Merchant) -> Values:
    """Write a merchant."""
    return {
        "id": merchant.id.uuid,
        "owner": merchant.owner,
        "name": merchant.name,
        "email": merchant.email,
        "country": merchant.country,
        "default_currency": merchant.default_currency,
        "external_account": merchant.external_account,
        "metadata": dict(merchant.metadata),
        "created_at": merchant.created_at,
    }


def _exchange(row: Row[Any]) -> Exchange | None:
    return None if row.exchange_currency is None else Exchange(row.exchange_currency, row.exchange_minor)


def _of_exchange(exchange: Exchange | None) -> Values:
    return {
        "exchange_currency": exchange.currency if exchange else None,
        "exchange_minor": exchange.amount_minor if exchange else None,
    }


def _work(row: Row[Any]) -> Work:
    return Work(row.next_action_at, row.lease_until, row.lease_token, row.tries)


def _of_work(work: Work) -> Values:
    return {
        "next_action_at": work.due_at,
        "lease_until": work.lease_until,
        "lease_token": work.lease_token,
        "tries": work.tries,
    }


def intent(row: Row[Any]) -> Intent:
    """Read an intent."""
    return Intent(
        id=IntentId(row.id),
        owner=row.owner,
        amount_minor=row.amount_minor,
        currency=row.currency,
        destination=row.destination,
        capture_method=CaptureMethod(row.capture_method),
        created_at=row.created_at,
        state=IntentState(row.state),
        payment_method=row.payment_method,
        exchange=_exchange(row),
        exchange_refunded_minor=row.exchange_refunded_minor,
        unlimited=row.unlimited,
        captured_minor=row.captured_minor,
        capturable_minor=row.capturable_minor,
        refunded_minor=row.refunded_minor,
        latest_attempt=AttemptId(row.latest_attempt) if row.latest_attempt else None,
        review_case=row.review_case,
        last_error=row.last_error,
        description=row.description,
        metadata=row.metadata,
        canceled_at=row.canceled_at,
        cancellation_reason=CancellationReason(row.cancellation_reason) if row.cancellation_reason else None,
    )


def changes_of_intent(intent: Intent) -> Values:
    """Write what can change of an intent."""
    return {
        "state": intent.state.value,
        "payment_method": intent.payment_method,
        "exchange_refunded_minor": intent.exchange_refunded_minor,
        "captured_minor": intent.captured_minor,
        "capturable_minor": intent.capturable_minor,
        "refunded_minor": intent.refunded_minor,
        "latest_attempt": intent.latest_attempt.uuid if intent.latest_attempt else None,
        "review_case": intent.review_case,
        "last_error": dict(intent.last_error) if intent.last_error else None,
        "canceled_at": intent.canceled_at,
        "cancellation_reason": intent.cancellation_reason.value if intent.cancellation_reason else None,
    }


def of_intent(intent: Intent) -> Values:
    """Write a new intent."""
    return {
        "id": intent.id.uuid,
        "owner": intent.owner,
        "amount_minor": intent.amount_minor,
        "currency": intent.currency,
        "destination": intent.destination,
        "merchant_id": MerchantId.parse(intent.destination).uuid if intent.to_merchant else None,
        "capture_method": intent.capture_method.value,
        "unlimited": intent.unlimited,
        "description": intent.description,
        "metadata": dict(intent.metadata),
        "created_at": intent.created_at,
        **_of_exchange(intent.exchange),
        **changes_of_intent(intent),
    }


def attempt(row: Row[Any]) -> Attempt:
    """Read an attempt."""
    return Attempt(
        id=AttemptId(row.id),
        intent=IntentId(row.intent_id),
        connector=row.connector,
        payment_method=row.payment_method,
        amount_minor=row.amount_minor,
        currency=row.currency,
        capture=row.capture,
        created_at=row.created_at,
        state=AttemptState(row.state),
        operation=Operation(row.operation),
        operations=row.operations,
        operation_minor=row.operation_minor,
        captured_minor=row.captured_minor,
        posted=row.posted,
        reference=row.reference,
        case=row.case_id,
        degraded=row.degraded,
        error=row.error,
        begun_by=row.begun_by,
        work=_work(row),
    )


def changes_of_attempt(attempt: Attempt) -> Values:
    """Write what can change of an attempt."""
    return {
        "state": attempt.state.value,
        "operation": attempt.operation.value,
        "operations": attempt.operations,
        "operation_minor": attempt.operation_minor,
        "captured_minor": attempt.captured_minor,
        "posted": attempt.posted,
        "reference": attempt.reference,
        "case_id": attempt.case,
        "degraded": attempt.degraded,
        "error": dict(attempt.error) if attempt.error else None,
        "begun_by": attempt.begun_by,
        **_of_work(attempt.work),
    }


def of_attempt(attempt: Attempt) -> Values:
    """Write a new attempt."""
    return {
        "id": attempt.id.uuid,
        "intent_id": attempt.intent.uuid,
        "connector": attempt.connector,
        "payment_method": attempt.payment_method,
        "amount_minor": attempt.amount_minor,
        "currency": attempt.currency,
        "capture": attempt.capture,
        "created_at": attempt.created_at,
        **changes_of_attempt(attempt),
    }


def refund(row: Row[Any]) -> Refund:
    """Read a refund."""
    return Refund(
        id=RefundId(row.id),
        intent=IntentId(row.intent_id),
        attempt=AttemptId(row.attempt_id),
        connector=row.connector,
        payment_method=row.payment_method,
        destination=row.destination,
        amount_minor=row.amount_minor,
        currency=row.currency,
        created_at=row.created_at,
        owner=row.owner,
        exchange=_exchange(row),
        state=RefundState(row.state),
        posted=row.posted,
        late=row.late,
        reference=row.reference,
        reason=row.reason,
        failure_reason=row.failure_reason,
        metadata=row.metadata,
        work=_work(row),
    )


def changes_of_refund(refund: Refund) -> Values:
    """Write what can change of a refund."""
    return {
        "state": refund.state.value,
        "posted": refund.posted,
        "late": refund.late,
        "reference": refund.reference,
        "failure_reason": refund.failure_reason,
        **_of_work(refund.work),
    }


def of_refund(refund: Refund) -> Values:
    """Write a new refund."""
    return {
        "id": refund.id.uuid,
        "intent_id": refund.intent.uuid,
        "attempt_id": refund.attempt.uuid,
        "owner": refund.owner,
        "connector": refund.connector,
        "payment_method": refund.payment_method,
        "destination": refund.destination,
        "amount_minor": refund.amount_minor,
        "currency": refund.currency,
        "reason": refund.reason,
        "metadata": dict(refund.metadata),
        "created_at": refund.created_at,
        **_of_exchange(refund.exchange),
        **changes_of_refund(refund),
    }


def payout(row: Row[Any]) -> Payout:
    """Read a payout."""
    return Payout(
        id=PayoutId(row.id),
        merchant=MerchantId(row.merchant_id),
        connector=row.connector,
        destination=row.destination,
        amount_minor=row.amount_minor,
        currency=row.currency,
        created_at=row.created_at,
        state=PayoutState(row.state),
        reserved=row.reserved,
        posted=row.posted,
        late=row.late,
        reference=row.reference,
        description=row.description,
        failure_code=row.failure_code,
        metadata=row.metadata,
        work=_work(row),
    )


def changes_of_payout(payout: Payout) -> Values:
    """Write what can change of a payout."""
    return {
        "state": payout.state.value,
        "reserved": payout.reserved,
        "posted": payout.posted,
        "late": payout.late,
        "reference": payout.reference,
        "failure_code": payout.failure_code,
        **_of_work(payout.work),
    }


def of_payout(payout: Payout) -> Values:
    """Write a new payout."""
    return {
        "id": payout.id.uuid,
        "merchant_id": payout.merchant.uuid,
        "connector": payout.connector,
        "destination": payout.destination,
        "amount_minor": payout.amount_minor,
        "currency": payout.currency,
        "description": payout.description,
        "metadata": dict(payout.metadata),
        "created_at": payout.created_at,
        **changes_of_payout(payout),
    }
