"""How wrong passwords slow an account down without locking its owner out.

Failures are counted per account *and* address. Whoever guesses from one address waits longer and
longer there; the owner, coming from another address, has a count of their own. Under pressure (many
failures on one account from many addresses) an address that never signed in to the account gets one
try before it waits, where an address known to the account keeps its full allowance. Emails that
belong to nobody are counted alike, so that being slowed down tells nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from ledgerlink_identity.domain.limits import (
    FORGET_FAILURES_AFTER,
    FREE_FAILURES,
    FREE_FAILURES_UNDER_PRESSURE,
    PRESSURE_FAILURES,
    WAIT_FIRST_S,
    WAIT_MAX_S,
)


@dataclass(frozen=True, slots=True)
class Throttle:
    """Failures in a row of one account from one address."""

    failures: int
    last_failure_at: datetime
    blocked_until: datetime | None


def wait_s(throttle: Throttle | None, now: datetime) -> int:
    """Return the whole seconds until the next attempt is looked at; 0 when it is welcome now."""
    if throttle is None or throttle.blocked_until is None or throttle.blocked_until <= now:
        return 0
    return ceil((throttle.blocked_until - now).total_seconds())


def under_pressure(account_failures: int, *, address_is_known: bool) -> bool:
    """Return whether this address must be slowed at once, given recent failures over all addresses."""
    return account_failures >= PRESSURE_FAILURES and not address_is_known


def after_failure(throttle: Throttle | None, now: datetime, *, pressed: bool) -> Throttle:
    """Return the count with one more failure, and the wait that it brings: 2 s, doubled each time, up to 15 min."""
    remembered = throttle is not None and now - throttle.last_failure_at < FORGET_FAILURES_AFTER
    failures = 1 + (throttle.failures if throttle is not None and remembered else 0)
    over = failures - (FREE_FAILURES_UNDER_PRESSURE if pressed else FREE_FAILURES)
    if over < 0:
        return Throttle(failures, now, None)
    # The exponent is bounded before the power is taken: the count itself has no bound.
    wait = min(WAIT_FIRST_S * 2 ** min(over, 16), WAIT_MAX_S)
    return Throttle(failures, now, now + timedelta(seconds=wait))
