"""The ledger's one pure function: `apply` runs commands, in order, on the accounts that they touch.

Reasons to refuse are looked for in the order of `RefusalCode`. The id comes first: a known id gives its old outcome or
`id-reused`, whatever else is wrong. Then comes what the command is about (a transfer to reverse, a hold), then the
parties of each posting in order, then the standing of all accounts, and last the amounts, posting by posting. A refused
command changes nothing.

From the line on where a command must succeed, assertions guard what every account promises; they stay on in production,
and the same promises stand in the database as CHECK constraints.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import HoldState, Layer, Standing
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_wallet.domain.books import (
    Account,
    AccountFacts,
    AccountKey,
    Entry,
    Hold,
    HoldKey,
    Movement,
    Original,
    Party,
    Posting,
    Transfer,
    TransferKey,
    unopened,
)
from ledgerlink_wallet.domain.content import differences
from ledgerlink_wallet.domain.orders import (
    Books,
    Captured,
    CaptureHold,
    ChangeStanding,
    Command,
    Decided,
    ExpireHold,
    HoldChanged,
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
    StandingChanged,
)
from ledgerlink_wallet.domain.parties import party_of


def apply(books: Books, commands: Sequence[Command], now: datetime) -> Decided:
    """Run ``commands`` in order on ``books`` at the moment ``now``; ``books`` itself is left as it was."""
    desk = _Desk(books, now)
    return Decided([desk.decide(command) for command in commands], desk.accounts, desk.holds, desk.originals)


class _Leg(NamedTuple):
    """A posting whose parties have been found; ``reverses_posting`` as in `Movement`."""

    debit: AccountFacts
    credit: AccountFacts
    amount_minor: int
    reverses_posting: int | None


class _Desk:
    """One batch at work: the books as loaded, and above them what the batch has changed so far."""

    def __init__(self, books: Books, now: datetime) -> None:
        self._books = books
        self._now = now
        self.accounts: dict[AccountKey, Account] = {}
        self.holds: dict[HoldKey, Hold] = {}
        self.originals: dict[TransferKey, Original] = {}
        self._remembered: dict[TransferKey | HoldKey, Remembered] = {}

    def decide(self, command: Command) -> Outcome:
        """Give the command's outcome, from memory where its id has one."""
        if isinstance(command, ReleaseHold | ExpireHold):
            return self._end_hold(command)
        if isinstance(command, ChangeStanding):
            return self._change_standing(command)
        before = self._remembered.get(command.id) or self._books.remembered.get(command.id)
        if before is not None:
            return _recall(before, command)
        result = self._carry_out(command)
        self._remembered[command.id] = Remembered(command.content, result)
        return result

    def _carry_out(self, command: RememberedCommand) -> Result:
        if isinstance(command, PostTransfer):
            return self._post_transfer(command)
        if isinstance(command, ReverseTransfer):
            return self._reverse(command)
        if isinstance(command, PlaceHold):
            return self._place_hold(command)
        return self._capture(command)

    # Looking up.

    def _account(self, facts: AccountFacts) -> Account:
        account = self.accounts.get(facts.id) or self._books.accounts.get(facts.id)
        return account if account is not None else unopened(facts)

    def _find(self, party: Party, currency: str, owner: str | None) -> AccountFacts | Refusal:
        """Give the facts of the account that ``party`` names, when it may be used for ``currency``.

        ``owner`` is set where a wallet must belong to somebody.
        """
        if party.account is None:
            return Refusal(
                RefusalCode.UNKNOWN_ACCOUNT_CODE,
                f"{party.asked!r} is no wallet, account id or code of the chart of accounts.",
                {"party": party.asked},
            )
        known = self._books.accounts.get(party.account)
        facts = known.facts if known is not None else party.opens
        if facts is None:
            return Refusal(RefusalCode.ACCOUNT_NOT_FOUND, f"There is no account {party.asked}.", {"party": party.asked})
        if facts.wallet is not None:
            owned_by = self._books.owners.get(facts.wallet)
            if owned_by is None or (owner is not None and owned_by != owner):
                return Refusal(
                    RefusalCode.WALLET_NOT_FOUND, f"There is no wallet {party.asked}.", {"party": party.asked}
                )
        if facts.currency != currency:
            return Refusal(
                RefusalCode.CURRENCY_MISMATCH,
                f"The account is in {facts.currency}, the amount in {currency}.",
                {"party": party.asked, "account_currency": facts.currency, "currency": currency},
            )
        return facts

    def _find_leg(self, posting: Posting, owner: str | None) -> _Leg | Refusal:
        debit = self._find(posting.debit, posting.currency, owner)
        if isinstance(debit, Refusal):
            return debit
        credit = self._find(posting.credit, posting.currency, None)
        if isinstance(credit, Refusal):
            return credit
        if debit.id == credit.id:
            return Refusal(
                RefusalCode.SAME_ACCOUNT, "A posting's debit and credit are one account.", {"party": debit.party}
            )
        return _Leg(debit, credit, posting.amount_minor, None)

    def _find_legs(self, postings: tuple[Posting, ...], owner: str | None) -> list[_Leg] | Refusal:
        legs: list[_Leg] = []
        for posting in postings:
            leg = self._find_leg(posting, owner)
            if isinstance(leg, Refusal):
                return leg
            legs.append(leg)
        return legs

    # Moving.

    def _move(
        self, legs: list[_Leg], at_hand: dict[AccountKey, Account] | None = None
    ) -> tuple[list[Entry], list[Movement]] | Refusal:
        """Post ``legs`` in order, all or none. ``at_hand`` holds accounts that the command has already changed."""
        for leg in legs:
            refusal = _standing(self._account(leg.debit)) or _standing(self._account(leg.credit))
            if refusal is not None:
                return refusal
        entries: list[Entry] = []
        movements: list[Movement] = []
        at_hand = {} if at_hand is None else at_hand
        for leg in legs:
            amount = leg.amount_minor
            debit = at_hand.get(leg.debit.id) or self._account(leg.debit)
            credit = at_hand.get(leg.credit.id) or self._account(leg.credit)
            refusal = _cannot_move(debit, Side.DEBIT, amount) or _cannot_move(credit, Side.CREDIT, amount)
            if refusal is not None:
                return refusal
            debit = _posted(debit, Side.DEBIT, amount)
            credit = _posted(credit, Side.CREDIT, amount)
            at_hand[leg.debit.id], at_hand[leg.credit.id] = debit, credit
            entries.append(Entry(Side.DEBIT, Layer.POSTED, amount, debit))
            entries.append(Entry(Side.CREDIT, Layer.POSTED, amount, credit))
            movements.append(
                Movement(
                    leg.debit,
                    debit.version,
                    leg.credit,
                    credit.version,
                    amount,
                    leg.debit.currency,
                    leg.reverses_posting,
                )
            )
        self.accounts.update(at_hand)
        return entries, movements

    def _post_transfer(self, command: PostTransfer) -> Result:
        legs = self._find_legs(command.postings, command.on_behalf_of)
        moved = legs if isinstance(legs, Refusal) else self._move(legs)
        if isinstance(moved, Refusal):
            return moved
        entries, movements = moved
        transfer = Transfer(
            command.id,
            command.kind,
            tuple(movements),
            command.on_behalf_of,
            command.reference,
            command.metadata,
            None,
            None,
            command.effective_at or self._now,
            self._now,
        )
        return Posted(transfer, tuple(entries))

    def _reverse(self, command: ReverseTransfer) -> Result:
        original = self.originals.get(command.transfer) or self._books.originals.get(command.transfer)
        if original is None:
            return Refusal(RefusalCode.TRANSFER_NOT_FOUND, "There is no such transfer.")
        if original.reverses is not None:
            return Refusal(
                RefusalCode.REVERSAL_OF_REVERSAL, "A reversal is not reversed; post the transfer once more instead."
            )
        undone = _undone(original, command.parts)
        if isinstance(undone, Refusal):
            return undone
        parts, total = undone
        legs = [
            _Leg(original.movements[number].credit, original.movements[number].debit, amount, number)
            # The last posting is undone first, so that what passed through an account passes back through it.
            for number, amount in reversed(parts)
        ]
        moved = self._move(legs)
        if isinstance(moved, Refusal):
            return moved
        entries, movements = moved
        assert all(0 <= done <= m.amount_minor for done, m in zip(total, original.movements, strict=True))
        self.originals[original.id] = original._replace(reversed_minor=total)
        transfer = Transfer(
            command.id,
            command.kind,
            tuple(movements),
            None,
            command.reference,
            command.metadata,
            original.id,
            None,
            self._now,
            self._now,
        )
        return Posted(transfer, tuple(entries))

    # Holds.

    def _place_hold(self, command: PlaceHold) -> Result:
        facts = self._find(command.wallet, command.currency, command.on_behalf_of)
        if isinstance(facts, Refusal):
            return facts
        if command.expires_at is not None and command.expires_at <= self._now:
            return Refusal(RefusalCode.HOLD_EXPIRES_IN_THE_PAST, "A hold's `expires_at` must lie in the future.")
        before = self._account(facts)
        refusal = _standing(before) or _cannot_spend(before, command.amount_minor)
        if refusal is not None:
            return refusal
        after = _pending(before, command.amount_minor)
        self.accounts[facts.id] = after
        hold = Hold(
            command.id,
            facts,
            HoldState.PLACED,
            command.amount_minor,
            0,
            command.amount_minor,
            command.expires_at,
            command.on_behalf_of,
            command.reference,
            self._now,
        )
        self.holds[hold.id] = hold
        return HoldChanged(hold, after, (Entry(_reserving(facts), Layer.PENDING, command.amount_minor, after),))

    def _find_hold(self, key: HoldKey) -> Hold | Refusal:
        hold = self.holds.get(key) or self._books.holds.get(key)
        return hold if hold is not None else Refusal(RefusalCode.HOLD_NOT_FOUND, "There is no such hold.")

    def _capture(self, command: CaptureHold) -> Result:
        hold = self._find_hold(command.hold)
        if isinstance(hold, Refusal):
            return hold
        facts = hold.account
        amount = command.amount_minor if command.amount_minor is not None else hold.remaining_minor
        refusal = _not_placed(hold, self._now) or _exceeds(hold, amount)
        if refusal is not None:
            return refusal
        itself = Party(facts.party, facts.id, facts)
        credit = party_of(command.credit, facts.currency)
        legs = self._find_legs((Posting(itself, credit, amount, facts.currency), *command.postings), None)
        if isinstance(legs, Refusal):
            return legs
        freed = hold.remaining_minor if command.final else amount
        released = _pending(self._account(facts), -freed)
        moved = self._move(legs, {facts.id: released})
        if isinstance(moved, Refusal):
            return moved
        entries, movements = moved
        left = hold.remaining_minor - freed
        hold = hold._replace(
            state=HoldState.PLACED if left else HoldState.CAPTURED,
            captured_minor=hold.captured_minor + amount,
            remaining_minor=left,
        )
        assert 0 < hold.captured_minor <= hold.amount_minor
        assert hold.captured_minor + hold.remaining_minor <= hold.amount_minor
        self.holds[hold.id] = hold
        transfer = Transfer(
            command.id,
            command.kind,
            tuple(movements),
            hold.on_behalf_of,
            command.reference,
            command.metadata,
            None,
            hold.id,
            self._now,
            self._now,
        )
        first = Entry(_reserving(facts), Layer.RELEASED, freed, released)
        return Captured(hold, self._account(facts), transfer, (first, *entries))

    def _end_hold(self, command: ReleaseHold | ExpireHold) -> Result:
        hold = self._find_hold(command.hold)
        if isinstance(hold, Refusal):
            return hold
        ended = HoldState.RELEASED if isinstance(command, ReleaseHold) else HoldState.EXPIRED
        before = self._account(hold.account)
        if hold.state is ended:
            return HoldChanged(hold, before, ())
        if isinstance(command, ExpireHold) and (hold.expires_at is None or hold.expires_at > self._now):
            return Refusal(RefusalCode.HOLD_NOT_PLACED, "The hold's time has not come.", {"state": hold.state.value})
        refusal = _not_placed(hold, self._now) if ended is HoldState.RELEASED else _not_placed(hold, None)
        if refusal is not None:
            return refusal
        freed = hold.remaining_minor
        after = _pending(before, -freed)
        self.accounts[hold.account.id] = after
        hold = hold._replace(state=ended, remaining_minor=0)
        self.holds[hold.id] = hold
        return HoldChanged(hold, after, (Entry(_reserving(hold.account), Layer.RELEASED, freed, after),))

    # Accounts.

    def _change_standing(self, command: ChangeStanding) -> Result:
        account = self.accounts.get(command.account) or self._books.accounts.get(command.account)
        if account is None:
            return Refusal(RefusalCode.ACCOUNT_NOT_FOUND, "There is no such account.")
        if account.standing is Standing.CLOSED and command.standing is not Standing.CLOSED:
            return Refusal(RefusalCode.ACCOUNT_CLOSED, "A closed account stays closed.")
        if command.standing is Standing.CLOSED and (account.posted_minor or account.pending_minor):
            return Refusal(
                RefusalCode.ACCOUNT_NOT_EMPTY,
                "Only an account whose balances are zero can be closed.",
                {"posted_minor": account.posted_minor, "pending_minor": account.pending_minor},
            )
        account = account._replace(standing=command.standing)
        self.accounts[command.account] = account
        return StandingChanged(account)


