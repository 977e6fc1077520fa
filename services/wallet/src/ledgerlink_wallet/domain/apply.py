"""The ledger's one pure function: `apply` runs commands, in order, on the accounts that they touch.

Reasons to refuse are looked for in the order of `RefusalCode`. The id comes first: a known id gives its old outcome or
`id-reused`, whatever else is wrong. Then comes what the command is about (a transfer to reverse, a hold), then the
parties of each posting in order and of each condition, then the standing of all accounts, then the conditions, then
what an owner may spend, and last the amounts, posting by posting. A refused command changes nothing. When one command
of a linked group is refused, the others are as `linked-refused`.

From the line on where a command must succeed, assertions guard what every account promises; they stay on in production,
and the same promises stand in the database as CHECK constraints.
"""

from collections import ChainMap
from collections.abc import Sequence
from datetime import datetime

from ledgerlink_contracts.wallet.models import HoldState, Layer, Standing
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_wallet.domain.accounts import opened, restood
from ledgerlink_wallet.domain.allowances import allow
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
    WalletKey,
)
from ledgerlink_wallet.domain.bounds import cannot_spend, expired, not_open, pending, reserving
from ledgerlink_wallet.domain.conditions import Check, failed
from ledgerlink_wallet.domain.content import recall
from ledgerlink_wallet.domain.finding import find, first_use
from ledgerlink_wallet.domain.groups import link
from ledgerlink_wallet.domain.holds import exceeds, not_placed
from ledgerlink_wallet.domain.legs import Leg, post, spent
from ledgerlink_wallet.domain.orders import (
    AccountOpened,
    Allowance,
    Books,
    Captured,
    CaptureHold,
    ChangeStanding,
    ChangeWalletStanding,
    Command,
    Condition,
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
    Result,
    ReverseTransfer,
    StandingChanged,
    Tried,
    WalletStandingChanged,
)
from ledgerlink_wallet.domain.parties import party_of
from ledgerlink_wallet.domain.reversals import undone
from ledgerlink_wallet.domain.wallets import restood_wallet


def apply(books: Books, commands: Sequence[Command], now: datetime) -> Decided:
    """Run ``commands`` in order on ``books`` at the moment ``now``; ``books`` itself is left as it was."""
    desk = _Desk(books, now)
    outcomes = [desk.decide(command) for command in commands]
    return Decided(outcomes, desk.accounts, desk.holds, desk.originals, desk.restood, desk.allowances)


_REMEMBERED = (PostTransfer, ReverseTransfer, PlaceHold, CaptureHold)


