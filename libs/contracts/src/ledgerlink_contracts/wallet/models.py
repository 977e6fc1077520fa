"""The ledger's words on the wire: orders that ask, views that answer.

Amounts are positive integers of minor units; a currency is an ISO 4217 code in upper case (any case is accepted); a
moment is RFC 3339 with its offset. A *party* names an account: ``wal_…`` (that wallet's account in the posting's
currency, opened on first use), ``acc_…`` or a code of the chart of accounts (`ledgerlink_contracts.wallet.chart`).
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, model_validator

from ledgerlink_contracts.ids import AccountId, HoldId, TransferId, UserId, WalletId
from ledgerlink_contracts.wallet.chart import CODE_CHARS_MAX, Side
from ledgerlink_kit.errors import Defect
from ledgerlink_kit.ids import TypedId
from ledgerlink_kit.money import MAX_MINOR, AmountMinor, CurrencyCode, NonNegativeMinor
from ledgerlink_kit.pagination import Page
from ledgerlink_kit.wire import Metadata, RequestModel, ResponseModel, Text

POSTINGS_MAX: Final = 100
"""Most postings in one transfer."""

CONDITIONS_MAX: Final = 20
"""Most conditions of one order."""

Party = Annotated[
    str,
    Field(
        min_length=1,
        max_length=CODE_CHARS_MAX,
        pattern=r"^[a-z][A-Za-z0-9_:.\-]*$",
        description="`wal_…`, `acc_…` or a code of the chart of accounts such as `clearing:sandbox`",
        examples=["wal_01jd3w9n2qf7h8r0s1t2v3w4x5", "clearing:sandbox", "world"],
    ),
]
TransferKind = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        pattern=r"^[a-z][a-z0-9_.\-]*$",
        description="What the transfer is for, in the caller's words",
        examples=["payment.capture"],
    ),
]


YEAR_MIN: Final = 1900
YEAR_MAX: Final = 2999
"""Moments are kept within these years: every clock, driver and database that meets them can hold them."""


def _text_or_datetime(value: object) -> object:
    # RFC 3339, section 5.6: four digits of the year and a dash. A text of digits alone would be taken for Unix seconds.
    if isinstance(value, datetime) or (isinstance(value, str) and value[4:5] == "-"):
        return value
    raise ValueError("Give a moment as RFC 3339 text with its offset, such as '2026-01-05T12:00:00Z'.")


def _in_utc(moment: datetime) -> datetime:
    if not YEAR_MIN <= moment.year <= YEAR_MAX:
        raise ValueError(f"A moment lies in the years {YEAR_MIN} to {YEAR_MAX}.")
    # One instant has one form, so that the same order with another offset is the same order.
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, BeforeValidator(_text_or_datetime), AfterValidator(_in_utc)]
"""Pydantic type of a moment in a request: RFC 3339 with its offset; in UTC once read."""


class Predicate(StrEnum):
    """What a condition compares: an account's version, or one of its balances on the normal side with a bound."""

    VERSION = "version"
    AVAILABLE_AT_LEAST = "available_at_least"
    AVAILABLE_AT_MOST = "available_at_most"
    POSTED_AT_LEAST = "posted_at_least"
    POSTED_AT_MOST = "posted_at_most"
    PENDING_AT_LEAST = "pending_at_least"
    PENDING_AT_MOST = "pending_at_most"


Bound = Annotated[int, Field(strict=True, ge=-MAX_MINOR, le=MAX_MINOR, description="Minor units; may be below zero")]


class ConditionOrder(RequestModel):
    """What must be so of an account, else the order is refused (`condition-failed`): exactly one of the predicates.

    ``version`` is the account's version (0 before its first entry); the others bound its available, posted or pending
    balance in minor units. It is looked at before the order moves anything. A wallet must be ``on_behalf_of``'s where
    the order says so.
    """

    account: Party
    currency: CurrencyCode
    version: Annotated[int, Field(strict=True, ge=0, le=MAX_MINOR)] | None = None
    available_at_least: Bound | None = None
    available_at_most: Bound | None = None
    posted_at_least: Bound | None = None
    posted_at_most: Bound | None = None
    pending_at_least: NonNegativeMinor | None = None
    pending_at_most: NonNegativeMinor | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if len([name for name in Predicate if getattr(self, name) is not None]) != 1:
            raise ValueError(f"Give exactly one of {', '.join(Predicate)}.")
        return self

    def said(self) -> tuple[Predicate, int]:
        """Give the one predicate with its value."""
        return next((name, value) for name in Predicate if (value := getattr(self, name)) is not None)


Conditions = Annotated[list[ConditionOrder], Field(min_length=1, max_length=CONDITIONS_MAX)]


class PostingOrder(RequestModel):
    """One amount from a debit account to a credit account."""

    debit: Party
    credit: Party
    amount_minor: AmountMinor
    currency: CurrencyCode


