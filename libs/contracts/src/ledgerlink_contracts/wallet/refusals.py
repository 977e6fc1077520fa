"""Every code with which the ledger refuses, and the kind of each; `docs` and clients read the same list."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from ledgerlink_kit.errors import Kind


class RefusalCode(StrEnum):
    """Why the ledger did not do it, in the order in which reasons are looked for: the first that applies is given."""

    ID_REUSED = "id-reused"
    """The id has been used for something else; `differs` names the fields."""
    TRANSFER_NOT_FOUND = "transfer-not-found"
    """No such transfer, or none that the caller may see."""
    HOLD_NOT_FOUND = "hold-not-found"
    """No such hold, or none that the caller may see."""
    HOLD_NOT_PLACED = "hold-not-placed"
    """The hold has been captured, released or has expired; `state` says which."""
    HOLD_EXCEEDED = "hold-exceeded"
    """The capture is above what is left of the hold; `remaining_minor` says what is."""
    REVERSAL_OF_REVERSAL = "reversal-of-reversal"
    """A reversal is not reversed; post the transfer again."""
    REVERSAL_EXCEEDED = "reversal-exceeded"
    """More would be reversed than was posted; `reversible_minor` says what is left."""
    QUOTE_EXPIRED = "quote-expired"
    """The quote was offered until `expires_at`; ask for a new one."""
    UNKNOWN_ACCOUNT_CODE = "unknown-account-code"
    """A party is no wallet, no open account's id and no code of the chart."""
    ACCOUNT_NOT_FOUND = "account-not-found"
    """No account has this id."""
    WALLET_NOT_FOUND = "wallet-not-found"
    """No such wallet, or it is not the caller's (or not `on_behalf_of`'s)."""
    CURRENCY_MISMATCH = "currency-mismatch"
    """The account or hold is in another currency than the amount."""
    SAME_ACCOUNT = "same-account"
    """A posting's debit and credit are one account."""
    HOLD_EXPIRES_IN_THE_PAST = "hold-expires-in-the-past"
    """`expires_at` must lie ahead."""
    WALLET_FLOOR = "wallet-floor"
    """A wallet's floor is never below zero."""
    ACCOUNT_EXISTS = "account-exists"
    """The account is open with another floor or ceiling; `floor_minor` and `ceiling_minor` say which it has."""
    ACCOUNT_FROZEN = "account-frozen"
    """The account takes no postings while it is frozen."""
    ACCOUNT_CLOSED = "account-closed"
    """The account takes no postings any more."""
    ACCOUNT_NOT_EMPTY = "account-not-empty"
    """Only an account whose balances are zero can be closed."""
    CONDITION_FAILED = "condition-failed"
    """One of the order's conditions does not hold: `condition` (its number), `predicate`, `expected` and `actual`."""
    LIMIT_EXCEEDED = "limit-exceeded"
    """An owner would spend more than they may: `period` (transfer, day, month), `limit_minor`, `used_minor`,
    `remaining_minor` and `resets_at`."""
    INSUFFICIENT_FUNDS = "insufficient-funds"
    """The account would fall below zero; `available_minor` and `currency` say what there is."""
    FLOOR = "floor"
    """The account would fall below its own floor; `available_minor` and `floor_minor` say by how much."""
    CEILING = "ceiling"
    """The account would rise above its own ceiling; `posted_minor` and `ceiling_minor` say by how much."""
    BALANCE_LIMIT = "balance-limit"
    """The account's debits or credits would pass 2^53-1 minor units."""
    LINKED_REFUSED = "linked-refused"
    """Another item of the group was refused, so this one is; `item` is the number of the first that was."""


KINDS: Final[Mapping[RefusalCode, Kind]] = MappingProxyType(
    {
        RefusalCode.ID_REUSED: Kind.CONFLICT,
        RefusalCode.TRANSFER_NOT_FOUND: Kind.NOT_FOUND,
        RefusalCode.HOLD_NOT_FOUND: Kind.NOT_FOUND,
        RefusalCode.HOLD_NOT_PLACED: Kind.CONFLICT,
        RefusalCode.HOLD_EXCEEDED: Kind.CONFLICT,
        RefusalCode.REVERSAL_OF_REVERSAL: Kind.CONFLICT,
        RefusalCode.REVERSAL_EXCEEDED: Kind.CONFLICT,
        RefusalCode.QUOTE_EXPIRED: Kind.CONFLICT,
        RefusalCode.UNKNOWN_ACCOUNT_CODE: Kind.UNPROCESSABLE,
        RefusalCode.ACCOUNT_NOT_FOUND: Kind.NOT_FOUND,
        RefusalCode.WALLET_NOT_FOUND: Kind.NOT_FOUND,
        RefusalCode.CURRENCY_MISMATCH: Kind.UNPROCESSABLE,
        RefusalCode.SAME_ACCOUNT: Kind.UNPROCESSABLE,
        RefusalCode.HOLD_EXPIRES_IN_THE_PAST: Kind.UNPROCESSABLE,
        RefusalCode.WALLET_FLOOR: Kind.UNPROCESSABLE,
        RefusalCode.ACCOUNT_EXISTS: Kind.CONFLICT,
        RefusalCode.ACCOUNT_FROZEN: Kind.CONFLICT,
        RefusalCode.ACCOUNT_CLOSED: Kind.CONFLICT,
        RefusalCode.ACCOUNT_NOT_EMPTY: Kind.CONFLICT,
        RefusalCode.CONDITION_FAILED: Kind.CONFLICT,
        RefusalCode.LIMIT_EXCEEDED: Kind.CONFLICT,
        RefusalCode.INSUFFICIENT_FUNDS: Kind.CONFLICT,
        RefusalCode.FLOOR: Kind.CONFLICT,
        RefusalCode.CEILING: Kind.CONFLICT,
        RefusalCode.BALANCE_LIMIT: Kind.CONFLICT,
        RefusalCode.LINKED_REFUSED: Kind.CONFLICT,
    }
)
"""The kind of each refusal, from which the HTTP status follows."""