class _Desk:
    """One batch at work: the books as loaded, and above them what the batch has changed so far."""

    def __init__(self, books: Books, now: datetime) -> None:
        self._books = books
        self._now = now
        self.accounts: dict[AccountKey, Account] = {}
        self.holds: dict[HoldKey, Hold] = {}
        self.originals: dict[TransferKey, Original] = {}
        self.remembered: dict[TransferKey | HoldKey, Remembered] = {}
        self.restood: dict[WalletKey, Standing] = {}
        self.allowances: dict[AccountKey, Allowance] = {}

    def decide(self, command: Command) -> Outcome:
        """Give the command's outcome, from memory where its id has one."""
        if not isinstance(command, _REMEMBERED):
            return self._decide_other(command)
        before = self.remembered.get(command.id) or self._books.remembered.get(command.id)
        if before is not None:
            return recall(before, command)
        result = self._carry_out(command)
        self.remembered[command.id] = Remembered(command.content, result)
        return result

    def _decide_other(
        self,
        command: ReleaseHold | ExpireHold | ChangeStanding | ChangeWalletStanding | OpenAccount | LinkedGroup | DryRun,
    ) -> Outcome:
        """Decide what has no id of its own."""
        if isinstance(command, LinkedGroup):
            return self._link(command)
        if isinstance(command, DryRun):
            return Tried(self._apart().decide(command.command))
        if isinstance(command, ChangeStanding):
            return self._change_standing(command)
        if isinstance(command, ChangeWalletStanding):
            return self._change_wallet(command)
        if isinstance(command, OpenAccount):
            return self._open_account(command)
        return self._end_hold(command)

    def _carry_out(self, command: RememberedCommand) -> Result:
        if isinstance(command, PostTransfer):
            return self._post_transfer(command)
        if isinstance(command, ReverseTransfer):
            return self._reverse(command)
        if isinstance(command, PlaceHold):
            return self._place_hold(command)
        return self._capture(command)

    # Groups and dry runs.

    def _apart(self) -> "_Desk":
        """Give a desk that sees all that this one sees; what it changes stays its own until it is adopted."""
        books = self._books
        seen = Books(
            ChainMap(self.accounts, books.accounts),
            books.owners,
            ChainMap(self.holds, books.holds),
            ChainMap(self.originals, books.originals),
            ChainMap(self.remembered, books.remembered),
            self._standings(),
            ChainMap(self.allowances, books.allowances),
        )
        return _Desk(seen, self._now)

    def _adopt(self, other: "_Desk") -> None:
        self.accounts.update(other.accounts)
        self.holds.update(other.holds)
        self.originals.update(other.originals)
        self.remembered.update(other.remembered)
        self.allowances.update(other.allowances)

    def _link(self, group: LinkedGroup) -> GroupDecided:
        """Carry out all of ``group`` or none; when an id is known already, nothing is carried out."""
        outcomes: list[Outcome | None] = []
        for command in group.commands:
            before = self.remembered.get(command.id) or self._books.remembered.get(command.id)
            outcomes.append(None if before is None else recall(before, command))
        if all(outcome is None for outcome in outcomes):
            desk = self._apart()
            for number, command in enumerate(group.commands):
                outcome = outcomes[number] = desk.decide(command)
                if isinstance(outcome, Refusal):
                    outcomes = [outcome if place == number else None for place in range(len(outcomes))]
                    break
            else:
                self._adopt(desk)
        settled = link(outcomes)
        for command, outcome in zip(group.commands, settled, strict=True):
            if isinstance(outcome, Refusal) and outcome.code is not RefusalCode.ID_REUSED:
                self.remembered.setdefault(command.id, Remembered(command.content, outcome))
        return GroupDecided(tuple(settled))

    # Looking up.

    def _account(self, facts: AccountFacts) -> Account:
        account = self.accounts.get(facts.id) or self._books.accounts.get(facts.id)
        return account if account is not None else first_use(facts, self._standings())

    def _standings(self) -> dict[WalletKey, Standing]:
        return self._books.standings | self.restood if self.restood else self._books.standings

    def _find(self, party: Party, currency: str, owner: str | None) -> Account | Refusal:
        known = None
        if party.account is not None:
            known = self.accounts.get(party.account) or self._books.accounts.get(party.account)
            if known is None and party.opens is not None:
                known = first_use(party.opens, self._standings())
        return find(party, known, self._books.owners, currency, owner)

    def _find_leg(self, posting: Posting, owner: str | None) -> Leg | Refusal:
        debit = self._find(posting.debit, posting.currency, owner)
        if isinstance(debit, Refusal):
            return debit
        credit = self._find(posting.credit, posting.currency, None)
        if isinstance(credit, Refusal):
            return credit
        if posting.debit.account == posting.credit.account:
            return Refusal(
                RefusalCode.SAME_ACCOUNT, "A posting's debit and credit are one account.", {"party": debit.facts.party}
            )
        return Leg(debit, credit, posting.amount_minor, None)

    def _find_legs(self, postings: tuple[Posting, ...], owner: str | None) -> list[Leg] | Refusal:
        legs: list[Leg] = []
        for posting in postings:
            leg = self._find_leg(posting, owner)
            if isinstance(leg, Refusal):
                return leg
            legs.append(leg)
        return legs

    def _find_checks(self, conditions: tuple[Condition, ...], owner: str | None) -> list[Check] | Refusal:
        checks: list[Check] = []
        for condition in conditions:
            account = self._find(condition.account, condition.currency, owner)
            if isinstance(account, Refusal):
                return account
            checks.append(Check(account.facts, condition.predicate, condition.value))
        return checks

    def _unmet(self, checks: Sequence[Check]) -> Refusal | None:
        """Refuse when one of ``checks`` does not hold of the books as the command finds them."""
        return failed(checks, [self._account(check.facts) for check in checks])

    def _rely_on(self, checks: Sequence[Check]) -> None:
        """Open the accounts that a command has relied on, as far as they do not stand yet.

        Only what stands can be locked: two commands at once, each on condition that the other's account is still empty,
        would otherwise both be carried out.
        """
        for check in checks:
            if check.facts.id not in self._books.accounts:
                self.accounts.setdefault(check.facts.id, first_use(check.facts, self._standings()))

    def _allow(self, spent: dict[AccountFacts, int]) -> dict[AccountKey, Allowance] | Refusal:
        """Look whether an owner may spend so much; gives the allowances as they are afterwards."""
        return allow(ChainMap(self.allowances, self._books.allowances), spent, self._now)

    # Moving.

    def _move(
        self,
        legs: list[Leg],
        checks: Sequence[Check],
        at_hand: dict[AccountKey, Account] | None = None,
        *,
        spends: bool = False,
    ) -> tuple[list[Entry], list[Movement]] | Refusal:
        """Post ``legs`` in order, all or none, if ``checks`` hold and an owner who ``spends`` may.

        ``at_hand`` holds accounts that the command has already changed.
        """
        for leg in legs:
            refusal = not_open(leg.debit) or not_open(leg.credit)
            if refusal is not None:
                return refusal
        if checks:
            refusal = self._unmet(checks)
            if refusal is not None:
                return refusal
        allowed = self._allow(spent(legs)) if spends and self._books.allowances else {}
        if isinstance(allowed, Refusal):
            return allowed
        at_hand = {} if at_hand is None else at_hand
        made = post(legs, at_hand)
        if isinstance(made, Refusal):
            return made
        self.accounts.update(at_hand)
        self.allowances.update(allowed)
        if checks:
            self._rely_on(checks)
        return made

    def _post_transfer(self, command: PostTransfer) -> Result:
        if command.expires_at is not None and self._now >= command.expires_at:
            return expired(command.expires_at)
        legs = self._find_legs(command.postings, command.on_behalf_of)
        if isinstance(legs, Refusal):
            return legs
        checks = self._find_checks(command.conditions, command.on_behalf_of) if command.conditions else []
        moved = checks if isinstance(checks, Refusal) else self._move(legs, checks, spends=command.spends)
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

    def _original(self, key: TransferKey) -> Original | None:
        original = self.originals.get(key) or self._books.originals.get(key)
        if original is not None:
            return original
        made = self.remembered.get(key) or self._books.remembered.get(key)
        if made is None or not isinstance(made.answer, Posted | Captured):
            return None
        # It was posted a moment ago, in this batch.
        transfer = made.answer.transfer
        return Original(transfer.id, transfer.reverses, transfer.movements, (0,) * len(transfer.movements))

    def _reverse(self, command: ReverseTransfer) -> Result:
        original = self._original(command.transfer)
        if original is None:
            return Refusal(RefusalCode.TRANSFER_NOT_FOUND, "There is no such transfer.")
        if original.reverses is not None:
            return Refusal(
                RefusalCode.REVERSAL_OF_REVERSAL, "A reversal is not reversed; post the transfer once more instead."
            )
        found = undone(original, command.parts)
        if isinstance(found, Refusal):
            return found
        parts, total = found
        of = original.movements
        legs = [
            Leg(self._account(of[number].credit), self._account(of[number].debit), amount, number)
            # The last posting is undone first, so that what passed through an account passes back through it.
            for number, amount in reversed(parts)
        ]
        checks = self._find_checks(command.conditions, None)
        moved = checks if isinstance(checks, Refusal) else self._move(legs, checks)
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
        before = self._find(command.wallet, command.currency, command.on_behalf_of)
        if isinstance(before, Refusal):
            return before
        facts = before.facts
        checks = self._find_checks(command.conditions, command.on_behalf_of)
        if isinstance(checks, Refusal):
            return checks
        if command.expires_at is not None and command.expires_at <= self._now:
            return Refusal(RefusalCode.HOLD_EXPIRES_IN_THE_PAST, "A hold's `expires_at` must lie in the future.")
        refusal = not_open(before) or self._unmet(checks)
        if refusal is not None:
            return refusal
        allowed = self._allow({facts: command.amount_minor}) if command.spends else {}
        refusal = allowed if isinstance(allowed, Refusal) else cannot_spend(before, command.amount_minor)
        if refusal is not None:
            return refusal
        assert not isinstance(allowed, Refusal)
        self.allowances.update(allowed)
        after = pending(before, command.amount_minor)
        self.accounts[facts.id] = after
        self._rely_on(checks)
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
        return HoldChanged(hold, after, (Entry(reserving(facts), Layer.PENDING, command.amount_minor, after),))

    def _find_hold(self, key: HoldKey) -> Hold | Refusal:
        hold = self.holds.get(key) or self._books.holds.get(key)
        return hold if hold is not None else Refusal(RefusalCode.HOLD_NOT_FOUND, "There is no such hold.")

    def _capture(self, command: CaptureHold) -> Result:
        hold = self._find_hold(command.hold)
        if isinstance(hold, Refusal):
            return hold
        facts = hold.account
        amount = command.amount_minor if command.amount_minor is not None else hold.remaining_minor
        refusal = not_placed(hold, self._now) or exceeds(hold, amount)
        if refusal is not None:
            return refusal
        itself = Party(facts.party, facts.id, facts)
        credit = party_of(command.credit, facts.currency)
        legs = self._find_legs((Posting(itself, credit, amount, facts.currency), *command.postings), None)
        if isinstance(legs, Refusal):
            return legs
        checks = self._find_checks(command.conditions, None)
        if isinstance(checks, Refusal):
            return checks
        freed = hold.remaining_minor if command.final else amount
        released = pending(self._account(facts), -freed)
        moved = self._move(legs, checks, {facts.id: released})
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
        first = Entry(reserving(facts), Layer.RELEASED, freed, released)
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
        refusal = not_placed(hold, self._now) if ended is HoldState.RELEASED else not_placed(hold, None)
        if refusal is not None:
            return refusal
        freed = hold.remaining_minor
        after = pending(before, -freed)
        self.accounts[hold.account.id] = after
        hold = hold._replace(state=ended, remaining_minor=0)
        self.holds[hold.id] = hold
        return HoldChanged(hold, after, (Entry(reserving(hold.account), Layer.RELEASED, freed, after),))

    # Accounts.

    def _open_account(self, command: OpenAccount) -> Result:
        found = self._find(command.account, command.currency, None)
        if isinstance(found, Refusal):
            return found
        id_ = found.facts.id
        known = self.accounts.get(id_) or self._books.accounts.get(id_)
        result = opened(command, found.facts, known, self._standings())
        if isinstance(result, AccountOpened) and result.fresh:
            self.accounts[id_] = result.account
        return result

    def _change_standing(self, command: ChangeStanding) -> Result:
        before = self.accounts.get(command.account) or self._books.accounts.get(command.account)
        result = restood(command, before, self._standings())
        if isinstance(result, StandingChanged):
            self.accounts[command.account] = result.account
        return result

    def _change_wallet(self, command: ChangeWalletStanding) -> Result:
        if command.wallet not in self._books.owners:
            return Refusal(RefusalCode.WALLET_NOT_FOUND, "There is no such wallet.")
        own = {**self._books.accounts, **self.accounts}
        mine = [account for account in own.values() if account.facts.wallet == command.wallet]
        result = restood_wallet(command, self._standings().get(command.wallet, Standing.OPEN), mine)
        if isinstance(result, Refusal):
            return result
        self.accounts.update({account.facts.id: account for account in result})
        self.restood[command.wallet] = command.standing
        return WalletStandingChanged(command.wallet, command.standing)
