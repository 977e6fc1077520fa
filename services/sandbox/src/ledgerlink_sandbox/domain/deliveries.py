"""When an event is sent again, and when it is given up."""

from datetime import timedelta
from typing import Final

from ledgerlink_sandbox.domain.faults import Delivery

SCHEDULE_S: Final = (1, 2, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 28_800, 43_200)
"""Seconds before each further try; about a day in all, since the listener is our own and comes back sooner."""
LATE: Final = timedelta(seconds=2)
"""How long an event asked for `Delivery.LATE` is held back."""


def retry_after(tries: int, jitter: float) -> timedelta | None:
    """Give the wait after ``tries`` failures, or None when the event is given up.

    ``jitter`` in [0, 1) spreads the wait over 80 to 120 percent, so that what failed together does not return together.
    """
    if tries > len(SCHEDULE_S):
        return None
    return timedelta(seconds=SCHEDULE_S[tries - 1] * (0.8 + 0.4 * jitter))


def copies(delivery: Delivery) -> int:
    """Say how many times an event is to be sent."""
    return {Delivery.NEVER: 0, Delivery.DUPLICATE: 2}.get(delivery, 1)


def held_back(delivery: Delivery) -> timedelta:
    """Say how long an event is held back before it is first sent."""
    return LATE if delivery is Delivery.LATE else timedelta()
