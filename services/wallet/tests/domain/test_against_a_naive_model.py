"""Proves that any run of commands leaves the books as a naive model of signed numbers has them, whatever the order.

After each step: debits equal credits, every account is the fold of its entries, versions are gapless, what is pending
is what open holds reserve, and no wallet is below zero.
"""

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

from ledgerlink_contracts.ids import AccountId, WalletId
from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import HoldState, Layer
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
    Books,
    Captured,
    CaptureHold,
    Command,
    ExpireHold,
    GroupDecided,
    HoldChanged,
    Outcome,
    PlaceHold,
    Posted,
    PostTransfer,
    Refusal,
    ReleaseHold,
    Remembered,
    Replayed,
    ReverseTransfer,
    Tried,
)
from ledgerlink_wallet.domain.parties import account_wire, party_of

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
WALLETS = [WalletKey(uuid8("wallet", str(number))) for number in range(3)]
WIRES = [str(WalletId(wallet)) for wallet in WALLETS]
PARTIES = [*WIRES, "world", "merchant:a", "clearing:sandbox"]
CREDIT_NORMAL = {*WIRES, "merchant:a"}

NOTHING: MultipleResults[Any] = multiple()

parties = st.sampled_from(PARTIES)
amounts = st.integers(1, 60)
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
        self.naive_holds: dict[HoldKey, NaiveHold] = {}
        self.undone: dict[TransferKey, list[list[int]]] = {}
        self.legs: dict[TransferKey, list[tuple[str, str, int]]] = {}

    def run(self, *commands: Command) -> list[Outcome]:
        decided = apply(self.books, commands, self.now)
        remembered = dict(self.books.remembered)
        originals = {**self.books.originals, **decided.originals}
        for command, outcome in zip(commands, decided.outcomes, strict=True):
            if isinstance(outcome, Replayed) or isinstance(command, ReleaseHold | ExpireHold):
                pass
            elif isinstance(command, PostTransfer | ReverseTransfer | PlaceHold | CaptureHold):
                assert not isinstance(outcome, GroupDecided | Tried)
                remembered[command.id] = Remembered(command.content, outcome)
            if isinstance(outcome, Posted | Captured):
                made = outcome.transfer
                zeros = (0,) * len(made.movements)
                originals[made.id] = Original(made.id, made.reverses, made.movements, zeros)
            if isinstance(outcome, Posted | Captured | HoldChanged):
                self.entries.extend(outcome.entries)
        self.books = replace(
            self.books,
            accounts={**self.books.accounts, **decided.accounts},
            holds={**self.books.holds, **decided.holds},
            originals=originals,
            remembered=remembered,
        )
        return decided.outcomes

    def fresh(self) -> TransferKey:
        self.count += 1
        return TransferKey(uuid8("id", str(self.count)))

    # The model's own rules, in its own words.

    def available(self, party: str) -> int:
        held = sum(h.left for h in self.naive_holds.values() if h.wallet == party and h.state == "placed")
        return self.posted[party] - held

    def try_move(self, legs: list[tuple[str, str, int]]) -> bool:
        before = dict(self.posted)
        for debit, credit, amount in legs:
            if debit in WIRES and self.available(debit) < amount:
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
        return PostTransfer(key, content_of(repr(legs).replace("'", '"').encode()), "test", made)

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
            assert outcome.code is RefusalCode.INSUFFICIENT_FUNDS
            return NOTHING
        assert isinstance(outcome, Posted)
        self.remember(key, legs)
        return key

    @rule(key=transfers)
    def post_again(self, key: TransferKey) -> None:
        if key in self.legs:
            (outcome,) = self.run(self.order(key, self.legs[key]))
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
        if self.available(wallet) < amount:
            assert isinstance(outcome, Refusal)
            return NOTHING
        assert isinstance(outcome, HoldChanged)
        self.naive_holds[key] = NaiveHold(wallet, amount, expires_at)
        return key

    @rule(key=holds, credit=st.sampled_from(["merchant:a", *WIRES]), amount=st.none() | amounts, final=st.booleans())
    def capture(self, key: HoldKey, credit: str, amount: int | None, final: bool) -> None:
        command = CaptureHold(self.fresh(), content_of(b"{}"), key, "test", credit, amount, final)
        (outcome,) = self.run(command)
        naive = self.naive_holds[key]
        taken = naive.left if amount is None else amount
        expired = naive.expires_at is not None and naive.expires_at <= self.now
        if naive.state != "placed" or expired or taken > naive.left or credit == naive.wallet:
            assert isinstance(outcome, Refusal)
            return
        assert isinstance(outcome, Captured)
        naive.left = 0 if final else naive.left - taken
        naive.state = "placed" if naive.left else "captured"
        assert self.try_move([(naive.wallet, credit, taken)])
        assert outcome.hold.state.value == naive.state

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

    # What must hold after every step.

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


def test_the_fold_moves_each_column_in_its_own_direction() -> None:
    columns = EMPTY
    for side in Side:
        for layer, amount in ((Layer.POSTED, 5), (Layer.PENDING, 3), (Layer.RELEASED, 1)):
            columns = fold(columns, side, layer, amount)

    assert columns == (5, 5, 2, 2)


def test_an_account_is_written_for_the_wire_as_its_typed_id() -> None:
    key = uuid8("account")

    assert account_wire(key) == str(AccountId(key))
