"""One batch, one transaction: load under lock, decide, write, commit. `committer` says when, and what if it fails."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID

from ledgerlink_contracts.ids import HoldId
from ledgerlink_contracts.wallet.events import HoldCaptured, HoldExpired, HoldPlaced, HoldReleased
from ledgerlink_contracts.wallet.models import HoldState, Standing
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_kit.clock import Clock
from ledgerlink_kit.ids import uuid7
from ledgerlink_kit.outbox import Event
from ledgerlink_wallet.commands import profiles
from ledgerlink_wallet.commands.rendering import (
    CREATED,
    Rendered,
    dumps,
    hold_body,
    mark_dry_run,
    posted_json,
    render,
    render_group,
    transfer_wire,
)
from ledgerlink_wallet.domain.apply import apply
from ledgerlink_wallet.domain.books import (
    Account,
    AccountKey,
    Entry,
    Hold,
    HoldKey,
    Party,
    Transfer,
    TransferKey,
    WalletKey,
)
from ledgerlink_wallet.domain.content import content_of, content_of_plain
from ledgerlink_wallet.domain.orders import (
    Allowance,
    Books,
    Captured,
    CaptureHold,
    ChangeStanding,
    ChangeWalletStanding,
    Command,
    Decided,
    DryRun,
    ExpireHold,
    GroupDecided,
    HoldChanged,
    LinkedGroup,
    OpenAccount,
    Outcome,
    PlaceHold,
    Posted,
    PostTransfer,
    Refusal,
    ReleaseHold,
    Remembered,
    RememberedCommand,
    Replayed,
    Result,
    ReverseTransfer,
    Tried,
)
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.runtime import Answer, Owners
from ledgerlink_wallet.store import Tx, loading, writing

_HOLD_EVENTS: Final[dict[HoldState, type[Event]]] = {
    HoldState.PLACED: HoldPlaced,
    HoldState.RELEASED: HoldReleased,
    HoldState.EXPIRED: HoldExpired,
}


_UNREMEMBERED: Final = (ReleaseHold, ExpireHold, ChangeStanding, ChangeWalletStanding, OpenAccount, LinkedGroup, DryRun)
"""The commands without an id of their own."""

_NOUNS: Final[dict[type[RememberedCommand], str]] = {
    PostTransfer: "transfer",
    PlaceHold: "hold",
    CaptureHold: "capture",
    ReverseTransfer: "reversal",
}
"""What the items of a group are called on the wire."""


SEEN_MAX: Final = 50_000
"""Accounts that a process remembers as it last saw them; some 600 bytes each."""


class Asked(NamedTuple):
    """A command with the request that asked for it."""

    command: Command
    request_id: str
    traceparent: str


@dataclass(frozen=True, slots=True)
class Needs:
    """What a batch must load, read off its commands."""

    accounts: set[AccountKey] = field(default_factory=set[AccountKey])
    wallets: set[WalletKey] = field(default_factory=set[WalletKey])
    holds: set[HoldKey] = field(default_factory=set[HoldKey])
    originals: set[TransferKey] = field(default_factory=set[TransferKey])
    ids: set[UUID] = field(default_factory=set[UUID])
    captures: list[CaptureHold] = field(default_factory=list[CaptureHold])
    placed: dict[HoldKey, str] = field(default_factory=dict[HoldKey, str])
    opens: dict[AccountKey, WalletKey] = field(default_factory=dict[AccountKey, WalletKey])
    restands: set[WalletKey] = field(default_factory=set[WalletKey])
    thaws: set[AccountKey] = field(default_factory=set[AccountKey])
    spends: dict[AccountKey, Party] = field(default_factory=dict[AccountKey, Party])

    def read(self, command: Command) -> None:
        """Add what ``command`` touches."""
        if isinstance(command, LinkedGroup | DryRun):
            for item in command.commands if isinstance(command, LinkedGroup) else (command.command,):
                self.read(item)
            return
        if isinstance(command, PostTransfer | CaptureHold):
            self._read_postings(command)
        elif isinstance(command, PlaceHold):
            self.ids.add(command.id)
            self.party(command.wallet)
            self.placed[command.id] = command.currency
            self._spend((command.wallet,) if command.spends else ())
        elif isinstance(command, ReverseTransfer):
            self.ids.add(command.id)
            self.originals.add(command.transfer)
        elif isinstance(command, ReleaseHold | ExpireHold):
            self.holds.add(command.hold)
        elif isinstance(command, OpenAccount):
            self.party(command.account)
        else:
            self._restand(command)
        if not isinstance(command, _UNREMEMBERED) and command.conditions:
            for condition in command.conditions:
                self.party(condition.account)

    def _read_postings(self, command: PostTransfer | CaptureHold) -> None:
        self.ids.add(command.id)
        for posting in command.postings:
            self.party(posting.debit)
            self.party(posting.credit)
        if isinstance(command, CaptureHold):
            self.holds.add(command.hold)
            self.captures.append(command)
        elif command.spends:
            self._spend(posting.debit for posting in command.postings)

    def _spend(self, parties: Iterable[Party]) -> None:
        self.spends.update({party.account: party for party in parties if party.account is not None})

    def _restand(self, command: ChangeStanding | ChangeWalletStanding) -> None:
        if isinstance(command, ChangeWalletStanding):
            self.restands.add(command.wallet)
            self.wallets.add(command.wallet)
        else:
            self.accounts.add(command.account)
            self.thaws.add(command.account)

    def party(self, party: Party) -> None:
        """Add the account that ``party`` names, and its wallet."""
        if party.account is not None:
            self.accounts.add(party.account)
        if party.opens is not None and party.opens.wallet is not None:
            self.wallets.add(party.opens.wallet)
            self.opens[party.opens.id] = party.opens.wallet


def postings_of(command: Command) -> int:
    """Say how many postings ``command`` brings to a batch."""
    if isinstance(command, PostTransfer | CaptureHold):
        return len(command.postings)
    if isinstance(command, LinkedGroup):
        return sum(postings_of(item) for item in command.commands)
    return postings_of(command.command) if isinstance(command, DryRun) else 1


class Seen:
    """Accounts as this process last saw them, so that a lock need bring only those that are another way now.

    Nothing relies on what is remembered being right: the lock compares every balance and bound, so a failed commit, a
    restored backup or another process's commit is met like any change. What does not stand open is always brought.
    """

    def __init__(self) -> None:
        """Have seen nothing."""
        self._accounts: dict[AccountKey, Account] = {}

    def of(self, ids: Iterable[AccountKey]) -> dict[AccountKey, Account]:
        """Give those of ``ids`` that were seen."""
        seen = self._accounts
        return {id_: seen[id_] for id_ in ids if id_ in seen}

    def keep(self, accounts: Mapping[AccountKey, Account]) -> None:
        """Remember ``accounts`` as a commit left them."""
        if len(self._accounts) + len(accounts) > SEEN_MAX:
            self._accounts.clear()
        self._accounts.update((id_, one) for id_, one in accounts.items() if one.standing is Standing.OPEN)


async def load(tx: Tx, commands: Sequence[Command], owners: Owners, seen: Seen) -> tuple[Books, dict[UUID, int]]:
    """Lock and load all that ``commands`` touch; gives the books, and the statuses of the stored outcomes."""
    needs = Needs()
    for command in commands:
        needs.read(command)
    originals = await loading.load_originals(tx, needs.originals) if needs.originals else []
    for original in originals:
        needs.accounts.update(original.accounts())
    if needs.holds:
        standing_on = await loading.hold_accounts(tx, needs.holds)
        needs.accounts.update(account for account, _ in standing_on.values())
        currencies = needs.placed | {hold: currency for hold, (_, currency) in standing_on.items()}
        for capture in needs.captures:
            if capture.hold in currencies:
                needs.party(party_of(capture.credit, currencies[capture.hold]))
    if needs.restands:
        needs.accounts.update(await profiles.accounts_of(tx, needs.restands))
    accounts, used = await loading.lock_accounts(tx, needs.accounts, seen.of(needs.accounts), needs.ids)
    standings = await _lock_standings(tx, needs, accounts, seen)
    # From here on nobody else can move these accounts, so what is read now is what will be true at the commit.
    stored, plain = await loading.load_outcomes(tx, used) if used else ({}, [])
    posted = await loading.load_posted(tx, plain) if plain else []
    needs.wallets.update(a.facts.wallet for a in accounts.values() if a.facts.wallet is not None)
    known = {wallet: owner for wallet in needs.wallets if (owner := owners.get(wallet)) is not None}
    if len(known) < len(needs.wallets):
        learned = await loading.load_owners(tx, needs.wallets - known.keys())
        owners.learn(learned)
        known |= learned
    remembered: dict[TransferKey | HoldKey, Remembered] = {
        TransferKey(id_): Remembered(content_of(outcome.fields), outcome.body) for id_, outcome in stored.items()
    }
    remembered |= {one.transfer.id: Remembered(content_of_plain(one.transfer), one) for one in posted}
    books = Books(
        accounts=accounts,
        owners=known,
        holds=await loading.load_holds(tx, needs.holds, accounts) if needs.holds else {},
        originals=await loading.with_reversed(tx, originals, accounts) if originals else {},
        remembered=remembered,
        standings=standings,
        allowances=await _load_allowances(tx, needs, accounts),
    )
    return books, {id_: outcome.status for id_, outcome in stored.items()}


async def _load_allowances(tx: Tx, needs: Needs, accounts: dict[AccountKey, Account]) -> dict[AccountKey, Allowance]:
    """Give what owners may spend; a batch in which no owner spends asks nothing here."""
    spent = [accounts[key].facts if key in accounts else party.opens for key, party in needs.spends.items()]
    of_wallets = [facts for facts in spent if facts is not None and facts.wallet is not None]
    return await profiles.load_allowances(tx, of_wallets) if of_wallets else {}


async def _lock_standings(
    tx: Tx, needs: Needs, accounts: dict[AccountKey, Account], seen: Seen
) -> dict[WalletKey, Standing]:
    """Lock and give the standings of wallets that an account may open in, or whose standing is asked about.

    An account carries its wallet's standing, so a batch whose accounts all stand asks nothing here.
    """
    wallets = {wallet for account, wallet in needs.opens.items() if account not in accounts} | needs.restands
    wallets |= {facts.wallet for key in needs.thaws & accounts.keys() if (facts := accounts[key].facts).wallet}
    if not wallets:
        return {}
    standings = await profiles.lock_standings(tx, wallets)
    if needs.restands:
        # What was opened before we had the standings' locks; from here on nobody can open another.
        opened = set(await profiles.accounts_of(tx, needs.restands)) - accounts.keys()
        if opened:
            accounts |= (await loading.lock_accounts(tx, opened, seen.of(opened))).accounts
    return standings


class Written(NamedTuple):
    """What a decided batch leaves behind, and what it answers."""

    answers: list[Answer]
    transfers: list[Transfer]
    entries: list[writing.EntryRow]
    outcomes: list[writing.OutcomeRow]
    posted: list[tuple[str, TransferKey]]
    events: list[writing.EventRow]


def write(asked: Sequence[Asked], decided: Decided, statuses: dict[UUID, int], now: datetime) -> Written:
    """Turn outcomes into rows and answers."""
    written = Written([], [], [], [], [], [])
    desk = _Answers(statuses, now, written)
    written.answers.extend(
        desk.answer(one.command, outcome, one) for one, outcome in zip(asked, decided.outcomes, strict=True)
    )
    return written


class _Answers:
    """A batch's answers in the making; the rows that belong to them gather in ``written``."""

    def __init__(self, statuses: dict[UUID, int], now: datetime, written: Written) -> None:
        self._statuses = statuses
        self._now = now
        self._written = written
        self._fresh: dict[UUID, Answer] = {}

    def answer(self, command: Command, outcome: Outcome, one: Asked, *, kept: bool = True) -> Answer:
        """Answer ``command``; nothing is written of what is not ``kept``."""
        if isinstance(outcome, Tried):
            assert isinstance(command, DryRun)
            return _as_dry_run(self.answer(command.command, outcome.outcome, one, kept=False))
        if isinstance(outcome, GroupDecided):
            assert isinstance(command, LinkedGroup)
            pairs = zip(command.commands, outcome.outcomes, strict=True)
            return _together(command, [self.answer(item, each, one, kept=kept) for item, each in pairs])
        if isinstance(outcome, Replayed):
            assert not isinstance(command, _UNREMEMBERED)
            return self._repeat(command.id, outcome)
        answer = _answer(outcome, one.request_id)
        if kept:
            _facts(outcome, answer, one, self._now, self._written)
            if not isinstance(command, _UNREMEMBERED) and answer.refusal is not RefusalCode.ID_REUSED:
                self._remember(command, outcome, answer)
        return answer

    def _remember(self, command: RememberedCommand, outcome: Result, answer: Answer) -> None:
        self._fresh[command.id] = answer
        told = isinstance(outcome, Posted) and isinstance(command, PostTransfer) and command.plain
        kept = (None, answer.status, None) if told else (command.content.fields, answer.status, answer.body)
        self._written.outcomes.append(writing.OutcomeRow(command.id, *kept))

    def _repeat(self, id_: UUID, outcome: Replayed) -> Answer:
        stored = outcome.remembered.answer
        if isinstance(stored, bytes):
            return Answer(self._statuses[id_], stored, replayed=True)
        # Posted before: its answer is written from the facts again, to the same bytes.
        return (self._fresh.get(id_) or _answer(stored, "")).again()


