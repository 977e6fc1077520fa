"""Linked groups: when one item is refused, all others are, and say which was the first."""

from collections.abc import Sequence

from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_wallet.domain.orders import Outcome, Refusal


def link(outcomes: Sequence[Outcome | None]) -> list[Outcome]:
    """Give each item of a group that has no outcome of its own the refusal that follows from the others.

    The first refusal is named; where ids were known and none of them refuses, the first of these.
    """
    known = [number for number, outcome in enumerate(outcomes) if outcome is not None]
    first = next((number for number in known if isinstance(outcomes[number], Refusal)), known[0])
    refusal = Refusal(
        RefusalCode.LINKED_REFUSED, f"Item {first} of the group was refused, so none is carried out.", {"item": first}
    )
    return [refusal if outcome is None else outcome for outcome in outcomes]
