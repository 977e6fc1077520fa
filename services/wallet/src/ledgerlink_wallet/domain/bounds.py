"""What an account promises: its standing, its floor and ceiling, the largest balance; and the steps that keep to them.

A step looks for reasons to refuse first (`not_open`, `cannot_spend`, `cannot_move`), then it is taken (`posted`,
`pending`), and taking it asserts every promise once more.
"""

from datetime import datetime

from ledgerlink_contracts.wallet.chart import Side
from ledgerlink_contracts.wallet.models import Standing
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_kit.money import MAX_MINOR
from ledgerlink_wallet.domain.books import Account, AccountFacts
from ledgerlink_wallet.domain.orders import Refusal


def not_open(account: Account) -> Refusal | None:
    """Refuse when the account takes no postings."""
    if account.standing is Standing.OPEN:
        return None
    code = RefusalCode.ACCOUNT_FROZEN if account.standing is Standing.FROZEN else RefusalCode.ACCOUNT_CLOSED
    return Refusal(code, f"The account is {account.standing}.", {"party": account.facts.party})


def expired(quote_until: datetime) -> Refusal:
    """Refuse to carry out a quote that was offered until ``quote_until``."""
    return Refusal(
        RefusalCode.QUOTE_EXPIRED, "The quote has expired; ask for a new one.", {"expires_at": quote_until.isoformat()}
    )


def reserving(facts: AccountFacts) -> Side:
    """Give the side on which a hold waits: the one that lowers the balance."""
    return Side.DEBIT if facts.normal_side is Side.CREDIT else Side.CREDIT


def cannot_spend(account: Account, amount: int) -> Refusal | None:
    """Refuse when ``amount`` would take what is available below the floor: zero, unless the account has another."""
    facts = account.facts
    floor = facts.floor_minor
    if floor is None:
        if facts.may_overdraw:
            return None
        floor = 0
    available = account.available_minor
    if amount <= available - floor:
        return None
    if floor == 0:
        return Refusal(
            RefusalCode.INSUFFICIENT_FUNDS,
            f"The available amount is {available} minor units of {facts.currency}, less than {amount}.",
            {"available_minor": available, "currency": facts.currency, "party": facts.party},
        )
    return Refusal(
        RefusalCode.FLOOR,
        f"The available amount is {available} minor units of {facts.currency}; {amount} less would be below the "
        f"account's floor of {floor}.",
        {"available_minor": available, "floor_minor": floor, "currency": facts.currency, "party": facts.party},
    )


def cannot_move(account: Account, side: Side, amount: int) -> Refusal | None:
    """Refuse when posting ``amount`` on ``side`` would pass the floor, the ceiling or the largest balance."""
    facts = account.facts
    if side is not facts.normal_side:
        refusal = cannot_spend(account, amount)
        if refusal is not None:
            return refusal
    elif facts.ceiling_minor is not None and account.posted_minor + amount > facts.ceiling_minor:
        return Refusal(
            RefusalCode.CEILING,
            f"The posted balance is {account.posted_minor} minor units of {facts.currency}; {amount} more would be "
            f"above the account's ceiling of {facts.ceiling_minor}.",
            {
                "posted_minor": account.posted_minor,
                "ceiling_minor": facts.ceiling_minor,
                "currency": facts.currency,
                "party": facts.party,
            },
        )
    total = (account.debits_posted if side is Side.DEBIT else account.credits_posted) + amount
    if total <= MAX_MINOR:
        return None
    return Refusal(
        RefusalCode.BALANCE_LIMIT,
        f"The account's {side}s would pass {MAX_MINOR} minor units.",
        {"party": facts.party, "limit_minor": MAX_MINOR},
    )


def posted(before: Account, side: Side, amount: int) -> Account:
    """Post ``amount`` on ``side``; nothing may speak against it any more."""
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
    assert _keeps_its_floor(after)
    assert facts.ceiling_minor is None or after.posted_minor <= facts.ceiling_minor
    return after


def pending(before: Account, amount: int) -> Account:
    """Reserve ``amount``, or give it back when it is below zero."""
    facts, standing, debits, credits_, debits_pending, credits_pending, version = before
    if facts.normal_side is Side.CREDIT:
        debits_pending += amount
    else:
        credits_pending += amount
    after = Account(facts, standing, debits, credits_, debits_pending, credits_pending, version + 1)
    assert debits_pending >= 0
    assert credits_pending >= 0
    assert _keeps_its_floor(after)
    return after


def _keeps_its_floor(account: Account) -> bool:
    facts = account.facts
    if facts.floor_minor is None:
        return facts.may_overdraw or account.available_minor >= 0
    return account.available_minor >= facts.floor_minor
