"""What an operator chooses, and what a command is given."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from pydantic import Field

from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import Database
from ledgerlink_kit.settings import StoredSettings, env_prefix
from ledgerlink_risk.domain.policy import Policy

_POLICIES_KEPT: Final = 16


class RiskSettings(StoredSettings):
    """Risk's settings, read from `RISK_…`."""

    model_config = env_prefix("RISK_")

    velocity_timeout_ms: int = Field(
        250, ge=1, le=10_000, description="How long a decision waits for its velocities before it goes on without them"
    )


@dataclass(slots=True)
class Policies:
    """Compiled policies by version: policies never change, so what is compiled once stays right."""

    current: Policy | None = None
    _by_version: OrderedDict[int, Policy] = field(default_factory=OrderedDict[int, Policy])

    def get(self, version: int) -> Policy | None:
        """Give a compiled policy, if it is kept."""
        return self._by_version.get(version)

    def keep(self, policy: Policy) -> None:
        """Keep a compiled policy; the oldest leaves when there are too many."""
        self._by_version[policy.version] = policy
        if len(self._by_version) > _POLICIES_KEPT:
            self._by_version.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Turns:
    """Turns by customer within this process.

    The database's lock decides; waiting for one's turn here first keeps a busy customer from holding every connection
    of the pool with orders that only wait.
    """

    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary[str, asyncio.Lock])

    def of(self, customer: str) -> asyncio.Lock:
        """Give the customer's lock; it is forgotten when nobody holds it or waits for it."""
        lock = self._locks.get(customer)
        if lock is None:
            lock = self._locks[customer] = asyncio.Lock()
        return lock


@dataclass(frozen=True, slots=True)
class Runtime:
    """The parts that commands and queries work with. `policies` is a cache; everything else is fixed."""

    db: Database
    clock: Clock
    velocity_timeout_ms: int = 250
    policies: Policies = field(default_factory=Policies)
    turns: Turns = field(default_factory=Turns)
