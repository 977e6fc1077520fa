"""Proves that any run of commands leaves the books as a naive model of signed numbers has them, whatever the order.

Every command takes part: transfers, reversals in parts, holds with several captures, releases and expiry, accounts
that are opened with bounds, frozen and closed, conditions, linked groups and dry runs. After each step: debits equal
credits, every account is the fold of its entries, versions are gapless, what is pending is what open holds reserve, and
every account keeps to its floor and ceiling.
"""

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from ledgerlink_contracts.ids import WalletId
from ledgerlink_contracts.wallet.models import HoldState, Predicate, Standing
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_kit.ids import uuid8
from ledgerlink_wallet.domain.apply import apply
from ledgerlink_wallet.domain.books import (
    AccountKey,
    Entry,
    HoldKey,
    Original,
    Posting,
    TransferKey,
    WalletKey,
)
from ledgerlink_wallet.domain.content import content_of
from ledgerlink_wallet.domain.fold import EMPTY, Columns, fold
from ledgerlink_wallet.domain.orders import (
    AccountOpened,
    Books,
    Captured,
    CaptureHold,
    ChangeStanding,
    Command,
    Condition,
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
    ReverseTransfer,
    StandingChanged,
    Tried,
)
from ledgerlink_wallet.domain.parties import party_of

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
WALLETS = [WalletKey(uuid8("wallet", str(number))) for number in range(3)]
WIRES = [str(WalletId(wallet)) for wallet in WALLETS]
BOUNDED = ["merchant:b", "bank", "revenue:fees"]
PARTIES = [*WIRES, "world", "merchant:a", "clearing:sandbox", *BOUNDED]
CREDIT_NORMAL = {*WIRES, "merchant:a", "merchant:b", "revenue:fees"}

FOR_AMOUNTS_OR_STANDING = {
    RefusalCode.ACCOUNT_FROZEN,
    RefusalCode.ACCOUNT_CLOSED,
    RefusalCode.INSUFFICIENT_FUNDS,
    RefusalCode.FLOOR,
    RefusalCode.CEILING,
}

NOTHING: MultipleResults[Any] = multiple()

parties = st.sampled_from(PARTIES)
amounts = st.integers(1, 60)
predicates = st.sampled_from(list(Predicate))
postings_ = st.lists(st.tuples(parties, parties, amounts), min_size=1, max_size=4)


@dataclass
class NaiveHold:
    wallet: str
    left: int
    expires_at: datetime | None
    state: str = "placed"


