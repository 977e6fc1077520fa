"""The commands that `apply` carries out, and the outcomes that it gives."""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from ledgerlink_contracts.wallet.models import Predicate, Standing
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_wallet.domain.books import (
    Account,
    AccountKey,
    Entry,
    Hold,
    HoldKey,
    Original,
    Party,
    Posting,
    Transfer,
    TransferKey,
    WalletKey,
)


class Content:
    """What was asked, for idempotency: JSON of every field, absent ones left out.

    It is written when somebody looks at it: most commands have an id that nobody has used before.
    """

    __slots__ = ("_fields", "_write")

    def __init__(self, write: Callable[[], bytes]) -> None:
        """Be what ``write`` gives; it is called once at the most."""
        self._write = write
        self._fields: bytes | None = None

    @property
    def fields(self) -> bytes:
        """The JSON object."""
        if self._fields is None:
            self._fields = self._write()
        return self._fields


class Condition(NamedTuple):
    """What must be so of an account when a command finds it: ``predicate`` holds for ``value``."""

    account: Party
    currency: str
    predicate: Predicate
    value: int


@dataclass(frozen=True, slots=True)
class PostTransfer:
    """Post all postings or none. Every debited wallet must belong to ``on_behalf_of`` when that is set.

    ``spends`` says that an owner spends from their wallets, so that the wallets' limits hold. ``expires_at`` is the end
    of the quote that it accepts.

    ``plain`` says that the posted transfer tells all that was asked, so that nothing else need be kept of the order.
    """

    id: TransferKey
    content: Content
    kind: str
    postings: tuple[Posting, ...]
    on_behalf_of: str | None = None
    reference: str | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    effective_at: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    plain: bool = False
    spends: bool = False
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReverseTransfer:
    """Undo ``transfer``: whole (what is left of it) or the ``parts`` (posting number, amount)."""

    id: TransferKey
    content: Content
    transfer: TransferKey
    kind: str
    parts: tuple[tuple[int, int], ...] | None = None
    reference: str | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class PlaceHold:
    """Reserve ``amount_minor`` in a wallet's account; ``spends`` as in `PostTransfer`."""

    id: HoldKey
    content: Content
    wallet: Party
    amount_minor: int
    currency: str
    expires_at: datetime | None = None
    on_behalf_of: str | None = None
    reference: str | None = None
    conditions: tuple[Condition, ...] = ()
    spends: bool = False


@dataclass(frozen=True, slots=True)
class CaptureHold:
    """Collect a hold, whole (no ``amount_minor``) or in part; ``final`` releases what is left.

    ``credit`` names a party in the hold's currency, which only the hold knows. ``postings`` are posted in the same
    transfer, after the captured amount.
    """

    id: TransferKey
    content: Content
    hold: HoldKey
    kind: str
    credit: str
    amount_minor: int | None = None
    final: bool = True
    postings: tuple[Posting, ...] = ()
    reference: str | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class ReleaseHold:
    """Give back what is left of a hold. Needs no id: a released hold stays released."""

    hold: HoldKey


@dataclass(frozen=True, slots=True)
class ExpireHold:
    """End a hold whose time has come. Needs no id: an expired hold stays expired."""

    hold: HoldKey


@dataclass(frozen=True, slots=True)
class ChangeStanding:
    """Open (again), freeze or close an account. Needs no id: the account then stands so."""

    account: AccountKey
    standing: Standing


@dataclass(frozen=True, slots=True)
class ChangeWalletStanding:
    """Open (again), freeze or close a whole wallet: all its accounts, also those that open later. Needs no id."""

    wallet: WalletKey
    standing: Standing


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """Open an account of the chart with its bounds. Needs no id: an account that stands so stays so.

    ``floor_minor`` is at most zero and ``ceiling_minor`` at least zero, since an account opens empty.
    """

    account: Party
    currency: str
    floor_minor: int | None = None
    ceiling_minor: int | None = None


RememberedCommand = PostTransfer | ReverseTransfer | PlaceHold | CaptureHold
"""The commands whose outcome is kept under their id."""


@dataclass(frozen=True, slots=True)
class LinkedGroup:
    """Carry out ``commands`` in order, all or none. Each must say in its content which group it belongs to."""

    commands: tuple[RememberedCommand, ...]


