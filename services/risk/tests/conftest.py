"""What risk's tests share: a runtime on a fresh database with the stock policy in force, and events to decide about."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ledgerlink_contracts.risk.models import EventFacts
from ledgerlink_kit.db import Database
from ledgerlink_kit.testing import ManualClock
from ledgerlink_risk.commands import install_policy
from ledgerlink_risk.domain.stock import STOCK
from ledgerlink_risk.runtime import Runtime

MakeEvent = Callable[..., EventFacts]


def event(**changes: Any) -> EventFacts:
    """A small card payment of one customer to one merchant, with `changes`."""
    usual: dict[str, Any] = {
        "kind": "payment",
        "amount_minor": 12_00,
        "currency": "GBP",
        "customer": "usr_ann",
        "destination": "acct_shop",
        "source_kind": "card",
        "payment_method": "pm_card_visa",
        "subject": "pi_1",
    }
    return EventFacts.model_validate({**usual, **changes})


@pytest.fixture
def make_event() -> MakeEvent:
    return event


@pytest.fixture
async def runtime(make_database: Callable[[str], Awaitable[Database]], clock: ManualClock) -> Runtime:
    """A runtime on a fresh database with the stock policy."""
    made = Runtime(await make_database("ledgerlink_risk"), clock, velocity_timeout_ms=5_000)
    await install_policy(made, STOCK)
    return made