def _answer(outcome: Result, request_id: str) -> Answer:
    if isinstance(outcome, Posted):
        return Answer(CREATED, partial(posted_json, outcome))
    refusal = outcome.code if isinstance(outcome, Refusal) else None
    return Answer(*render(outcome, request_id), refusal=refusal)


def _together(group: LinkedGroup, answers: Sequence[Answer]) -> Answer:
    """Make one answer of a group's: each item's under its noun, or the first refusal with all of them."""
    replayed = all(answer.replayed for answer in answers)
    nouns = [_NOUNS[type(command)] for command in group.commands]
    rendered, first = render_group(nouns, [Rendered(answer.status, answer.body) for answer in answers])
    return Answer(*rendered, replayed=replayed, refusal=None if first is None else answers[first].refusal)


def _as_dry_run(answer: Answer) -> Answer:
    rendered = mark_dry_run(Rendered(answer.status, answer.body))
    return Answer(*rendered, replayed=answer.replayed, refusal=answer.refusal)


def _facts(outcome: Result, answer: Answer, one: Asked, now: datetime, written: Written) -> None:
    """Collect the rows and events of an outcome that changed the books."""
    if isinstance(outcome, Posted):
        _transfer(outcome.transfer, outcome.entries, one, written)
    elif isinstance(outcome, HoldChanged) and outcome.entries:
        hold = outcome.hold
        written.entries.extend(writing.EntryRow(entry, None, hold.id, now) for entry in outcome.entries)
        kind = _HOLD_EVENTS[hold.state]
        written.events.append(_event(kind, hold, b'{"hold":' + answer.body + b"}", one, now))
    elif isinstance(outcome, Captured):
        _transfer(outcome.transfer, outcome.entries, one, written)
        data = {
            "hold": hold_body(outcome.hold, outcome.account),
            "transfer": transfer_wire(outcome.transfer.id),
        }
        written.events.append(_event(HoldCaptured, outcome.hold, dumps(data), one, now))


