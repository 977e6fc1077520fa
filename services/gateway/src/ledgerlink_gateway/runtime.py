"""What an operator chooses for the gateway, and what its routes are given."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from pydantic import Field, field_validator

from ledgerlink_gateway.connectors.upstream import Upstream
from ledgerlink_gateway.domain.headers import parse_networks
from ledgerlink_gateway.queries.documents import Documents
from ledgerlink_gateway.routes import IDENTITY, PAYMENTS, RISK, WALLET
from ledgerlink_kit.settings import ServiceSettings, env_prefix

Check = Callable[[], Awaitable[str | None]]
"""Gives why a part is not ready, or None. Never raises."""


class Settings(ServiceSettings):
    """The gateway's settings, from variables that start with `GATEWAY_`."""

    model_config = env_prefix("GATEWAY_")

    wallet_url: str = Field(default="http://127.0.0.1:8082", description="Where wallet answers")
    payments_url: str = Field(default="http://127.0.0.1:8083", description="Where payments answers")
    risk_url: str = Field(default="http://127.0.0.1:8084", description="Where risk answers")
    redis_url: str = Field(default="redis://127.0.0.1:6379/0", description="Redis or Valkey ≥ 7, for rate limits")
    redis_timeout_s: float = Field(default=0.5, gt=0, le=10, description="Seconds after which Redis counts as lost")
    limit_scale: float = Field(default=1.0, gt=0, le=10_000, description="Multiplies the quota of every rate limit")
    trusted_proxies: str = Field(
        default="", description="Addresses or CIDR blocks, by comma, believed in X-Forwarded-For"
    )
    cors_origins: str = Field(
        default="", description="Origins, by comma, whose pages may read answers; none: CORS is off"
    )
    in_flight_max: int = Field(default=128, ge=1, le=10_000, description="Most requests in flight to one service")
    connect_timeout_s: float = Field(default=2.0, gt=0, le=60, description="Seconds a connection to a service may take")

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        parse_networks(split(value))
        return value

    @property
    def upstream_urls(self) -> dict[str, str]:
        """Each service's name with its address."""
        return {
            IDENTITY: self.identity_url,
            WALLET: self.wallet_url,
            PAYMENTS: self.payments_url,
            RISK: self.risk_url,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What the gateway's own routes are given. ``optional_parts`` are checked but not needed to be ready."""

    upstreams: Mapping[str, Upstream]
    documents: Documents
    readiness: Mapping[str, Check]
    optional_parts: frozenset[str]


def split(value: str) -> tuple[str, ...]:
    """Split a list in a setting at its commas."""
    return tuple(entry.strip() for entry in value.split(",") if entry.strip())