def _recall(before: Remembered, command: RememberedCommand) -> Outcome:
    differs = differences(before.content.fields, command.content.fields)
    if not differs:
        return Replayed(before)
    return Refusal(
        RefusalCode.ID_REUSED,
        "The id (or the Idempotency-Key that makes it) was used before for something else.",
        {"differs": differs},
    )


def _standing(account: Account) -> Refusal | None:
    if account.standing is Standing.OPEN:
        return None
    code = RefusalCode.ACCOUNT_FROZEN if account.standing is Standing.FROZEN else RefusalCode.ACCOUNT_CLOSED
    return Refusal(code, f"The account is {account.standing}.", {"party": account.facts.party})


def _reserving(facts: AccountFacts) -> Side:
    """Give the side on which a hold waits: the one that lowers the balance."""
    return Side.DEBIT if facts.normal_side is Side.CREDIT else Side.CREDIT


def _cannot_spend(account: Account, amount: int) -> Refusal | None:
    available = account.available_minor
    if account.facts.may_overdraw or amount <= available:
        return None
    return Refusal(
        RefusalCode.INSUFFICIENT_FUNDS,
        f"The available amount is {available} minor units of {account.facts.currency}, less than {amount}.",
        {"available_minor": available, "currency": account.facts.currency, "party": account.facts.party},
    )


