"""What an operator chooses, read from the environment once, checked at start, frozen, and printed redacted.

Every setting may be given by a file instead: `WALLET_DATABASE_URL_FILE=/run/secrets/wallet` stands for what that file
holds. An environment is seen by whoever inspects a container; a file is seen by whoever may read it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError

FILE_SUFFIX: Final = "_FILE"
FILE_BYTES_MAX: Final = 65_536


def env_prefix(prefix: str) -> SettingsConfigDict:
    """Give the model configuration of a service's settings whose variables start with ``prefix``, such as `WALLET_`."""
    return SettingsConfigDict(env_prefix=prefix, frozen=True, extra="ignore", env_ignore_empty=True)


def from_file(variables: Mapping[str, str | None], name: str) -> str | None:
    """Give what the file holds that the variable ``name`` with `_FILE` behind it names, or None when none is named.

    Newlines at its end are not part of it. Raises `SettingsError`, which never shows what a file holds, when the file
    cannot be read, is empty or larger than 64 KiB, or when ``name`` is given as well: one of the two would be ignored.
    """
    variable = name + FILE_SUFFIX
    path = variables.get(variable)
    if not path:
        return None
    if variables.get(name):
        raise SettingsError(f"{name} and {variable} are both set: unset one of them.")
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingsError(f"{variable} names {path}, which cannot be read: {reason}.") from error
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        text = ""
    if not text or "\0" in text or len(content) > FILE_BYTES_MAX:
        raise SettingsError(f"{variable} names {path}, which must hold 1 to {FILE_BYTES_MAX} bytes of text.")
    return text


class FileSource(EnvSettingsSource):
    """Reads the settings whose `…_FILE` variable names a file; a value is read as one from the environment would be."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        """Read the files that the environment names for the fields of ``settings_cls``."""
        super().__init__(settings_cls)
        given = {name.upper(): value for name, value in self.env_vars.items()}
        names = [f"{self.env_prefix}{field}".upper() for field in settings_cls.model_fields]
        found = {name.lower(): from_file(given, name) for name in names}
        self.env_vars = {name: value for name, value in found.items() if value is not None}


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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature; we read no .env
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - ours names each file by its variable
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Say where settings come from: arguments, the environment, and files that the environment names."""
        return init_settings, env_settings, FileSource(settings_cls)

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
