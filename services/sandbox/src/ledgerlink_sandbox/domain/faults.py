"""Faults on demand: the ways in which a provider fails its callers, by name."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

from ledgerlink_kit.errors import Kind, Refused

SLOW_S: Final = 2.0
"""How long a slow answer takes, in seconds, unless the fault says otherwise."""
HANG_S: Final = 30.0
"""How long a hanging connection stays open before it is answered 504, in seconds; callers give up sooner."""
DELAY_S_MAX: Final = 60.0
FAULTS_PLANNED_MAX: Final = 1000

FAULT_METADATA: Final = "sandbox_fault"
"""Metadata name under which one request asks for a `FaultKind` of its own."""
DELIVERY_METADATA: Final = "sandbox_webhook"
"""Metadata name under which one request asks for a `Delivery` of its events."""


class Operation(Enum):
    """What the provider can be asked to do."""

    AUTHORIZATION = "authorization"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    PAYOUT = "payout"


class FaultKind(Enum):
    """How one request goes wrong. Each happens once per key: a repeat of the request is answered well."""

    TIMEOUT_AFTER_COMMIT = "timeout_after_commit"
    """The work is done, the answer is 504: the caller cannot know."""
    TIMEOUT_BEFORE_COMMIT = "timeout_before_commit"
    """Nothing is done, the answer is 504: the caller cannot know either."""
    HANG_AFTER_COMMIT = "hang_after_commit"
    """The work is done, the connection stays silent for `HANG_S`."""
    ERROR = "error"
    """Nothing is done, the answer is 503."""
    SLOW = "slow"
    """The answer is right, and late."""


class Delivery(Enum):
    """How the events of one request reach the caller."""

    ONCE = "once"
    DUPLICATE = "duplicate"
    """Each event is sent twice, with the same id."""
    LATE = "late"
    """Events are held back, so that those of later requests overtake them."""
    NEVER = "never"
    """No event is sent: only asking tells."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure to perform: its kind, and its delay in seconds where the kind has one."""

    kind: FaultKind
    delay_s: float | None = None

    @property
    def before_s(self) -> float:
        """Give the seconds to wait before the work."""
        return (SLOW_S if self.delay_s is None else self.delay_s) if self.kind is FaultKind.SLOW else 0.0

    @property
    def after_s(self) -> float:
        """Give the seconds of silence after the work."""
        hangs = self.kind is FaultKind.HANG_AFTER_COMMIT
        return (HANG_S if self.delay_s is None else self.delay_s) if hangs else 0.0

    @property
    def loses_request(self) -> bool:
        """Say whether the work is never begun."""
        return self.kind in {FaultKind.TIMEOUT_BEFORE_COMMIT, FaultKind.ERROR}

    @property
    def loses_answer(self) -> bool:
        """Say whether the work is done and the answer lost."""
        return self.kind in {FaultKind.TIMEOUT_AFTER_COMMIT, FaultKind.HANG_AFTER_COMMIT}


def fault_from_metadata(metadata: dict[str, str]) -> FaultKind | None:
    """Read the fault that a request asks for itself. Raises `Refused` (``fault-unknown``) on a name not published."""
    asked = metadata.get(FAULT_METADATA)
    if asked is None:
        return None
    try:
        return FaultKind(asked)
    except ValueError:
        raise _unknown(FAULT_METADATA, asked, [kind.value for kind in FaultKind]) from None


def delivery_from_metadata(metadata: dict[str, str]) -> Delivery:
    """Read how a request wants its events sent. Raises `Refused` (``fault-unknown``) on a name not published."""
    asked = metadata.get(DELIVERY_METADATA, Delivery.ONCE.value)
    try:
        return Delivery(asked)
    except ValueError:
        raise _unknown(DELIVERY_METADATA, asked, [kind.value for kind in Delivery]) from None


def _unknown(name: str, asked: str, published: list[str]) -> Refused:
    return Refused(
        Kind.UNPROCESSABLE, "fault-unknown", f"{name} {asked[:64]!r} is none of {', '.join(published)}.", name=name
    )
