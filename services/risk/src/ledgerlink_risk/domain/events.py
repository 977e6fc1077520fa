"""The event as rules see it: which facts there are, and how they come out of what a service sent."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ledgerlink_contracts.risk.models import EventFacts
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.limits import METADATA_KEYS_MAX
from ledgerlink_risk.domain.language import FactDeclaration
from ledgerlink_risk.domain.language.ir import NewPayee
from ledgerlink_risk.domain.language.types import BOOL, MONEY, STRING, TIMESTAMP, map_of
from ledgerlink_risk.domain.language.values import Money

FACTS: Final[Mapping[str, FactDeclaration]] = {
    "kind": FactDeclaration(STRING),
    "amount": FactDeclaration(MONEY),
    "currency": FactDeclaration(STRING),
    "customer": FactDeclaration(STRING, listable=True),
    "destination": FactDeclaration(STRING, listable=True),
    "source_kind": FactDeclaration(STRING),
    "payment_method": FactDeclaration(STRING, listable=True),
    "subject": FactDeclaration(STRING),
    "metadata": FactDeclaration(map_of(STRING), items_max=METADATA_KEYS_MAX),
    "occurred_at": FactDeclaration(TIMESTAMP),
    "new_payee": FactDeclaration(BOOL, signal=NewPayee()),
}
"""The vocabulary of the rules. `destination` and `payment_method` may be missing, the others never are."""

CLOCK_SKEW_MAX: Final = timedelta(minutes=5)
"""How far ahead of our clock a service's may be."""

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


class OccurredOutOfRange(Refused):
    """The event is dated in the future, or before 1970."""

    def __init__(self) -> None:
        super().__init__(
            Kind.UNPROCESSABLE,
            "occurred-at-out-of-range",
            "An event occurs between 1970 and at most five minutes from now.",
        )


def occurred_at(event: EventFacts, now: datetime) -> datetime:
    """Give when the event happens in the world, in UTC; `now` when it does not say. Raises `OccurredOutOfRange`."""
    if event.occurred_at is None:
        return now
    moment = event.occurred_at
    if not EARLIEST <= moment <= now + CLOCK_SKEW_MAX:
        raise OccurredOutOfRange
    return moment.astimezone(UTC)


def facts_of(event: EventFacts, moment: datetime) -> dict[str, Any]:
    """Give the facts by name; what the event does not have is left out."""
    facts: dict[str, Any] = {
        "kind": event.kind.value,
        "amount": Money(event.amount_minor, event.currency),
        "currency": event.currency,
        "customer": event.customer,
        "source_kind": event.source_kind.value,
        "subject": event.subject,
        "metadata": event.metadata,
        "occurred_at": moment,
    }
    if event.destination is not None:
        facts["destination"] = event.destination
    if event.payment_method is not None:
        facts["payment_method"] = event.payment_method
    return facts


def differences(stored: EventFacts, given: EventFacts) -> list[str]:
    """Name the fields in which two events differ, as paths of the request body, in their documented order."""
    return [f"event.{name}" for name in EventFacts.model_fields if getattr(stored, name) != getattr(given, name)]
