"""What the operator chose (Settings) and what a command is given (Runtime). Both are frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import Field, SecretStr

from ledgerlink_contracts.risk.client import HttpRiskClient, RiskClient
from ledgerlink_contracts.wallet.client import HttpWalletClient, WalletClient
from ledgerlink_kit.auth import ServiceTokens, client_credentials
from ledgerlink_kit.clock import Clock, SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.http_client import HttpClient
from ledgerlink_kit.settings import StoredSettings, env_prefix
from ledgerlink_payments.connectors import Connector
from ledgerlink_payments.connectors.sandbox import SandboxConnector

LEASE_S: Final = 30
"""How long a request or a worker may be at a piece of work before another takes it over, in seconds."""


class RiskAway(StrEnum):
    """What happens to a payment while risk cannot be reached.

    ``wait`` leaves it in processing until risk answers; ``approve`` lets it through and marks the attempt degraded;
    ``decline`` refuses it. Waiting neither loses a payment nor lets one through unseen, so it is the default.
    """

    WAIT = "wait"
    APPROVE = "approve"
    DECLINE = "decline"


class Settings(StoredSettings):
    """The payments service's settings, `PAYMENTS_…` in the environment."""

    model_config = env_prefix("PAYMENTS_")

    wallet_url: str = Field("http://127.0.0.1:8082", description="Where the wallet service answers")
    risk_url: str = Field("http://127.0.0.1:8084", description="Where the risk service answers")
    sandbox_url: str = Field("http://127.0.0.1:8085", description="Where the sandbox provider answers")
    sandbox_api_key: SecretStr = Field(SecretStr(""), description="Our key at the sandbox provider")
    sandbox_webhook_secret: SecretStr = Field(SecretStr(""), description="Secret of the sandbox provider's webhooks")
    webhook_allow_loopback: bool = Field(default=False, description="Whether our webhooks may go to this machine")
    fee_bps: int = Field(0, ge=0, le=5_000, description="Our fee on what merchants receive, in basis points")
    risk_away: RiskAway = Field(RiskAway.WAIT, description="What to do while risk cannot be reached")


@dataclass(frozen=True, slots=True)
class Runtime:
    """What commands are given: the database, the time, the other services and the providers."""

    db: Database
    clock: Clock
    wallet: WalletClient
    risk: RiskClient
    connectors: Mapping[str, Connector]
    default_connector: str
    fee_bps: int = 0
    risk_away: RiskAway = RiskAway.WAIT

    def connector(self, name: str) -> Connector:
        """Give the connector of that name; rows only ever name one that exists."""
        return self.connectors[name]


@dataclass(frozen=True, slots=True)
class Open:
    """A runtime with everything that was opened for it, to be closed by its process."""

    runtime: Runtime
    clients: tuple[HttpClient, ...]

    async def close(self) -> None:
        """Close connections and the database."""
        for client in self.clients:
            await client.close()
        await self.runtime.db.close()


def open_runtime(settings: Settings, application_name: str) -> Open:
    """Build the runtime of one process from its settings; nothing is connected before it is used."""
    clock = SystemClock()
    fetch = client_credentials(settings.identity_url, settings.client_id, settings.client_secret.get_secret_value())
    tokens = ServiceTokens(fetch, clock)
    wallet = HttpClient(settings.wallet_url, name="wallet", tokens=tokens)
    risk = HttpClient(settings.risk_url, name="risk", tokens=tokens)
    sandbox = HttpClient(settings.sandbox_url, name="sandbox")
    connector = SandboxConnector(
        sandbox,
        api_key=settings.sandbox_api_key.get_secret_value(),
        webhook_secret=settings.sandbox_webhook_secret.get_secret_value(),
        clock=clock,
    )
    db = Database(
        settings.database_url.get_secret_value(),
        application_name=application_name,
        pool_size=settings.db_pool_size,
    )
    runtime = Runtime(
        db=db,
        clock=clock,
        wallet=HttpWalletClient(wallet),
        risk=HttpRiskClient(risk),
        connectors={connector.name: connector},
        default_connector=connector.name,
        fee_bps=settings.fee_bps,
        risk_away=settings.risk_away,
    )
    return Open(runtime, (wallet, risk, sandbox))
