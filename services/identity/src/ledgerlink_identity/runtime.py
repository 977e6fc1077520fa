"""What the operator chose (`Settings`) and what a command is given (`Runtime`)."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr

from ledgerlink_contracts.permissions import SERVICE_SCOPES
from ledgerlink_identity.connectors.hashing import THREADS, WAITING_MAX, Hasher, PasswordHasher
from ledgerlink_identity.connectors.signing import ActiveSigner, Signer
from ledgerlink_identity.connectors.vault import Vault, read_key
from ledgerlink_identity.store.keys import active_private
from ledgerlink_kit.clock import Clock, SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.settings import StoredSettings, env_prefix

SERVICE_SECRET_CHARS_MIN: Final = 24
Network = IPv4Network | IPv6Network


def _known_clients(clients: dict[str, SecretStr]) -> dict[str, SecretStr]:
    """Refuse a client whose permissions stand nowhere, or whose secret could be guessed."""
    unknown = sorted(clients.keys() - SERVICE_SCOPES.keys())
    if unknown:
        raise ValueError(f"no permissions are defined for the service clients {', '.join(unknown)}")
    weak = sorted(name for name, secret in clients.items() if len(secret.get_secret_value()) < SERVICE_SECRET_CHARS_MIN)
    if weak:
        raise ValueError(f"the secrets of {', '.join(weak)} are shorter than {SERVICE_SECRET_CHARS_MIN} characters")
    return clients


def _readable_key(key: SecretStr) -> SecretStr:
    read_key(key.get_secret_value())
    return key


def _readable_networks(text: str) -> str:
    networks_of(text)
    return text


def networks_of(text: str) -> tuple[Network, ...]:
    """Read addresses or CIDR blocks, by comma. Raises `ValueError`."""
    return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())


class Settings(StoredSettings):
    """Identity's settings; the variables begin with `IDENTITY_`."""

    model_config = env_prefix("IDENTITY_")

    key_encryption_key: Annotated[SecretStr, AfterValidator(_readable_key)] = Field(
        description="Base64 of 32 random bytes: encrypts signing keys at rest, derives refresh tokens"
    )
    service_clients: Annotated[dict[str, SecretStr], AfterValidator(_known_clients)] = Field(
        {}, description='The services that may ask for tokens, as JSON: {"payments": "secret"}'
    )
    admin_email: str | None = Field(None, description="Address of the admin that is made at the first start")
    admin_password: SecretStr | None = Field(None, description="Password of that admin")
    mail_url: str = Field(description="Where mail goes: file:///folder or smtp://host:port")
    mail_from: str = Field("LedgerLink <no-reply@ledgerlink.test>", description="Sender of all mail")
    public_url: str = Field("http://127.0.0.1:8080", description="Where people reach LedgerLink, for use in mail")
    require_verified_email: bool = Field(
        default=False, description="Let only people sign in who have verified their address"
    )
    trusted_proxies: Annotated[str, AfterValidator(_readable_networks)] = Field(
        "127.0.0.0/8,::1", description="Addresses or CIDR blocks, by comma, whose X-Forwarded-For is believed"
    )
    hash_threads: int = Field(THREADS, ge=1, le=64, description="Passwords checked at the same time")
    hash_waiting_max: int = Field(WAITING_MAX, ge=1, description="Passwords in line to be checked")


@dataclass(frozen=True, slots=True)
class ServiceSecrets:
    """The secrets of the service clients, as hashes: they are random and long, so one pass of SHA-256 will do."""

    hashes: Mapping[str, bytes]

    @classmethod
    def of(cls, secrets: Mapping[str, SecretStr]) -> "ServiceSecrets":
        """Take the secrets from the settings."""
        return cls(
            {name: hashlib.sha256(value.get_secret_value().encode()).digest() for name, value in secrets.items()}
        )

    def match(self, client_id: str, secret: str) -> bool:
        """Return whether this is the client's secret, in the same time for every wrong answer."""
        expected = self.hashes.get(client_id, bytes(32))
        return hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), expected)


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that a command or a query of identity may need."""

    settings: Settings
    db: Database
    clock: Clock
    hasher: PasswordHasher
    vault: Vault
    refresh_key: bytes
    signer: ActiveSigner
    service_secrets: ServiceSecrets
    common_passwords: frozenset[str]
    trusted_proxies: tuple[Network, ...]

    def __repr__(self) -> str:
        return f"Runtime(environment={self.settings.environment!r})"


def make_runtime(
    settings: Settings,
    application_name: str,
    *,
    clock: Clock | None = None,
    db: Database | None = None,
    hasher: PasswordHasher | None = None,
) -> Runtime:
    """Build the runtime that the settings describe; tests give a clock, a database and a hasher of their own."""
    clock = clock or SystemClock()
    db = db or Database(
        settings.database_url.get_secret_value(), application_name=application_name, pool_size=settings.db_pool_size
    )
    vault = Vault(read_key(settings.key_encryption_key.get_secret_value()))
    return Runtime(
        settings=settings,
        db=db,
        clock=clock,
        hasher=hasher or Hasher(threads=settings.hash_threads, waiting_max=settings.hash_waiting_max),
        vault=vault,
        refresh_key=vault.derive("refresh-tokens"),
        signer=ActiveSigner(lambda: _load_signer(db, vault), clock),
        service_secrets=ServiceSecrets.of(settings.service_clients),
        common_passwords=read_common_passwords(),
        trusted_proxies=networks_of(settings.trusted_proxies),
    )


async def _load_signer(db: Database, vault: Vault) -> Signer:
    async with db.reading() as view:
        kid, sealed = await active_private(view)
    return Signer(kid, vault.open(sealed, kid))


def read_common_passwords() -> frozenset[str]:
    """Return the passwords that are tried first, from the list that is shipped."""
    text = files("ledgerlink_identity").joinpath("data/common-passwords.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("# "))