def _cannot_move(account: Account, side: Side, amount: int) -> Refusal | None:
    if side is not account.facts.normal_side:
        refusal = _cannot_spend(account, amount)
        if refusal is not None:
            return refusal
    total = (account.debits_posted if side is Side.DEBIT else account.credits_posted) + amount
    if total <= MAX_MINOR:
        return None
    return Refusal(
        RefusalCode.BALANCE_LIMIT,
        f"The account's {side}s would pass {MAX_MINOR} minor units.",
        {"party": account.facts.party, "limit_minor": MAX_MINOR},
    )


def _posted(before: Account, side: Side, amount: int) -> Account:
    facts, standing, debits, credits_, debits_pending, credits_pending, version = before
    assert standing is Standing.OPEN
    assert 0 < amount <= MAX_MINOR
    if side is Side.DEBIT:
        debits += amount
    else:
        credits_ += amount
    after = Account(facts, standing, debits, credits_, debits_pending, credits_pending, version + 1)
    assert debits <= MAX_MINOR
    assert credits_ <= MAX_MINOR
    assert facts.may_overdraw or after.available_minor >= 0
    return after


def _pending(before: Account, amount: int) -> Account:
    """Reserve ``amount``, or give it back when it is below zero."""
    facts, standing, debits, credits_, debits_pending, credits_pending, version = before
    if facts.normal_side is Side.CREDIT:
        debits_pending += amount
    else:
        credits_pending += amount
    after = Account(facts, standing, debits, credits_, debits_pending, credits_pending, version + 1)
    assert debits_pending >= 0
    assert credits_pending >= 0
    assert facts.may_overdraw or after.available_minor >= 0
    return after


