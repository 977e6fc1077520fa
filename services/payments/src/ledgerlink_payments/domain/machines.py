"""Every state machine of payments, each as one table of data.

A table says which verb may be applied in which state, and what state follows. The same table serves the code
(`move`), the CHECK constraint of the column (`check_sql`), the diagram in the documentation (`mermaid`) and the
Hypothesis test that walks it. What is not in the table is refused.

The intent's states are Stripe's seven names. All nuance lives in the attempt, where `unknown` is a state like any
other: a call whose answer never came. It is left only by asking the provider.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Generic, TypeVar

State = TypeVar("State", bound=StrEnum)
Verb = TypeVar("Verb", bound=StrEnum)


class IllegalMove(Exception):
    """The table has no row for this verb in this state; the command turns it into the refusal the caller sees."""

    def __init__(self, machine: str, state: StrEnum, verb: StrEnum) -> None:
        super().__init__(f"{machine}: {verb.value} does not follow from {state.value}")
        self.machine = machine
        self.state = state
        self.verb = verb


@dataclass(frozen=True, slots=True)
class Machine(Generic[State, Verb]):
    """A state machine: where a thing starts and which moves it may make."""

    name: str
    states: type[State]
    initial: State
    moves: Mapping[tuple[State, Verb], State]

    def move(self, state: State, verb: Verb) -> State:
        """Give the state that follows when ``verb`` happens in ``state``. Raises `IllegalMove`."""
        following = self.moves.get((state, verb))
        if following is None:
            raise IllegalMove(self.name, state, verb)
        return following

    def may(self, state: State, verb: Verb) -> bool:
        """Tell whether ``verb`` has a row in ``state``."""
        return (state, verb) in self.moves

    def final(self) -> frozenset[State]:
        """Give the states that nothing leaves."""
        return frozenset(self.states) - {state for state, _ in self.moves}

    def check_sql(self, column: str) -> str:
        """Give the CHECK expression that keeps ``column`` to the states of this machine."""
        names = ", ".join(f"'{state.value}'" for state in self.states)
        return f"{column} IN ({names})"

    def mermaid(self) -> str:
        """Draw the table as a Mermaid state diagram, for the documentation."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial.value}"]
        lines += [f"    {state.value} --> {to.value}: {verb.value}" for (state, verb), to in self.moves.items()]
        lines += [f"    {state.value} --> [*]" for state in self.states if state in self.final()]
        return "\n".join(lines)


