"""What the provider says about its things: the same snapshot in answers, lookups and events.

A snapshot carries ``version``, which grows with each change of the thing, so that a listener whom events reach out of
order can tell the newer from the older.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from ledgerlink_sandbox.domain.authorizations import Authorization
from ledgerlink_sandbox.domain.movements import Capture, Payout, Refund

Snapshot = dict[str, Any]
"""A thing in JSON terms: amounts in minor units, currencies upper case, moments in RFC 3339."""


class NoticeType(Enum):
    """Every event that the provider sends."""

    AUTHORIZATION_SUCCEEDED = "authorization.succeeded"
    AUTHORIZATION_DECLINED = "authorization.declined"
    AUTHORIZATION_VOIDED = "authorization.voided"
    CAPTURE_SUCCEEDED = "capture.succeeded"
    REFUND_PENDING = "refund.pending"
    REFUND_SUCCEEDED = "refund.succeeded"
    REFUND_FAILED = "refund.failed"
    PAYOUT_PENDING = "payout.pending"
    PAYOUT_PAID = "payout.paid"
    PAYOUT_FAILED = "payout.failed"


@dataclass(frozen=True, slots=True)
class Notice:
    """One event to send: what happened, and the thing as it stands after it."""

    type: NoticeType
    data: Snapshot
    occurred_at: datetime

    def envelope(self, message_id: str) -> dict[str, Any]:
        """Give the body in the form that Standard Webhooks recommends (type, timestamp, data), with the event's id."""
        return {"id": message_id, "type": self.type.value, "timestamp": moment(self.occurred_at), "data": self.data}


def moment(at: datetime) -> str:
    """Write a moment in RFC 3339, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def describe_authorization(authorization: Authorization) -> Snapshot:
    """Say how an authorization stands."""
    request, decline = authorization.request, authorization.decline
    return {
        "object": "authorization",
        "key": request.key,
        "status": authorization.status.value,
        "amount": request.amount_minor,
        "currency": request.currency,
        "payment_method": request.payment_method,
        "capture": request.capture,
        "amount_captured": authorization.captured_minor,
        "amount_released": authorization.released_minor,
        "amount_refunded": authorization.refunded_minor,
        "decline": None if decline is None else {"code": decline.value, "soft": decline.soft},
        "metadata": request.metadata,
        "version": authorization.version,
        "created_at": moment(authorization.created_at),
        "expires_at": moment(authorization.expires_at),
    }


def describe_capture(capture: Capture) -> Snapshot:
    """Say what was collected."""
    return {
        "object": "capture",
        "key": capture.request.key,
        "authorization": capture.request.authorization,
        "amount": capture.request.amount_minor,
        "currency": capture.currency,
        "final": capture.request.final,
        "status": "succeeded",
        "version": 1,
        "created_at": moment(capture.created_at),
    }


def describe_refund(refund: Refund) -> Snapshot:
    """Say how a refund stands."""
    return {
        "object": "refund",
        "key": refund.request.key,
        "authorization": refund.request.authorization,
        "amount": refund.request.amount_minor,
        "currency": refund.currency,
        "status": refund.status.value,
        "failure": None if refund.failure is None else refund.failure.value,
        "metadata": refund.request.metadata,
        "version": refund.version,
        "created_at": moment(refund.created_at),
    }


def describe_payout(payout: Payout) -> Snapshot:
    """Say how a payout stands."""
    return {
        "object": "payout",
        "key": payout.request.key,
        "amount": payout.request.amount_minor,
        "currency": payout.request.currency,
        "destination": payout.request.destination,
        "status": payout.status.value,
        "failure": None if payout.failure is None else payout.failure.value,
        "metadata": payout.request.metadata,
        "version": payout.version,
        "created_at": moment(payout.created_at),
    }


def authorization_notice(authorization: Authorization, now: datetime) -> Notice:
    """Tell of a decided authorization; one captured at once tells both in this one event."""
    declined = authorization.decline is not None
    kind = NoticeType.AUTHORIZATION_DECLINED if declined else NoticeType.AUTHORIZATION_SUCCEEDED
    return Notice(kind, describe_authorization(authorization), now)


def void_notice(authorization: Authorization, now: datetime) -> Notice:
    """Tell of an authorization whose rest was released."""
    return Notice(NoticeType.AUTHORIZATION_VOIDED, describe_authorization(authorization), now)


def capture_notice(capture: Capture, now: datetime) -> Notice:
    """Tell of money collected."""
    return Notice(NoticeType.CAPTURE_SUCCEEDED, describe_capture(capture), now)


def refund_notice(refund: Refund, now: datetime) -> Notice:
    """Tell how a refund stands."""
    return Notice(NoticeType(f"refund.{refund.status.value}"), describe_refund(refund), now)


def payout_notice(payout: Payout, now: datetime) -> Notice:
    """Tell how a payout stands."""
    return Notice(NoticeType(f"payout.{payout.status.value}"), describe_payout(payout), now)