def _not_placed(hold: Hold, now: datetime | None) -> Refusal | None:
    """Refuse when ``hold`` has ended; one past its time counts as expired when ``now`` is given."""
    state = hold.state
    if state is HoldState.PLACED and now is not None and hold.expires_at is not None and hold.expires_at <= now:
        state = HoldState.EXPIRED
    if state is HoldState.PLACED:
        return None
    return Refusal(RefusalCode.HOLD_NOT_PLACED, f"The hold is {state}.", {"state": state.value})


def _exceeds(hold: Hold, amount: int) -> Refusal | None:
    if amount <= hold.remaining_minor:
        return None
    return Refusal(
        RefusalCode.HOLD_EXCEEDED,
        f"{hold.remaining_minor} minor units are left of the hold, less than {amount}.",
        {"remaining_minor": hold.remaining_minor, "currency": hold.account.currency},
    )


def _undone(
    original: Original, parts: tuple[tuple[int, int], ...] | None
) -> tuple[list[tuple[int, int]], tuple[int, ...]] | Refusal:
    """Give the parts to reverse (posting number, amount), and how much of each posting is then reversed in all."""
    left = [m.amount_minor - done for m, done in zip(original.movements, original.reversed_minor, strict=True)]
    asked = list(parts) if parts is not None else [(number, amount) for number, amount in enumerate(left) if amount]
    if not asked:
        return Refusal(RefusalCode.REVERSAL_EXCEEDED, "All of it has been reversed.", {"reversible_minor": 0})
    total = list(original.reversed_minor)
    for number, amount in asked:
        reversible = left[number] if number < len(left) else 0
        if amount > reversible:
            return Refusal(
                RefusalCode.REVERSAL_EXCEEDED,
                f"{reversible} minor units of posting {number} can still be reversed, less than {amount}.",
                {"posting": number, "reversible_minor": reversible},
            )
        left[number] -= amount
        total[number] += amount
    return asked, tuple(total)
