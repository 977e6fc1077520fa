"""What the operator chose, and what a command is given."""

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from pydantic import Field, SecretStr

from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Kind, Refused
from ledgerlink_kit.settings import StoredSettings, env_prefix
from ledgerlink_sandbox.connectors.listener import Listener
from ledgerlink_sandbox.domain.faults import FAULTS_PLANNED_MAX, Fault, Operation

_KEYS_REMEMBERED_MAX: Final = 10_000


class Settings(StoredSettings):
    """The settings of the stand-in provider."""

    model_config = env_prefix("SANDBOX_")

    api_key: SecretStr = Field(min_length=16, description="Key that callers send as a bearer token")
    webhook_secret: SecretStr = Field(description="Secret of the webhooks' signatures, `whsec_` and base64")
    webhook_url: str = Field(description="Where events are sent")
    db_pool_size: int = Field(6, ge=1, le=200, description="Database connections of the process at the most")


class FaultPlan:
    """Faults waiting for the next requests of each operation, and the keys that have had theirs.

    In memory on purpose: a restart ends the exercise.
    """

    def __init__(self) -> None:
        """Start with nothing planned."""
        self._planned: dict[Operation, deque[Fault]] = {operation: deque() for operation in Operation}
        self._performed: OrderedDict[tuple[Operation, str], None] = OrderedDict()

    def add(self, operation: Operation, fault: Fault, times: int) -> None:
        """Let the next ``times`` requests of ``operation`` go wrong. Raises `Refused` (``too-many-faults``)."""
        if self.planned() + times > FAULTS_PLANNED_MAX:
            raise Refused(
                Kind.UNPROCESSABLE, "too-many-faults", f"At most {FAULTS_PLANNED_MAX} faults can wait at a time."
            )
        self._planned[operation].extend([fault] * times)

    def planned(self) -> int:
        """Say how many faults still wait."""
        return sum(len(waiting) for waiting in self._planned.values())

    def waiting(self) -> dict[Operation, list[Fault]]:
        """Give the faults that still wait, in the order in which they will be performed."""
        return {operation: list(faults) for operation, faults in self._planned.items() if faults}

    def clear(self) -> None:
        """Forget all faults that wait."""
        for waiting in self._planned.values():
            waiting.clear()

    def take(self, operation: Operation, key: str, own: Fault | None) -> Fault | None:
        """Give the fault that this request must perform: its ``own``, else the next planned, and none on a repeat."""
        named = (operation, key)
        if named in self._performed:
            return None
        waiting = self._planned[operation]
        fault = own or (waiting.popleft() if waiting else None)
        if fault is not None:
            self._performed[named] = None
            if len(self._performed) > _KEYS_REMEMBERED_MAX:
                self._performed.popitem(last=False)
        return fault


@dataclass(frozen=True, slots=True)
class Runtime:
    """What every command may use. ``news`` wakes the sender as soon as there is something to tell."""

    settings: Settings
    db: Database
    clock: Clock
    listener: Listener
    faults: FaultPlan = field(default_factory=FaultPlan)
    news: asyncio.Event = field(default_factory=asyncio.Event)