class TransferOrder(RequestModel):
    """Post 1 to 100 postings, all or none.

    Without an ``id`` the Idempotency-Key makes it. With ``on_behalf_of`` every debited wallet must be that user's,
    else `wallet-not-found`. ``effective_at`` is when it counts in the books; now unless given.
    """

    id: TransferId | None = None
    kind: TransferKind
    postings: Annotated[list[PostingOrder], Field(min_length=1, max_length=POSTINGS_MAX)]
    on_behalf_of: UserId | None = None
    reference: Text | None = None
    metadata: Metadata = Field(default_factory=dict)
    effective_at: Moment | None = None
    conditions: Conditions | None = None


class ReversalPart(RequestModel):
    """How much of one posting (counted from 0) is reversed."""

    posting: Annotated[int, Field(strict=True, ge=0, lt=POSTINGS_MAX)]
    amount_minor: AmountMinor


class ReversalOrder(RequestModel):
    """Undo a transfer by an equal and opposite one; without ``parts`` all that has not been reversed yet."""

    id: TransferId | None = None
    kind: TransferKind = "reversal"
    parts: Annotated[list[ReversalPart], Field(min_length=1, max_length=POSTINGS_MAX)] | None = None
    reference: Text | None = None
    metadata: Metadata = Field(default_factory=dict)
    conditions: Conditions | None = None


class HoldOrder(RequestModel):
    """Reserve funds in a wallet. Without ``expires_at`` the hold stays until it is captured or released."""

    id: HoldId | None = None
    wallet: WalletId
    amount_minor: AmountMinor
    currency: CurrencyCode
    expires_at: Moment | None = None
    on_behalf_of: UserId | None = None
    reference: Text | None = None
    conditions: Conditions | None = None


class CaptureOrder(RequestModel):
    """Collect all (no ``amount_minor``) or part of a hold to ``credit``; ``id`` is the transfer's.

    ``final`` releases what is left. ``postings`` are posted after the captured amount in the same transfer.
    """

    id: TransferId | None = None
    kind: TransferKind = "hold.capture"
    amount_minor: AmountMinor | None = None
    credit: Party
    final: bool = True
    postings: Annotated[list[PostingOrder], Field(max_length=POSTINGS_MAX - 1)] = Field(default_factory=list)
    reference: Text | None = None
    metadata: Metadata = Field(default_factory=dict)
    conditions: Conditions | None = None


class AccountOrder(RequestModel):
    """Open the account ``code`` (a code of the chart, or `wal_…` for that wallet's account) in ``currency``.

    ``floor_minor`` is the least that may be available, at most zero: it lets an account go below zero, or limits how
    far one that may overdraw can go. A wallet's is never below zero. ``ceiling_minor`` is the most that may be posted.
    Both stay as they are for good.
    """

    code: Party
    currency: CurrencyCode
    floor_minor: Annotated[int, Field(strict=True, ge=-MAX_MINOR, le=0)] | None = None
    ceiling_minor: NonNegativeMinor | None = None


class WalletOrder(RequestModel):
    """Open a wallet; ``currency`` is its first account's."""

    currency: CurrencyCode
    label: Text | None = None


class Layer(StrEnum):
    """Which of an account's columns an entry moved."""

    POSTED = "posted"
    """Adds to the side's posted column."""
    PENDING = "pending"
    """Adds to the side's pending column: a hold placed."""
    RELEASED = "released"
    """Takes from the side's pending column: a hold captured, released or expired."""


class Standing(StrEnum):
    """What an account or wallet may be used for."""

    OPEN = "open"
    FROZEN = "frozen"
    CLOSED = "closed"


class HoldState(StrEnum):
    """Where a hold stands; all but placed are final."""

    PLACED = "placed"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


class BalanceView(ResponseModel):
    """One account's balances on its normal side, in minor units.

    ``posted_minor`` is what the books say, ``pending_minor`` what holds reserve, ``available_minor`` what may still be
    spent: posted less pending. Accounts that may overdraw can stand below zero.
    """

    currency: str
    posted_minor: int
    pending_minor: int
    available_minor: int


class EntryView(BalanceView):
    """One side of a posting on one account, with the resulting balances and account version."""

    account: AccountId
    party: str
    side: Side
    layer: Layer
    amount_minor: int
    version: int


class PostingView(ResponseModel):
    """One posting as it was made; parties as `wal_…` or a code."""

    debit: str
    credit: str
    amount_minor: int
    currency: str


class TransferRecord(ResponseModel):
    """A transfer as it was posted. ``effective_at`` is when it counts, ``recorded_at`` when it was written."""

    id: TransferId
    kind: str
    state: str
    postings: list[PostingView]
    on_behalf_of: str | None
    reference: str | None
    metadata: dict[str, str]
    reverses: TransferId | None
    hold: HoldId | None
    effective_at: AwareDatetime
    recorded_at: AwareDatetime


class TransferView(TransferRecord):
    """A transfer and what it did: its entries, each with the balances that resulted.

    A caller who may not read the ledger sees the entries of their own wallets.
    """

    entries: list[EntryView]


