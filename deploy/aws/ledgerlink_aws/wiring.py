"""Which processes run on AWS, and what each is told: settings in the open, secrets by name. Plain data, no AWS in it.

A value is a template. `{namespace}` (the end of the servers' names), `{domain}`, `{vpc_cidr}`, `{admin_email}` and
`{mail_from}` are filled in when the stack is made. In a secret, `{database:wallet}` and `{redis}` are addresses, and
the name of a generated secret stands for its value: CloudFormation joins them inside AWS, so that no template and no
log ever holds one. Names are those that the services read: tests compare them with the services' settings classes.
"""

from dataclasses import dataclass, field
from typing import Final

APP_IMAGE: Final = "ledgerlink/app"
"""Our image's repository in ECR."""

TRACING: Final = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
    # A trace is some forty spans. Whoever wants one whole asks for it by a `traceparent` whose flag says so.
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.05",
}

STOP_S: Final = 30
"""How long ECS waits between SIGTERM and SIGKILL: longer than a process may take to finish its work."""

BASE64_SUFFIX: Final = "A="
"""Makes canonical base64 of 32 bytes from 42 random letters and digits: 250 random bits, the last 6 are zero."""
BASE64_CHARS: Final = 42
PASSWORD_CHARS: Final = 40


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its port, its worker's if it has one, its settings, and its secrets (variable → secret's name)."""

    name: str
    port: int
    worker_port: int | None = None
    has_database: bool = True
    settings: dict[str, str] = field(default_factory=dict[str, str])
    secrets: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def prefix(self) -> str:
        """The start of its variables' names."""
        return f"{self.name.upper()}_"

    def environment(self) -> dict[str, str]:
        """Give its settings by the variables' full names, those that all services share included."""
        mine = {
            "ENVIRONMENT": "production",
            "HOST": "0.0.0.0",  # noqa: S104 - inside a task, behind a security group
            "PORT": str(self.port),
            "ISSUER": "https://{domain}",
            "IDENTITY_URL": address("identity"),
            **self.settings,
        }
        if self.worker_port is not None:
            mine["WORKER_PORT"] = str(self.worker_port)
        if self.name in CLIENTS:
            mine["CLIENT_ID"] = self.name
        named = {f"{self.prefix}{name}": value for name, value in mine.items()} | TRACING
        # Both drivers read these of libpq's variables: a connection without TLS is not made, and RDS takes none.
        return {**named, "PGSSLMODE": "require"} if self.has_database else named

    def secret_variables(self) -> dict[str, str]:
        """Give the names of its secrets by the variables' full names."""
        mine = {"REDIS_URL": "redis-url", **self.secrets}
        if self.has_database:
            mine["DATABASE_URL"] = f"{self.name}-database-url"
        if self.name in CLIENTS:
            mine["CLIENT_SECRET"] = f"client-{self.name}"
        return {f"{self.prefix}{name}": secret for name, secret in mine.items()}


@dataclass(frozen=True, slots=True)
class Process:
    """One kind of task that keeps running: a service's server, or its worker."""

    service: Service
    is_worker: bool

    @property
    def name(self) -> str:
        """The name of the ECS service, its log group and its alarms."""
        return f"{self.service.name}-worker" if self.is_worker else self.service.name

    @property
    def port(self) -> int:
        """Where it answers `/healthz`, `/readyz` and `/metrics`."""
        if not self.is_worker:
            return self.service.port
        assert self.service.worker_port is not None
        return self.service.worker_port

    @property
    def command(self) -> list[str]:
        """What the one image runs."""
        return ["python", "-m", f"ledgerlink_{self.service.name}.{'worker' if self.is_worker else 'app'}"]


def address(service: str) -> str:
    """Give where a service answers inside the network, as a template."""
    return f"http://{service}.{{namespace}}:{_PORTS[service]}"


def health_command(port: int) -> list[str]:
    """Give the container's health check: Python alone, since the image has no curl; a status of 400 or more raises."""
    return [
        "CMD",
        "python",
        "-c",
        f"import urllib.request as u; u.urlopen('http://127.0.0.1:{port}/healthz', timeout=3)",
    ]


def migrate_command(service: Service) -> list[str]:
    """Give what the one-off task runs before a deploy: the service's migrations, to their head."""
    return ["python", "-m", "ledgerlink_kit.database_tasks", "migrate", service.name]


def processes(services: tuple[Service, ...]) -> tuple[Process, ...]:
    """Give every process of these services, a worker after its server."""
    return tuple(
        Process(service, is_worker)
        for service in services
        for is_worker in ((False, True) if service.worker_port is not None else (False,))
    )


