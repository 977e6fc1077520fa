"""Conditions: what must be so of an account's version or balances before a command is carried out."""

from collections.abc import Sequence
from typing import NamedTuple

from ledgerlink_contracts.wallet.models import Predicate
from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_wallet.domain.books import Account, AccountFacts
from ledgerlink_wallet.domain.orders import Refusal

_WORDS = {
    Predicate.VERSION: "version",
    Predicate.AVAILABLE_AT_LEAST: "available balance",
    Predicate.AVAILABLE_AT_MOST: "available balance",
    Predicate.POSTED_AT_LEAST: "posted balance",
    Predicate.POSTED_AT_MOST: "posted balance",
    Predicate.PENDING_AT_LEAST: "pending balance",
    Predicate.PENDING_AT_MOST: "pending balance",
}


class Check(NamedTuple):
    """A condition whose account has been found."""

    facts: AccountFacts
    predicate: Predicate
    value: int


def failed(checks: Sequence[Check], accounts: Sequence[Account]) -> Refusal | None:
    """Name the first of ``checks`` that does not hold of its account in ``accounts``; None when all hold."""
    for number, (check, account) in enumerate(zip(checks, accounts, strict=True)):
        actual = _actual(account, check.predicate)
        if _holds(actual, check.predicate, check.value):
            continue
        return Refusal(
            RefusalCode.CONDITION_FAILED,
            f"Condition {number} failed: the {_WORDS[check.predicate]} of {check.facts.party} is {actual}.",
            {
                "condition": number,
                "party": check.facts.party,
                "currency": check.facts.currency,
                "predicate": check.predicate.value,
                "expected": check.value,
                "actual": actual,
            },
        )
    return None


def _actual(account: Account, predicate: Predicate) -> int:
    if predicate is Predicate.VERSION:
        return account.version
    if predicate in {Predicate.AVAILABLE_AT_LEAST, Predicate.AVAILABLE_AT_MOST}:
        return account.available_minor
    if predicate in {Predicate.POSTED_AT_LEAST, Predicate.POSTED_AT_MOST}:
        return account.posted_minor
    return account.pending_minor


def _holds(actual: int, predicate: Predicate, value: int) -> bool:
    if predicate is Predicate.VERSION:
        return actual == value
    if predicate in {Predicate.AVAILABLE_AT_LEAST, Predicate.POSTED_AT_LEAST, Predicate.PENDING_AT_LEAST}:
        return actual >= value
    return actual <= value