def _transfer(transfer: Transfer, entries: tuple[Entry, ...], one: Asked, written: Written) -> None:
    written.transfers.append(transfer)
    written.entries.extend(
        writing.EntryRow(entry, transfer.id, transfer.hold, transfer.effective_at) for entry in entries
    )
    # A transfer is posted once, so its id serves the event as well; the relay writes the event from the transfer.
    written.posted.append((one.traceparent, transfer.id))


def _event(kind: type[Event], hold: Hold, data: bytes, one: Asked, now: datetime) -> writing.EventRow:
    aggregate = str(HoldId(hold.id))
    return writing.EventRow(uuid7(now), aggregate, kind.event_type, kind.data_version, data.decode(), one.traceparent)


class Done(NamedTuple):
    """A batch that is written: one answer per command, in order, and the accounts that it touched as it leaves them."""

    answers: list[Answer]
    accounts: Mapping[AccountKey, Account]


async def run(
    tx: Tx, asked: Sequence[Asked], owners: Owners, seen: Seen, clock: Clock, *, copy_from: int = writing.COPY_FROM
) -> Done:
    """Load, decide and write one batch in the open transaction; ``copy_from`` as in `writing.Writes`."""
    books, statuses = await load(tx, [one.command for one in asked], owners, seen)
    # The moment is taken under the accounts' locks, so that an account's entries are recorded in the order of their
    # versions, however many processes write (ADR 0059).
    now = clock.now()
    decided = apply(books, [one.command for one in asked], now)
    written = write(asked, decided, statuses, now)
    writes = writing.Writes(copy_from)
    promised = writing.save_accounts(writes, decided.accounts.values(), books.accounts, now)
    promised += profiles.save_standings(writes, decided.standings, books.standings, now)
    profiles.save_allowances(writes, decided.allowances)
    writing.save_transfers(writes, written.transfers, now)
    writing.save_unsealed(writes, len(written.transfers), promised, now)
    writing.save_entries(writes, written.entries, now)
    writing.save_dated_sums(writes, written.entries, now)
    writing.save_holds(writes, decided.holds.values())
    writing.save_reversals(writes, decided.originals.values())
    writing.save_outcomes(writes, written.outcomes, now)
    writing.save_events(writes, written.posted, written.events, now)
    await writes.send(tx)
    return Done(written.answers, {**books.accounts, **decided.accounts})