class Ledger(RuleBasedStateMachine):
    """The ledger, one batch a step, beside the model."""

    transfers = Bundle("transfers")
    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.books = Books(owners=dict.fromkeys(WALLETS, "alice"))
        self.now = START
        self.entries: list[Entry] = []
        self.count = 0
        # The model.
        self.posted: dict[str, int] = dict.fromkeys(PARTIES, 0)
        self.standing: dict[str, str] = dict.fromkeys(PARTIES, "open")
        self.bounds: dict[str, tuple[int | None, int | None]] = dict.fromkeys(PARTIES, (None, None))
        self.naive_holds: dict[HoldKey, NaiveHold] = {}
        self.undone: dict[TransferKey, list[list[int]]] = {}
        self.captures: set[TransferKey] = set()
        self.legs: dict[TransferKey, list[tuple[str, str, int]]] = {}

    def run(self, *commands: Command) -> list[Outcome]:
        decided = apply(self.books, commands, self.now)
        self.remembered = dict(self.books.remembered)
        self.originals = {**self.books.originals, **decided.originals}
        for command, outcome in zip(commands, decided.outcomes, strict=True):
            self.note(command, outcome)
        self.books = replace(
            self.books,
            accounts={**self.books.accounts, **decided.accounts},
            holds={**self.books.holds, **decided.holds},
            originals=self.originals,
            remembered=self.remembered,
        )
        return decided.outcomes

    def note(self, command: Command, outcome: Outcome) -> None:
        """Keep what the committer would store."""
        if isinstance(outcome, GroupDecided):
            assert isinstance(command, LinkedGroup)
            for item, part in zip(command.commands, outcome.outcomes, strict=True):
                self.note(item, part)
        elif not isinstance(outcome, Replayed | Tried):
            spent = isinstance(outcome, Refusal) and outcome.code is RefusalCode.ID_REUSED
            if isinstance(command, PostTransfer | ReverseTransfer | PlaceHold | CaptureHold) and not spent:
                self.remembered[command.id] = Remembered(command.content, outcome)
            if isinstance(outcome, Posted | Captured):
                made = outcome.transfer
                zeros = (0,) * len(made.movements)
                # A later command of the same batch may have reversed some of it already.
                self.originals.setdefault(made.id, Original(made.id, made.reverses, made.movements, zeros))
            if isinstance(outcome, Posted | Captured | HoldChanged):
                self.entries.extend(outcome.entries)

    def fresh(self) -> TransferKey:
        self.count += 1
        return TransferKey(uuid8("id", str(self.count)))

    # The model's own rules, in its own words.

    def floor(self, party: str) -> int | None:
        if self.bounds[party][0] is not None:
            return self.bounds[party][0]
        return 0 if party in WIRES else None

    def may_move(self, debit: str, credit: str, amount: int) -> bool:
        for party, grows in ((debit, debit not in CREDIT_NORMAL), (credit, credit in CREDIT_NORMAL)):
            floor, ceiling = self.floor(party), self.bounds[party][1]
            if not grows and floor is not None and self.available(party) - amount < floor:
                return False
            if grows and ceiling is not None and self.posted[party] + amount > ceiling:
                return False
        return True

    def stands_open(self, *asked: str) -> bool:
        return all(self.standing[party] == "open" for party in asked)

    def available(self, party: str) -> int:
        held = sum(h.left for h in self.naive_holds.values() if h.wallet == party and h.state == "placed")
        return self.posted[party] - held

    def try_move(self, legs: list[tuple[str, str, int]]) -> bool:
        before = dict(self.posted)
        if not self.stands_open(*(party for debit, credit, _ in legs for party in (debit, credit))):
            return False
        for debit, credit, amount in legs:
            if not self.may_move(debit, credit, amount):
                self.posted = before
                return False
            self.posted[debit] += -amount if debit in CREDIT_NORMAL else amount
            self.posted[credit] += amount if credit in CREDIT_NORMAL else -amount
        return True

    # Steps.

    @initialize(target=transfers)
    def fund(self) -> TransferKey:
        key = self.fresh()
        legs = [("world", wire, 100) for wire in WIRES]
        self.run(self.order(key, legs))
        self.try_move(legs)
        self.remember(key, legs)
        return key

    def order(self, key: TransferKey, legs: list[tuple[str, str, int]]) -> PostTransfer:
        made = tuple(Posting(party_of(d, "GBP"), party_of(c, "GBP"), amount, "GBP") for d, c, amount in legs)
        return PostTransfer(key, content_of(json.dumps(legs).encode()), "test", made)

    def remember(self, key: TransferKey, legs: list[tuple[str, str, int]]) -> None:
        self.legs[key] = legs
        self.undone[key] = [[amount, 0] for _, _, amount in legs]

    @rule(target=transfers, legs=postings_)
    def post(self, legs: list[tuple[str, str, int]]) -> object:
        key = self.fresh()
        (outcome,) = self.run(self.order(key, legs))
        if any(debit == credit for debit, credit, _ in legs):
            assert isinstance(outcome, Refusal)
            assert outcome.code is RefusalCode.SAME_ACCOUNT
            return NOTHING
        if not self.try_move(legs):
            assert isinstance(outcome, Refusal)
            assert outcome.code in FOR_AMOUNTS_OR_STANDING
            return NOTHING
        assert isinstance(outcome, Posted)
        self.remember(key, legs)
        return key

    @rule(key=transfers)
    def post_again(self, key: TransferKey) -> None:
        (outcome,) = self.run(self.order(key, self.legs[key]))
        if key in self.captures:
            assert isinstance(outcome, Refusal)
            assert outcome.code is RefusalCode.ID_REUSED
        else:
            assert isinstance(outcome, Replayed)

    @rule(key=transfers, amount=st.none() | amounts, posting=st.integers(0, 3))
    def reverse(self, key: TransferKey, amount: int | None, posting: int) -> None:
        parts = None if amount is None else ((posting, amount),)
        command = ReverseTransfer(self.fresh(), content_of(b"{}"), key, "reversal", parts)
        (outcome,) = self.run(command)
        undone = self.undone[key]
        asked = [(i, whole - done) for i, (whole, done) in enumerate(undone) if whole > done]
        if amount is not None:
            asked = [(posting, amount)]
        fits = bool(asked) and all(i < len(undone) and undone[i][1] + a <= undone[i][0] for i, a in asked)
        legs = [(self.legs[key][i][1], self.legs[key][i][0], a) for i, a in reversed(asked)] if fits else []
        if not fits or not self.try_move(legs):
            assert isinstance(outcome, Refusal)
            return
        assert isinstance(outcome, Posted)
        for i, a in asked:
            undone[i][1] += a

    @rule(target=holds, wallet=st.sampled_from(WIRES), amount=amounts, life=st.none() | st.integers(1, 5))
    def place(self, wallet: str, amount: int, life: int | None) -> object:
        expires_at = None if life is None else self.now + timedelta(seconds=life)
        key = HoldKey(self.fresh())
        command = PlaceHold(key, content_of(b"{}"), party_of(wallet, "GBP"), amount, "GBP", expires_at)
        (outcome,) = self.run(command)
        if self.available(wallet) < amount or not self.stands_open(wallet):
            assert isinstance(outcome, Refusal)
            return NOTHING
        assert isinstance(outcome, HoldChanged)
        self.naive_holds[key] = NaiveHold(wallet, amount, expires_at)
        return key

    @rule(
        target=transfers,
        key=holds,
        credit=st.sampled_from(["merchant:a", *WIRES]),
        amount=st.none() | amounts,
        final=st.booleans(),
    )
    def capture(self, key: HoldKey, credit: str, amount: int | None, final: bool) -> object:
        command = CaptureHold(self.fresh(), content_of(b"{}"), key, "test", credit, amount, final)
        (outcome,) = self.run(command)
        naive = self.naive_holds[key]
        taken = naive.left if amount is None else amount
        expired = naive.expires_at is not None and naive.expires_at <= self.now
        if naive.state != "placed" or expired or taken > naive.left or credit == naive.wallet:
            assert isinstance(outcome, Refusal)
            return NOTHING
        left = naive.left
        naive.left = 0 if final else naive.left - taken
        if not self.try_move([(naive.wallet, credit, taken)]):
            naive.left = left
            assert isinstance(outcome, Refusal)
            return NOTHING
        assert isinstance(outcome, Captured)
        naive.state = "placed" if naive.left else "captured"
        assert outcome.hold.state.value == naive.state
        self.remember(command.id, [(naive.wallet, credit, taken)])
        self.captures.add(command.id)
        return command.id

    @rule(key=consumes(holds))
    def release(self, key: HoldKey) -> None:
        naive = self.naive_holds[key]
        expired = naive.expires_at is not None and naive.expires_at <= self.now
        (outcome,) = self.run(ReleaseHold(key))
        if naive.state == "released":
            assert isinstance(outcome, HoldChanged)
        elif naive.state != "placed" or expired:
            assert isinstance(outcome, Refusal)
        else:
            assert isinstance(outcome, HoldChanged)
            naive.left, naive.state = 0, "released"

    @rule(seconds=st.integers(1, 4))
    def time_passes_and_due_holds_expire(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        due = [
            key
            for key, hold in self.books.holds.items()
            if hold.state is HoldState.PLACED and hold.expires_at is not None and hold.expires_at <= self.now
        ]
        for outcome in self.run(*(ExpireHold(key) for key in due)):
            assert isinstance(outcome, HoldChanged)
        for key in due:
            self.naive_holds[key].left, self.naive_holds[key].state = 0, "expired"

    @rule(party=st.sampled_from(BOUNDED), floor=st.none() | st.integers(-50, 0), ceiling=st.none() | amounts)
    def open_with_bounds(self, party: str, floor: int | None, ceiling: int | None) -> None:
        asked = party_of(party, "GBP")
        stands = asked.account in self.books.accounts
        (outcome,) = self.run(OpenAccount(asked, "GBP", floor, ceiling))
        if stands and self.bounds[party] != (floor, ceiling):
            assert isinstance(outcome, Refusal)
            assert outcome.code is RefusalCode.ACCOUNT_EXISTS
            return
        assert isinstance(outcome, AccountOpened)
        assert outcome.fresh is not stands
        self.bounds[party] = (floor, ceiling)

    @rule(party=st.sampled_from(PARTIES), standing=st.sampled_from([Standing.OPEN, Standing.FROZEN, Standing.CLOSED]))
    def change_standing(self, party: str, standing: Standing) -> None:
        key = party_of(party, "GBP").account
        assert key is not None
        (outcome,) = self.run(ChangeStanding(key, standing))
        empty = self.posted[party] == 0 and self.available(party) == 0
        if key not in self.books.accounts:
            assert isinstance(outcome, Refusal)
        elif self.standing[party] == "closed" and standing is not Standing.CLOSED:
            assert isinstance(outcome, Refusal)
            assert outcome.code is RefusalCode.ACCOUNT_CLOSED
        elif standing is Standing.CLOSED and not empty:
            assert isinstance(outcome, Refusal)
            assert outcome.code is RefusalCode.ACCOUNT_NOT_EMPTY
        else:
            assert isinstance(outcome, StandingChanged)
            self.standing[party] = standing.value

    @rule()
    def thaw_all(self) -> None:
        for party in PARTIES:
            if self.standing[party] == "frozen":
                self.change_standing(party, Standing.OPEN)

    @rule(leg=st.tuples(parties, parties, amounts), party=parties, predicate=predicates, value=st.integers(-40, 140))
    def post_on_condition(self, leg: tuple[str, str, int], party: str, predicate: Predicate, value: int) -> None:
        if leg[0] == leg[1]:
            return
        account = party_of(party, "GBP")
        known = self.books.accounts.get(account.account or AccountKey(uuid8("none")))
        condition = Condition(account, "GBP", predicate, value)
        (outcome,) = self.run(replace(self.order(self.fresh(), [leg]), conditions=(condition,)))
        available, posted = self.available(party), self.posted[party]
        holds = {
            Predicate.VERSION: (known.version if known else 0) == value,
            Predicate.AVAILABLE_AT_LEAST: available >= value,
            Predicate.AVAILABLE_AT_MOST: available <= value,
            Predicate.POSTED_AT_LEAST: posted >= value,
            Predicate.POSTED_AT_MOST: posted <= value,
            Predicate.PENDING_AT_LEAST: posted - available >= value,
            Predicate.PENDING_AT_MOST: posted - available <= value,
        }[predicate]
        if not self.stands_open(*leg[:2]):
            assert isinstance(outcome, Refusal)
            assert outcome.code in {RefusalCode.ACCOUNT_FROZEN, RefusalCode.ACCOUNT_CLOSED}
        elif not holds:
            assert isinstance(outcome, Refusal)
            assert outcome.code is RefusalCode.CONDITION_FAILED
        elif self.try_move([leg]):
            assert isinstance(outcome, Posted)
        else:
            assert isinstance(outcome, Refusal)

    @rule(
        each=st.lists(postings_, min_size=1, max_size=3),
        wallet=st.sampled_from(WIRES),
        reserved=st.none() | amounts,
        taken=amounts,
        undo=st.booleans(),
    )
    def post_a_group(
        self, each: list[list[tuple[str, str, int]]], wallet: str, reserved: int | None, taken: int, undo: bool
    ) -> None:
        """Transfers, then perhaps a hold that is captured in part and released by the same, and a reversal."""
        keys = [self.fresh() for _ in each]
        commands: list[RememberedCommand] = [self.order(key, legs) for key, legs in zip(keys, each, strict=True)]
        hold = HoldKey(self.fresh())
        if reserved is not None:
            commands.append(PlaceHold(hold, content_of(b"[1]"), party_of(wallet, "GBP"), reserved, "GBP"))
            commands.append(CaptureHold(self.fresh(), content_of(b"[2]"), hold, "test", "merchant:a", taken))
        if undo:
            commands.append(ReverseTransfer(self.fresh(), content_of(b"[3]"), keys[0], "reversal"))
        group = LinkedGroup(tuple(commands))

        tried, first, again = self.run(DryRun(group), group, group)

        assert isinstance(first, GroupDecided)
        assert tried == Tried(first)
        assert isinstance(again, GroupDecided)
        for part, outcome in zip(again.outcomes, first.outcomes, strict=True):
            assert isinstance(part, Replayed)
            assert part.remembered.answer == outcome
        refused = [outcome.code for outcome in first.outcomes if isinstance(outcome, Refusal)]
        before = dict(self.posted)
        done = all(d != c for legs in each for d, c, _ in legs) and all(self.try_move(legs) for legs in each)
        if done and reserved is not None:
            fits = self.available(wallet) >= reserved >= taken and self.stands_open(wallet)
            done = fits and self.try_move([(wallet, "merchant:a", taken)])
        if done and undo:
            done = self.try_move([(credit, debit, amount) for debit, credit, amount in reversed(each[0])])
        if done:
            assert refused == []
            if reserved is not None:
                self.naive_holds[hold] = NaiveHold(wallet, 0, None, "captured")
        else:
            self.posted = before
            assert len(refused) == len(commands)
            assert len([code for code in refused if code is not RefusalCode.LINKED_REFUSED]) == 1

    @rule(legs=postings_)
    def try_and_leave_no_trace(self, legs: list[tuple[str, str, int]]) -> None:
        key, before = self.fresh(), self.books
        (tried,) = self.run(DryRun(self.order(key, legs)))
        assert isinstance(tried, Tried)
        assert self.books == before
        assert apply(self.books, [self.order(key, legs)], self.now).outcomes == [tried.outcome]

    # What must hold after every step.

    @invariant()
    def every_account_keeps_to_its_bounds(self) -> None:
        for account in self.books.accounts.values():
            floor, ceiling = self.floor(account.facts.party), self.bounds[account.facts.party][1]
            assert floor is None or account.available_minor >= floor
            assert ceiling is None or account.posted_minor <= ceiling

    @invariant()
    def the_books_are_as_the_model_has_them(self) -> None:
        for account in self.books.accounts.values():
            assert account.posted_minor == self.posted[account.facts.party]
            assert account.available_minor == self.available(account.facts.party)

    @invariant()
    def debits_equal_credits(self) -> None:
        accounts = self.books.accounts.values()
        assert sum(a.debits_posted for a in accounts) == sum(a.credits_posted for a in accounts)

    @invariant()
    def every_account_is_the_fold_of_its_entries(self) -> None:
        columns: dict[AccountKey, tuple[Columns, int]] = dict.fromkeys(self.books.accounts, (EMPTY, 0))
        for side, layer, amount, after in self.entries:
            key: AccountKey = after.facts.id
            folded, version = columns[key]
            assert after.version == version + 1
            columns[key] = (fold(folded, side, layer, amount), after.version)
        for key, account in self.books.accounts.items():
            assert columns[key] == (tuple(account[2:6]), account.version)

    @invariant()
    def pending_is_what_open_holds_reserve(self) -> None:
        for wallet in WIRES:
            account = self.books.accounts.get(party_of(wallet, "GBP").account or AccountKey(uuid8("none")))
            held = sum(
                h.remaining_minor
                for h in self.books.holds.values()
                if h.account.party == wallet and h.state is HoldState.PLACED
            )
            assert (account.pending_minor if account else 0) == held


Ledger.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestTheLedgerAgainstANaiveModel = Ledger.TestCase
