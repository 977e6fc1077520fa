"""The shapes that cross risk's border, shared by its API, its client and its fake.

Amounts are integers of minor units with an ISO 4217 code; times are aware.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from ledgerlink_contracts.ids import CaseId, DecisionId
from ledgerlink_kit.money import AmountMinor, CurrencyCode
from ledgerlink_kit.wire import Metadata, RequestModel, ResponseModel

EntityRef = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@+-]*$"),
    Field(description="An identifier of a party or object. Opaque to risk: compared for equality, never parsed."),
]


class EventKind(StrEnum):
    """What is about to happen with the money."""

    PAYMENT = "payment"
    TOP_UP = "top_up"
    TRANSFER = "transfer"
    PAYOUT = "payout"


class SourceKind(StrEnum):
    """Where the money comes from."""

    CARD = "card"
    WALLET = "wallet"
    MERCHANT = "merchant"


class Verdict(StrEnum):
    """Risk's answer. `review` waits for a person: the order goes on when its case is resolved."""

    APPROVE = "approve"
    REVIEW = "review"
    DECLINE = "decline"


class Resolution(StrEnum):
    """A person's answer to a case."""

    APPROVE = "approve"
    DECLINE = "decline"


class CaseState(StrEnum):
    """A case is open until a person resolves it; it is resolved once."""

    OPEN = "open"
    RESOLVED = "resolved"


class EventFacts(RequestModel):
    """A movement of money that has not happened yet, as its service describes it.

    Shape:
        amount_minor: minor units of `currency` that the source would give.
        customer: who pays (`usr_…`).
        destination: who receives (`acct_…`, `wal_…`); absent where there is none.
        payment_method: the instrument (`pm_…`, `wal_…`).
        subject: the object that asks (`pi_…`, `att_…`, `po_…`); it comes back in `risk.case.resolved`.
        occurred_at: when it happens in the world; absent means now. At most 5 minutes in the future.
    """

    kind: EventKind
    amount_minor: AmountMinor
    currency: CurrencyCode
    customer: EntityRef
    source_kind: SourceKind
    subject: EntityRef
    destination: EntityRef | None = None
    payment_method: EntityRef | None = None
    metadata: Metadata = Field(default_factory=dict)
    occurred_at: AwareDatetime | None = None


class DecisionOrder(RequestModel):
    """Ask for a decision.

    With an `id` made by the caller (`DecisionId.derive(...)`) the order can be repeated safely: the same id with
    the same event gives the stored decision, with another event 409 `id-reused` naming what differs. Without an id
    an `Idempotency-Key` takes its place; with neither the order is refused.
    """

    event: EventFacts
    id: DecisionId | None = None


class Reason(ResponseModel):
    """One clause that carried the verdict.

    `value` and `threshold` are the two sides of the clause as they were found (`"66666.00 GBP"`), absent where a
    clause has no sides. `missing` names the facts that were not there. The code `degraded` (rule and clause name
    the part that was late or broken) says that the verdict was made without that part.
    """

    code: str
    rule: str
    version: int
    clause: str
    value: str | None = None
    threshold: str | None = None
    missing: list[str] = Field(default_factory=list)


class DecisionView(ResponseModel):
    """A decision, exactly as it was made; it never changes. `score` is 0 (no concern) to 100."""

    id: DecisionId
    verdict: Verdict
    score: int
    reasons: list[Reason]
    case: CaseId | None = None
    subject: str
    policy_version: int
    decided_at: AwareDatetime


class CaseView(ResponseModel):
    """Human work opened by a `review` decision. The four `resol…`/`note` fields are set together, once."""

    id: CaseId
    decision: DecisionId
    subject: str
    state: CaseState
    opened_at: AwareDatetime
    resolution: Resolution | None = None
    note: str | None = None
    resolved_by: str | None = None
    resolved_at: AwareDatetime | None = None


class DecisionRecord(DecisionView):
    """A decision with what has become of it: its event, the case's state and the person's answer, if any."""

    event: EventFacts
    case_state: CaseState | None = None
    resolution: Resolution | None = None


class ResolveOrder(RequestModel):
    """A person's answer to an open case; the note says why and is kept."""

    resolution: Resolution
    note: Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