@dataclass(frozen=True, slots=True)
class DryRun:
    """Decide ``command`` as it would be decided now, and leave everything as it is."""

    command: RememberedCommand | LinkedGroup


Command = (
    RememberedCommand
    | ReleaseHold
    | ExpireHold
    | ChangeStanding
    | ChangeWalletStanding
    | OpenAccount
    | LinkedGroup
    | DryRun
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why it was not done; nothing was changed. ``members`` carry the numbers that the caller needs."""

    code: RefusalCode
    detail: str
    members: dict[str, Any] = field(default_factory=dict[str, Any])


class Posted(NamedTuple):
    """A transfer was posted."""

    transfer: Transfer
    entries: tuple[Entry, ...]


class HoldChanged(NamedTuple):
    """A hold was placed, released or has expired; ``account`` is the wallet's account afterwards.

    ``entries`` is empty when the hold stood so already.
    """

    hold: Hold
    account: Account
    entries: tuple[Entry, ...]


class Captured(NamedTuple):
    """A hold was captured by a transfer."""

    hold: Hold
    account: Account
    transfer: Transfer
    entries: tuple[Entry, ...]


class StandingChanged(NamedTuple):
    """An account's standing is as ordered."""

    account: Account


class WalletStandingChanged(NamedTuple):
    """A wallet's standing is as ordered."""

    wallet: WalletKey
    standing: Standing


class AccountOpened(NamedTuple):
    """An account stands with the bounds that were ordered; ``fresh`` when it was opened now."""

    account: Account
    fresh: bool


Result = Posted | HoldChanged | Captured | StandingChanged | WalletStandingChanged | AccountOpened | Refusal


class Remembered(NamedTuple):
    """The outcome that an id had before: stored bytes, the posted transfer, or what this batch decided earlier."""

    content: Content
    answer: Result | bytes


class Replayed(NamedTuple):
    """The id had this outcome before, for the same content; it is given again and nothing happens."""

    remembered: Remembered


class GroupDecided(NamedTuple):
    """What each command of a group came to: all were carried out, or all were refused."""

    outcomes: tuple["Outcome", ...]


class Tried(NamedTuple):
    """What a command would come to, had it not been a dry run."""

    outcome: "Outcome"


Outcome = Result | Replayed | GroupDecided | Tried


class Allowance(NamedTuple):
    """What an owner may spend from an account (None: any amount), and what was spent in the latest day and month.

    ``day`` and ``month`` (its first day) are UTC's.
    """

    transfer_minor: int | None
    day_minor: int | None
    month_minor: int | None
    day: date
    day_used_minor: int
    month: date
    month_used_minor: int


@dataclass(frozen=True, slots=True)
class Books:
    """The part of the books that a batch touches, as loaded under lock.

    ``standings`` are the wallets' own: of those whose standing is to change, or that an account may open in.
    ``allowances`` are those of limited accounts that an owner spends from.
    """

    accounts: MutableMapping[AccountKey, Account] = field(default_factory=dict[AccountKey, Account])
    owners: dict[WalletKey, str] = field(default_factory=dict[WalletKey, str])
    holds: MutableMapping[HoldKey, Hold] = field(default_factory=dict[HoldKey, Hold])
    originals: MutableMapping[TransferKey, Original] = field(default_factory=dict[TransferKey, Original])
    remembered: MutableMapping[TransferKey | HoldKey, Remembered] = field(
        default_factory=dict["TransferKey | HoldKey", Remembered]
    )
    standings: dict[WalletKey, Standing] = field(default_factory=dict[WalletKey, Standing])
    allowances: MutableMapping[AccountKey, Allowance] = field(default_factory=dict[AccountKey, Allowance])


@dataclass(frozen=True, slots=True)
class Decided:
    """What `apply` decided: one outcome per command in order, and the parts of the books that changed."""

    outcomes: list[Outcome]
    accounts: dict[AccountKey, Account]
    holds: dict[HoldKey, Hold]
    originals: dict[TransferKey, Original]
    standings: dict[WalletKey, Standing] = field(default_factory=dict[WalletKey, Standing])
    allowances: dict[AccountKey, Allowance] = field(default_factory=dict[AccountKey, Allowance])