_PORTS: Final = {"gateway": 8080, "identity": 8081, "wallet": 8082, "payments": 8083, "risk": 8084, "sandbox": 8085}
CLIENTS: Final = ("gateway", "payments", "risk", "wallet")
"""The services that ask identity for tokens of their own."""

GATEWAY: Final = Service(
    "gateway",
    _PORTS["gateway"],
    has_database=False,
    settings={
        "WALLET_URL": address("wallet"),
        "PAYMENTS_URL": address("payments"),
        "RISK_URL": address("risk"),
        "TRUSTED_PROXIES": "{vpc_cidr}",  # the load balancer's addresses
    },
)
IDENTITY: Final = Service(
    "identity",
    _PORTS["identity"],
    9081,
    settings={
        "ADMIN_EMAIL": "{admin_email}",
        "MAIL_FROM": "{mail_from}",
        "PUBLIC_URL": "https://{domain}",
        "TRUSTED_PROXIES": "{vpc_cidr}",  # the gateway's addresses
    },
    secrets={
        "ADMIN_PASSWORD": "admin-password",
        "KEY_ENCRYPTION_KEY": "identity-key-encryption-key",
        "SERVICE_CLIENTS": "service-clients",
        "MAIL_URL": "mail-url",
    },
)
WALLET: Final = Service(
    "wallet",
    _PORTS["wallet"],
    9082,
    settings={"CHECKPOINT_ORIGIN": "{domain}/wallet"},
    secrets={"CHECKPOINT_KEY": "wallet-checkpoint-key"},
)
PAYMENTS: Final = Service(
    "payments",
    _PORTS["payments"],
    9083,
    settings={"WALLET_URL": address("wallet"), "RISK_URL": address("risk"), "SANDBOX_URL": address("sandbox")},
    # Given also where no sandbox runs: with an empty secret anybody could sign the sandbox's webhooks.
    secrets={"SANDBOX_API_KEY": "sandbox-api-key", "SANDBOX_WEBHOOK_SECRET": "sandbox-webhook-secret"},
)
RISK: Final = Service("risk", _PORTS["risk"], 9084)
SANDBOX: Final = Service(
    "sandbox",
    _PORTS["sandbox"],
    settings={"WEBHOOK_URL": f"{address('payments')}/v1/connectors/sandbox/webhook"},
    secrets={"API_KEY": "sandbox-api-key", "WEBHOOK_SECRET": "sandbox-webhook-secret"},
)
PRODUCT: Final = (GATEWAY, IDENTITY, WALLET, PAYMENTS, RISK)


def services(*, sandbox: bool) -> tuple[Service, ...]:
    """Give the product's services, and the stand-in for a card provider where it is wanted: it pays with no money."""
    return (*PRODUCT, SANDBOX) if sandbox else PRODUCT


def generated(chosen: tuple[Service, ...]) -> dict[str, int]:
    """Give the secrets that Secrets Manager draws, each with its length in letters and digits."""
    stored = [f"{service.name}-database-password" for service in chosen if service.has_database]
    clients = [f"client-{name}" for name in CLIENTS]
    words = [*stored, *clients, "redis-password", "admin-password", "sandbox-api-key"]
    keys = ["identity-key-seed", "wallet-checkpoint-seed", "sandbox-webhook-seed"]
    return {**dict.fromkeys(words, PASSWORD_CHARS), **dict.fromkeys(keys, BASE64_CHARS)}


def composed(chosen: tuple[Service, ...]) -> dict[str, str]:
    """Give the secrets that are put together of generated ones and addresses, as templates."""
    clients = ",".join(f'"{name}":"{{client-{name}}}"' for name in CLIENTS)
    return {
        **{
            f"{service.name}-database-url": (
                f"postgresql://{service.name}:{{{service.name}-database-password}}"
                f"@{{database:{service.name}}}:5432/{service.name}"
            )
            for service in chosen
            if service.has_database
        },
        "redis-url": "rediss://:{redis-password}@{redis}:6379/0",
        "service-clients": f"{{{clients}}}",
        "identity-key-encryption-key": f"{{identity-key-seed}}{BASE64_SUFFIX}",
        "wallet-checkpoint-key": f"{{wallet-checkpoint-seed}}{BASE64_SUFFIX}",
        "sandbox-webhook-secret": f"whsec_{{sandbox-webhook-seed}}{BASE64_SUFFIX}",
    }


PARAMETER_SECRETS: Final = frozenset({"mail-url"})
"""Secrets that only the operator knows: a parameter that CloudFormation never shows gives them."""


def fill(template: str, values: dict[str, str]) -> str:
    """Put values for `{name}` where they stand; other braces stay, since JSON is made of them."""
    for name, value in values.items():
        template = template.replace(f"{{{name}}}", value)
    return template