class HoldView(ResponseModel):
    """A hold: ``amount_minor`` was reserved, ``captured_minor`` has been collected, ``remaining_minor`` still waits."""

    id: HoldId
    wallet: WalletId
    account: AccountId
    state: HoldState
    amount_minor: int
    captured_minor: int
    remaining_minor: int
    currency: str
    expires_at: AwareDatetime | None
    on_behalf_of: str | None
    reference: str | None
    recorded_at: AwareDatetime
    balance: BalanceView
    """The wallet's balances in the hold's currency after this step."""


class CaptureView(ResponseModel):
    """A hold after a capture, and the transfer that the capture made."""

    hold: HoldView
    transfer: TransferView


class WalletView(ResponseModel):
    """What a person sees: one owner's accounts, one balance per currency (the first currency first)."""

    id: WalletId
    owner: str
    currency: str
    label: str | None
    state: Standing
    balances: list[BalanceView]
    opened_at: AwareDatetime


class AccountView(BalanceView):
    """An account of the chart. The four columns only grow (pending ones shrink as holds end).

    Without ``floor_minor`` the least that may be available is zero, or nothing where the account may overdraw.
    """

    id: AccountId
    code: str
    wallet: WalletId | None
    normal_side: Side
    may_overdraw: bool
    floor_minor: int | None
    ceiling_minor: int | None
    state: Standing
    debits_posted_minor: int
    credits_posted_minor: int
    debits_pending_minor: int
    credits_pending_minor: int
    version: int
    opened_at: AwareDatetime


class AccountBalanceView(BalanceView):
    """An account's balances as effective at one moment, as known at another; null where none was given.

    ``version`` is the account's as known then. A balance by effective time may lie where the books never let it be,
    because a transfer that is dated back is bound by the limits of the moment that records it.
    """

    account: AccountId
    version: int
    effective_at: AwareDatetime | None
    recorded_at: AwareDatetime | None
    debits_posted_minor: int
    credits_posted_minor: int
    debits_pending_minor: int
    credits_pending_minor: int


class AmountOrder(RequestModel):
    """Credit or debit a wallet."""

    amount_minor: AmountMinor
    currency: CurrencyCode
    reference: Text | None = None


class WalletTransferOrder(RequestModel):
    """Move money from the wallet in the path to the wallet ``to``."""

    to: WalletId
    amount_minor: AmountMinor
    currency: CurrencyCode
    reference: Text | None = None


class WalletMovementView(ResponseModel):
    """What a credit, debit or transfer did to the wallet: the transfer, and the wallet's balances after it."""

    wallet: WalletId
    transfer: TransferView
    balance: BalanceView


class WalletBalanceView(BalanceView):
    """A wallet's balances in its first (or the asked) currency, and in all its currencies."""

    wallet: WalletId
    balances: list[BalanceView]


class StatementLine(ResponseModel):
    """One posted entry: ``change_minor`` is signed, ``posted_minor`` is the balance after it."""

    version: int
    transfer: TransferId
    kind: str
    reference: str | None
    counterparty: str
    change_minor: int
    posted_minor: int
    effective_at: AwareDatetime
    recorded_at: AwareDatetime


class StatementBasis(StrEnum):
    """By which of its two moments an entry belongs to a statement's period, and has its place in it."""

    RECORDED = "recorded"
    """In the order in which entries were written: each page is final."""
    EFFECTIVE = "effective"
    """In the order in which entries count: a later entry can be dated into a period that has passed."""


class StatementView(ResponseModel):
    """A page of an account's statement, newest first.

    ``opening_minor`` is the posted balance before the page's oldest line, ``closing_minor`` after its newest; those of
    the whole period stand beside them. A page looks at a bounded number of entries, so it can hold fewer lines than
    asked for, even none, and yet have a ``next_cursor``. ``wallet`` is null for an account that is no wallet's.
    """

    account: AccountId
    wallet: WalletId | None
    currency: str
    by: StatementBasis
    period_from: AwareDatetime | None
    period_to: AwareDatetime | None
    period_opening_minor: int
    period_closing_minor: int
    opening_minor: int
    closing_minor: int
    lines: list[StatementLine]
    next_cursor: str | None


class EntryRecord(EntryView):
    """An entry with its cause: a transfer, or a step of a hold."""

    transfer: TransferId | None
    hold: HoldId | None
    effective_at: AwareDatetime
    recorded_at: AwareDatetime


class AccountEventsView(ResponseModel):
    """An account's entries after a version, without a gap; ask again with ``after_version`` for those that follow."""

    account: AccountId
    items: list[EntryRecord]
    after_version: int


AccountPage = Page[AccountView]
TransferPage = Page[TransferRecord]
EntryPage = Page[EntryRecord]
WalletPage = Page[WalletView]
HoldPage = Page[HoldView]


def named(value: TypedId | None) -> str:
    """Give the wire form of an order's id, which a service must have made before it asks."""
    if value is None:
        raise Defect("A service orders under an id that it has made and stored, so that a repeat is a replay.")
    return str(value)
