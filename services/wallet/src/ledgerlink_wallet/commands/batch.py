"""One batch, one transaction: load under lock, decide, write, commit. `committer` says when, and what if it fails."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from ledgerlink_contracts.ids import HoldId
from ledgerlink_contracts.wallet.events import HoldCaptured, HoldExpired, HoldPlaced, HoldReleased, TransferPosted
from ledgerlink_contracts.wallet.models import HoldState
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_kit.ids import uuid7
from ledgerlink_kit.outbox import Event
from ledgerlink_wallet import store
from ledgerlink_wallet.commands.rendering import Rendered, dumps, hold_body, render, transfer_body, transfer_wire
from ledgerlink_wallet.domain.apply import apply
from ledgerlink_wallet.domain.books import AccountKey, Entry, Hold, HoldKey, Party, Transfer, TransferKey, WalletKey
from ledgerlink_wallet.domain.orders import (
    Books,
    Captured,
    CaptureHold,
    ChangeStanding,
    Command,
    Content,
    Decided,
    ExpireHold,
    HoldChanged,
    PlaceHold,
    Posted,
    PostTransfer,
    Refusal,
    ReleaseHold,
    Remembered,
    Replayed,
    Result,
    ReverseTransfer,
)
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.runtime import Answer, Owners

_HOLD_EVENTS: Final[dict[HoldState, type[Event]]] = {
    HoldState.PLACED: HoldPlaced,
    HoldState.RELEASED: HoldReleased,
    HoldState.EXPIRED: HoldExpired,
}


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

    def read(self, command: Command) -> None:
        """Add what ``command`` touches."""
        if isinstance(command, PostTransfer | CaptureHold):
            self.ids.add(command.id)
            for posting in command.postings:
                self.party(posting.debit)
                self.party(posting.credit)
            if isinstance(command, CaptureHold):
                self.holds.add(command.hold)
                self.captures.append(command)
        elif isinstance(command, PlaceHold):
            self.ids.add(command.id)
            self.party(command.wallet)
        elif isinstance(command, ReverseTransfer):
            self.ids.add(command.id)
            self.originals.add(command.transfer)
        elif isinstance(command, ReleaseHold | ExpireHold):
            self.holds.add(command.hold)
        else:
            self.accounts.add(command.account)

    def party(self, party: Party) -> None:
        """Add the account that ``party`` names, and its wallet."""
        if party.account is not None:
            self.accounts.add(party.account)
        if party.opens is not None and party.opens.wallet is not None:
            self.wallets.add(party.opens.wallet)


async def load(tx: store.Tx, commands: Sequence[Command], owners: Owners) -> tuple[Books, dict[UUID, int]]:
    """Lock and load all that ``commands`` touch; gives the books, and the statuses of the stored outcomes."""
    needs = Needs()
    for command in commands:
        needs.read(command)
    originals = await store.load_originals(tx, needs.originals) if needs.originals else []
    for original in originals:
        needs.accounts.update(original.accounts())
    if needs.holds:
        standing_on = await store.hold_accounts(tx, needs.holds)
        needs.accounts.update(account for account, _ in standing_on.values())
        for capture in needs.captures:
            if capture.hold in standing_on:
                needs.party(party_of(capture.credit, standing_on[capture.hold][1]))
    accounts = await store.lock_accounts(tx, needs.accounts)
    # From here on nobody else can move these accounts, so what is read now is what will be true at the commit.
    stored = await store.load_outcomes(tx, needs.ids) if needs.ids else {}
    needs.wallets.update(a.facts.wallet for a in accounts.values() if a.facts.wallet is not None)
    known = {wallet: owner for wallet in needs.wallets if (owner := owners.get(wallet)) is not None}
    if len(known) < len(needs.wallets):
        learned = await store.load_owners(tx, needs.wallets - known.keys())
        owners.learn(learned)
        known |= learned
    books = Books(
        accounts=accounts,
        owners=known,
        holds=await store.load_holds(tx, needs.holds, accounts) if needs.holds else {},
        originals=await store.with_reversed(tx, originals, accounts) if originals else {},
        remembered={
            TransferKey(id_): Remembered(Content(outcome.fields, outcome.fingerprint), outcome.body)
            for id_, outcome in stored.items()
        },
    )
    return books, {id_: outcome.status for id_, outcome in stored.items()}


class Written(NamedTuple):
    """What a decided batch leaves behind, and what it answers."""

    answers: list[Answer]
    transfers: list[Transfer]
    entries: list[store.EntryRow]
    outcomes: list[store.OutcomeRow]
    events: list[store.EventRow]


def write(asked: Sequence[Asked], decided: Decided, statuses: dict[UUID, int], now: datetime) -> Written:
    """Turn outcomes into rows and answers."""
    written = Written([], [], [], [], [])
    fresh: dict[UUID, Rendered] = {}
    for one, outcome in zip(asked, decided.outcomes, strict=True):
        command = one.command
        if isinstance(outcome, Replayed):
            assert not isinstance(command, ReleaseHold | ExpireHold | ChangeStanding)
            written.answers.append(_repeated(command.id, outcome, fresh, statuses))
            continue
        rendered = render(outcome, one.request_id)
        refusal = outcome.code if isinstance(outcome, Refusal) else None
        written.answers.append(Answer(rendered.status, rendered.body, replayed=False, refusal=refusal))
        _facts(outcome, rendered.body, one, now, written)
        if isinstance(command, ReleaseHold | ExpireHold | ChangeStanding) or refusal is RefusalCode.ID_REUSED:
            continue
        fresh[command.id] = rendered
        written.outcomes.append(
            store.OutcomeRow(
                command.id, command.content.fingerprint, command.content.fields, rendered.status, rendered.body
            )
        )
    return written


def _repeated(id_: UUID, outcome: Replayed, fresh: dict[UUID, Rendered], statuses: dict[UUID, int]) -> Answer:
    stored = outcome.remembered.answer
    if isinstance(stored, bytes):
        return Answer(statuses[id_], stored, replayed=True)
    return Answer(*fresh[id_], replayed=True)


def _facts(outcome: Result, body: bytes, one: Asked, now: datetime, written: Written) -> None:
    """Collect the rows and events of an outcome that changed the books; ``body`` is its answer."""
    if isinstance(outcome, Posted):
        _transfer(outcome.transfer, outcome.entries, body, one, now, written)
    elif isinstance(outcome, HoldChanged) and outcome.entries:
        hold = outcome.hold
        written.entries.extend(store.EntryRow(entry, None, hold.id, now) for entry in outcome.entries)
        kind = _HOLD_EVENTS[hold.state]
        written.events.append(_event(kind, hold, b'{"hold":' + body + b"}", one, now))
    elif isinstance(outcome, Captured):
        transfer = dumps(transfer_body(outcome.transfer, outcome.entries))
        _transfer(outcome.transfer, outcome.entries, transfer, one, now, written)
        data = {
            "hold": hold_body(outcome.hold, outcome.account),
            "transfer": transfer_wire(outcome.transfer.id),
        }
        written.events.append(_event(HoldCaptured, outcome.hold, dumps(data), one, now))


def _transfer(
    transfer: Transfer, entries: tuple[Entry, ...], body: bytes, one: Asked, now: datetime, written: Written
) -> None:
    written.transfers.append(transfer)
    written.entries.extend(
        store.EntryRow(entry, transfer.id, transfer.hold, transfer.effective_at) for entry in entries
    )
    data = b'{"transfer":' + body + b"}"
    written.events.append(
        store.EventRow(
            uuid7(now),
            transfer_wire(transfer.id),
            TransferPosted.event_type,
            TransferPosted.data_version,
            data.decode(),
            one.traceparent,
        )
    )


def _event(kind: type[Event], hold: Hold, data: bytes, one: Asked, now: datetime) -> store.EventRow:
    aggregate = str(HoldId(hold.id))
    return store.EventRow(uuid7(now), aggregate, kind.event_type, kind.data_version, data.decode(), one.traceparent)


async def run(tx: store.Tx, asked: Sequence[Asked], owners: Owners, now: datetime) -> list[Answer]:
    """Load, decide and write one batch in the open transaction; gives one answer per command, in order."""
    books, statuses = await load(tx, [one.command for one in asked], owners)
    decided = apply(books, [one.command for one in asked], now)
    written = write(asked, decided, statuses, now)
    writes = store.Writes()
    store.save_accounts(writes, decided.accounts.values(), books.accounts, now)
    store.save_transfers(writes, written.transfers, now)
    store.save_unsealed(writes, written.transfers, now)
    store.save_entries(writes, written.entries, now)
    store.save_holds(writes, decided.holds.values())
    store.save_reversals(writes, decided.originals.values())
    store.save_outcomes(writes, written.outcomes, now)
    store.save_events(writes, written.events, now)
    await writes.send(tx)
    return written.answers