class IntentState(StrEnum):
    """Stripe's seven names, as they stand on the wire."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


class IntentVerb(StrEnum):
    """What happens to an intent."""

    ATTACH = "attach"
    CONFIRM = "confirm"
    REQUIRE_ACTION = "require_action"
    RESUME = "resume"
    AUTHORIZE = "authorize"
    BEGIN_CAPTURE = "begin_capture"
    BEGIN_VOID = "begin_void"
    SUCCEED = "succeed"
    DECLINE = "decline"
    CANCEL = "cancel"
    FINISH_VOID = "finish_void"


_I, _IV = IntentState, IntentVerb
INTENT: Final = Machine(
    name="intent",
    states=IntentState,
    initial=_I.REQUIRES_PAYMENT_METHOD,
    moves=MappingProxyType(
        {
            (_I.REQUIRES_PAYMENT_METHOD, _IV.ATTACH): _I.REQUIRES_CONFIRMATION,
            (_I.REQUIRES_PAYMENT_METHOD, _IV.CANCEL): _I.CANCELED,
            (_I.REQUIRES_CONFIRMATION, _IV.ATTACH): _I.REQUIRES_CONFIRMATION,
            (_I.REQUIRES_CONFIRMATION, _IV.CONFIRM): _I.PROCESSING,
            (_I.REQUIRES_CONFIRMATION, _IV.CANCEL): _I.CANCELED,
            (_I.PROCESSING, _IV.REQUIRE_ACTION): _I.REQUIRES_ACTION,
            (_I.PROCESSING, _IV.AUTHORIZE): _I.REQUIRES_CAPTURE,
            (_I.PROCESSING, _IV.SUCCEED): _I.SUCCEEDED,
            (_I.PROCESSING, _IV.DECLINE): _I.REQUIRES_PAYMENT_METHOD,
            (_I.PROCESSING, _IV.FINISH_VOID): _I.CANCELED,
            (_I.REQUIRES_ACTION, _IV.RESUME): _I.PROCESSING,
            (_I.REQUIRES_ACTION, _IV.DECLINE): _I.REQUIRES_PAYMENT_METHOD,
            (_I.REQUIRES_ACTION, _IV.CANCEL): _I.CANCELED,
            # While a capture or a void is on its way nothing else may start, hence back through processing.
            (_I.REQUIRES_CAPTURE, _IV.BEGIN_CAPTURE): _I.PROCESSING,
            (_I.REQUIRES_CAPTURE, _IV.BEGIN_VOID): _I.PROCESSING,
            # The provider may end its promise, or collect, without being asked by us.
            (_I.REQUIRES_CAPTURE, _IV.FINISH_VOID): _I.CANCELED,
            (_I.REQUIRES_CAPTURE, _IV.SUCCEED): _I.SUCCEEDED,
        }
    ),
)


class AttemptState(StrEnum):
    """Where one try of an intent stands."""

    CREATED = "created"
    IN_REVIEW = "in_review"
    CHECKED = "checked"
    SENT = "sent"
    AUTHORIZED = "authorized"
    CAPTURING = "capturing"
    VOIDING = "voiding"
    CAPTURED = "captured"
    VOIDED = "voided"
    DECLINED = "declined"
    FAILED = "failed"
    UNKNOWN = "unknown"


class AttemptVerb(StrEnum):
    """What happens to an attempt: risk's verdicts, our calls, and the provider's answers."""

    HOLD = "hold"
    APPROVE = "approve"
    REFUSE = "refuse"
    SEND = "send"
    BEGIN_CAPTURE = "begin_capture"
    BEGIN_VOID = "begin_void"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    VOIDED = "voided"
    DECLINED = "declined"
    FAILED = "failed"
    LOSE = "lose"


_A, _AV = AttemptState, AttemptVerb
ATTEMPT: Final = Machine(
    name="attempt",
    states=AttemptState,
    initial=_A.CREATED,
    moves=MappingProxyType(
        {
            # Risk decides before anything leaves the house.
            (_A.CREATED, _AV.HOLD): _A.IN_REVIEW,
            (_A.CREATED, _AV.APPROVE): _A.CHECKED,
            (_A.CREATED, _AV.REFUSE): _A.DECLINED,
            (_A.IN_REVIEW, _AV.APPROVE): _A.CHECKED,
            (_A.IN_REVIEW, _AV.REFUSE): _A.DECLINED,
            # The authorization (or the authorization with its capture in one).
            (_A.CHECKED, _AV.SEND): _A.SENT,
            (_A.SENT, _AV.AUTHORIZED): _A.AUTHORIZED,
            (_A.SENT, _AV.CAPTURED): _A.CAPTURED,
            (_A.SENT, _AV.DECLINED): _A.DECLINED,
            (_A.SENT, _AV.FAILED): _A.FAILED,
            (_A.SENT, _AV.LOSE): _A.UNKNOWN,
            # Later steps on what was authorized.
            (_A.AUTHORIZED, _AV.BEGIN_CAPTURE): _A.CAPTURING,
            (_A.AUTHORIZED, _AV.BEGIN_VOID): _A.VOIDING,
            (_A.AUTHORIZED, _AV.VOIDED): _A.VOIDED,
            (_A.AUTHORIZED, _AV.CAPTURED): _A.CAPTURED,
            (_A.CAPTURING, _AV.CAPTURED): _A.CAPTURED,
            (_A.CAPTURING, _AV.AUTHORIZED): _A.AUTHORIZED,
            (_A.CAPTURING, _AV.VOIDED): _A.VOIDED,
            (_A.CAPTURING, _AV.LOSE): _A.UNKNOWN,
            (_A.VOIDING, _AV.VOIDED): _A.VOIDED,
            (_A.VOIDING, _AV.AUTHORIZED): _A.AUTHORIZED,
            (_A.VOIDING, _AV.CAPTURED): _A.CAPTURED,
            (_A.VOIDING, _AV.LOSE): _A.UNKNOWN,
            # What the provider says when asked again.
            (_A.UNKNOWN, _AV.AUTHORIZED): _A.AUTHORIZED,
            (_A.UNKNOWN, _AV.CAPTURED): _A.CAPTURED,
            (_A.UNKNOWN, _AV.VOIDED): _A.VOIDED,
            (_A.UNKNOWN, _AV.DECLINED): _A.DECLINED,
            (_A.UNKNOWN, _AV.FAILED): _A.FAILED,
        }
    ),
)


class RefundState(StrEnum):
    """Where one refund stands."""

    CREATED = "created"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


class RefundVerb(StrEnum):
    """What happens to a refund."""

    ACCEPTED = "accepted"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    LOSE = "lose"


_R, _RV = RefundState, RefundVerb
REFUND: Final = Machine(
    name="refund",
    states=RefundState,
    initial=_R.CREATED,
    moves=MappingProxyType(
        {
            (_R.CREATED, _RV.ACCEPTED): _R.PENDING,
            (_R.CREATED, _RV.SUCCEEDED): _R.SUCCEEDED,
            (_R.CREATED, _RV.FAILED): _R.FAILED,
            (_R.CREATED, _RV.LOSE): _R.UNKNOWN,
            (_R.PENDING, _RV.SUCCEEDED): _R.SUCCEEDED,
            (_R.PENDING, _RV.FAILED): _R.FAILED,
            (_R.UNKNOWN, _RV.ACCEPTED): _R.PENDING,
            (_R.UNKNOWN, _RV.SUCCEEDED): _R.SUCCEEDED,
            (_R.UNKNOWN, _RV.FAILED): _R.FAILED,
            # A card's bank may send a refund back days later.
            (_R.SUCCEEDED, _RV.FAILED): _R.FAILED,
        }
    ),
)


class PayoutState(StrEnum):
    """Where one payout stands."""

    CREATED = "created"
    IN_TRANSIT = "in_transit"
    PAID = "paid"
    FAILED = "failed"
    UNKNOWN = "unknown"


class PayoutVerb(StrEnum):
    """What happens to a payout."""

    ACCEPTED = "accepted"
    PAID = "paid"
    FAILED = "failed"
    LOSE = "lose"


_P, _PV = PayoutState, PayoutVerb
PAYOUT: Final = Machine(
    name="payout",
    states=PayoutState,
    initial=_P.CREATED,
    moves=MappingProxyType(
        {
            (_P.CREATED, _PV.ACCEPTED): _P.IN_TRANSIT,
            (_P.CREATED, _PV.PAID): _P.PAID,
            (_P.CREATED, _PV.FAILED): _P.FAILED,
            (_P.CREATED, _PV.LOSE): _P.UNKNOWN,
            (_P.IN_TRANSIT, _PV.PAID): _P.PAID,
            (_P.IN_TRANSIT, _PV.FAILED): _P.FAILED,
            (_P.UNKNOWN, _PV.ACCEPTED): _P.IN_TRANSIT,
            (_P.UNKNOWN, _PV.PAID): _P.PAID,
            (_P.UNKNOWN, _PV.FAILED): _P.FAILED,
            # The receiving bank may return the money after all.
            (_P.PAID, _PV.FAILED): _P.FAILED,
        }
    ),
)
