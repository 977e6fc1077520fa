"""What the operator chose (`WalletSettings`) and what every command is given (`Runtime`)."""

import base64
import binascii
from collections import Counter, OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from pydantic import Field, SecretStr, field_validator

from ledgerlink_contracts.wallet.refusals import RefusalCode
from ledgerlink_kit.clock import Clock
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Kind, LedgerLinkError, Refused, Unavailable
from ledgerlink_kit.notes import SEED_BYTES, Signer, VerifierKey, is_key_name
from ledgerlink_kit.settings import StoredSettings, env_prefix
from ledgerlink_wallet.domain.books import WalletKey
from ledgerlink_wallet.domain.orders import Command

_OWNERS_MAX: Final = 200_000

STREAMS_OF_CALLER_MAX: Final = 10
"""Live streams that one caller may hold open at once."""


class WalletSettings(StoredSettings):
    """The wallet service's settings, from `WALLET_…` variables."""

    model_config = env_prefix("WALLET_")

    self_funding: bool = Field(
        default=False, description="May owners credit and debit their own wallets from and to `world`"
    )
    queue_max: int = Field(10_000, ge=1, le=1_000_000, description="Commands that wait for the committer at the most")
    batch_max: int = Field(1_000, ge=1, le=5_000, description="Commands that one commit carries at the most")
    streams_max: int = Field(200, ge=1, le=10_000, description="Live streams of events that one process serves")
    balances_every_s: float = Field(60.0, ge=1, description="Seconds between two checks of the balances' invariants")
    history_every_s: float = Field(1_800.0, ge=1, description="Seconds between two audits of the whole of the books")
    seal_every_s: float = Field(1.0, ge=0.05, description="Seconds between two checkpoints, while there is news")
    checkpoint_key: SecretStr = Field(description="Seed of the Ed25519 key that signs checkpoints: 32 bytes in base64")
    checkpoint_origin: str = Field(
        default="ledgerlink.example/wallet",
        description="Name of the log and of its key, without spaces or plus; never change it",
    )

    @field_validator("checkpoint_key")
    @classmethod
    def _seed_of_32_bytes(cls, value: SecretStr) -> SecretStr:
        try:
            seed = base64.b64decode(value.get_secret_value().encode(), validate=True)
        except binascii.Error:
            seed = b""
        if len(seed) != SEED_BYTES:
            raise ValueError("must be 32 bytes in base64, as `openssl rand -base64 32` gives them")
        return value

    @field_validator("checkpoint_origin")
    @classmethod
    def _name_of_a_key(cls, value: str) -> str:
        if not is_key_name(value):
            raise ValueError("must be a name without spaces or plus")
        return value

    def signer(self) -> Signer:
        """Make what signs this ledger's checkpoints."""
        return Signer(self.checkpoint_origin, base64.b64decode(self.checkpoint_key.get_secret_value()))


class Answer:
    """What a command is answered: a status and JSON bytes; ``replayed`` when its id was answered so before.

    ``refusal`` names a refusal that was decided now; one that is repeated speaks through status and body alone. A body
    given as a function is written when somebody reads it, after the commit: the next batch need not wait for it.
    """

    __slots__ = ("_body", "refusal", "replayed", "status")

    def __init__(
        self,
        status: int,
        body: bytes | Callable[[], bytes],
        *,
        replayed: bool = False,
        refusal: RefusalCode | None = None,
    ) -> None:
        """Answer ``status`` and ``body``."""
        self.status = status
        self._body = body
        self.replayed = replayed
        self.refusal = refusal

    @property
    def body(self) -> bytes:
        """The JSON."""
        if not isinstance(self._body, bytes):
            self._body = self._body()
        return self._body

    def telling(self, body: bytes) -> "Answer":
        """Give the same answer with another ``body``."""
        return Answer(self.status, body, replayed=self.replayed, refusal=self.refusal)

    def again(self) -> "Answer":
        """Give the same answer to a repeated command."""
        return Answer(self.status, lambda: self.body, replayed=True)


class Ledger(Protocol):
    """Where commands go: the committer."""

    async def submit(self, command: Command) -> Answer:
        """Carry out ``command`` and answer once that is durable. Raises `Unavailable` when the queue is full."""
        ...

    async def submit_all(self, commands: Sequence[Command]) -> Sequence[Answer | LedgerLinkError]:
        """Carry out ``commands``, each for itself; gives what became of each, in their order."""
        ...


class Owners:
    """Who owns which wallet. An owner never changes, so what was learned once stays true."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: OrderedDict[WalletKey, str] = OrderedDict()

    def get(self, wallet: WalletKey) -> str | None:
        """Give the owner, if known."""
        return self._known.get(wallet)

    def learn(self, owners: Mapping[WalletKey, str]) -> None:
        """Remember ``owners``; the oldest knowledge goes first when there is too much."""
        self._known.update(owners)
        while len(self._known) > _OWNERS_MAX:
            self._known.popitem(last=False)


class Streams:
    """Who listens to live streams now, and how many may."""

    def __init__(self, total_max: int, caller_max: int) -> None:
        """Let ``total_max`` listen at once, and ``caller_max`` of them be one caller."""
        self._total_max = total_max
        self._caller_max = caller_max
        self._open: Counter[str] = Counter()

    def check(self, caller: str) -> None:
        """Raise `Unavailable` when too many listen, `Refused` when too many of them are ``caller``."""
        if self._open[caller] >= self._caller_max:
            raise Refused(
                Kind.RATE_LIMITED,
                "too-many-streams",
                f"{self._caller_max} streams are open already; end one first.",
                retry_after_s=5,
            )
        if self._open.total() >= self._total_max:
            raise Unavailable("streams-busy", "Too many listen already; try again, or read pages.", 5)

    @contextmanager
    def listening(self, caller: str) -> Generator[None]:
        """Count ``caller`` as one who listens."""
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1
            self._open += Counter()  # forgets whoever listens no more


@dataclass(frozen=True, slots=True)
class Runtime:
    """What commands and queries work with."""

    db: Database
    ledger: Ledger
    clock: Clock
    settings: WalletSettings
    checkpoint_key: VerifierKey
    owners: Owners = field(default_factory=Owners)
    streams: Streams = field(default_factory=lambda: Streams(200, STREAMS_OF_CALLER_MAX))
