"""What an operator chooses, read from the environment once, checked at start, frozen, and printed redacted."""

from typing import Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


def env_prefix(prefix: str) -> SettingsConfigDict:
    """Give the model configuration of a service's settings whose variables start with ``prefix``, such as `WALLET_`."""
    return SettingsConfigDict(env_prefix=prefix, frozen=True, extra="ignore", env_ignore_empty=True)


class ServiceSettings(BaseSettings):
    """What every process needs to know. A service adds its own fields in a subclass with its own prefix."""

    environment: Literal["local", "test", "production"] = Field(
        default="production", description="Where this process runs"
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=0, ge=0, le=65535, description="Port of the HTTP API; 0 takes a free one")
    worker_port: int = Field(default=0, ge=0, le=65535, description="Port of the worker's health and metrics")
    issuer: str = Field(default="http://127.0.0.1:8080", description="`iss` that access tokens must carry")
    audience: str = Field(default="ledgerlink", description="`aud` that access tokens must carry")
    identity_url: str = Field(default="http://127.0.0.1:8081", description="Where identity answers")
    client_id: str = Field(default="", description="This service's own OAuth2 client")
    client_secret: SecretStr = Field(default=SecretStr(""), description="Secret of that client")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least level that is logged"
    )
    log_format: Literal["json", "console"] = Field(default="json", description="Form of the log lines")
    otlp_endpoint: str | None = Field(default=None, description="OTLP/HTTP collector; none turns tracing off")

    def redacted(self) -> dict[str, Any]:
        """Give the settings as plain values, secrets and passwords in addresses masked."""
        shown: dict[str, Any] = {}
        for name, value in self.model_dump(mode="json").items():
            shown[name] = _mask_password(value) if isinstance(value, str) else value
        return shown


class StoredSettings(ServiceSettings):
    """The settings of a process that has a database and Redis."""

    database_url: SecretStr = Field(description="postgresql://user:password@host:port/database")
    redis_url: str = Field(default="redis://127.0.0.1:6379/0", description="Redis or Valkey, version 7 or later")
    db_pool_size: int = Field(default=8, ge=1, le=200, description="Database connections of one process at the most")


def _mask_password(text: str) -> str:
    scheme, mark, rest = text.partition("://")
    credentials, at, host = rest.rpartition("@")
    if not mark or not at:
        return text
    user = credentials.partition(":")[0]
    return f"{scheme}://{user}:**********@{host}"
