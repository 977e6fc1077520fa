"""What a reversal undoes: of each posting no more than was posted and has not been reversed yet."""

from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_wallet.domain.books import Original
from ledgerlink_wallet.domain.orders import Refusal


def undone(
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
