"""LedgerLink's processes on one machine: which there are, on which ports, with which settings.

Every setting of a service can be given in the environment or in `stack.env` under its own name (`WALLET_LOG_LEVEL`,
`GATEWAY_PORT`, …) and then wins over what stands here. `<SERVICE>_DATABASE_URL` and `<SERVICE>_REDIS_URL` point a
service at a real server; when no service is left on an embedded server, that server is not started.
"""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ledgerlink_stack import postgres, redis
from ledgerlink_stack.child import clean_environment
from ledgerlink_stack.plan import INHERITED, MARK, NURSERY, Plan, Program
from ledgerlink_stack.ports import LOOPBACK, quiet_port
from ledgerlink_stack.trouble import Trouble

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from ledgerlink_stack.accounts import Account
    from ledgerlink_stack.home import Home, Secrets

GATEWAY_STAGE, SERVICE_STAGE, NURSERY_STAGE, SERVER_STAGE = 0, 1, 2, 9
POSTGRES_PORT, REDIS_PORT = "LEDGERLINK_POSTGRES_PORT", "LEDGERLINK_REDIS_PORT"
# Below 32768, where Linux begins to lend ports to clients (macOS: 49152): no connection of anybody's is in the way.
DEFAULT_POSTGRES_PORT, DEFAULT_REDIS_PORT = 25432, 26380
# A fork of a process that touched macOS's own frameworks may crash there; a direct start is merely slower.
NURSERY_CHOICE = "LEDGERLINK_NURSERY"
TELEMETRY_PREFIX = "OTEL_"  # OpenTelemetry's own names: the same settings for all processes
ADMIN_EMAIL = "admin@ledgerlink.example"
HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its port, its worker's if it has one, and whether it keeps data and calls others by token."""

    name: str
    port: int
    worker_port: int | None = None
    has_database: bool = True
    has_client: bool = True

    @property
    def prefix(self) -> str:
        """The start of its variables' names."""
        return f"{self.name.upper()}_"


SERVICES = (
    Service("sandbox", 8085, has_client=False),
    Service("identity", 8081, 9081, has_client=False),
    Service("wallet", 8082, 9082),
    Service("payments", 8083, 9083),
    Service("risk", 8084, 9084),
    Service("gateway", 8080, has_database=False),
)
DATABASES = tuple(service.name for service in SERVICES if service.has_database)
CLIENTS = tuple(service.name for service in SERVICES if service.has_client)


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports in use after everything that the operator chose."""

    services: dict[str, int]
    workers: dict[str, int]
    postgres: int
    redis: int

    def url(self, service: str) -> str:
        """Return where `service` answers."""
        return f"http://{LOOPBACK}:{self.services[service]}"


def choose_ports(given: Mapping[str, str]) -> Ports:
    """Return the ports, the operator's choice first. Raises `Trouble` for one that is none or is taken twice."""
    named: dict[str, tuple[str, int]] = {
        "postgres": (POSTGRES_PORT, _port(given, POSTGRES_PORT, DEFAULT_POSTGRES_PORT)),
        "redis": (REDIS_PORT, _port(given, REDIS_PORT, DEFAULT_REDIS_PORT)),
    }
    for service in SERVICES:
        named[service.name] = (f"{service.prefix}PORT", _port(given, f"{service.prefix}PORT", service.port))
        if service.worker_port is not None:
            variable = f"{service.prefix}WORKER_PORT"
            named[f"{service.name}-worker"] = (variable, _port(given, variable, service.worker_port))
    seen: dict[int, str] = {}
    for variable, port in named.values():
        if port in seen:
            raise Trouble(f"{seen[port]} and {variable} are both {port}.", "Give each process a port of its own.")
        seen[port] = variable
    return Ports(
        services={service.name: named[service.name][1] for service in SERVICES},
        workers={
            service.name: named[f"{service.name}-worker"][1] for service in SERVICES if service.worker_port is not None
        },
        postgres=named["postgres"][1],
        redis=named["redis"][1],
    )


def quiet_ports(dice: random.Random) -> dict[str, str]:
    """Return a free port for each process of a stack of one's own, all different, by the setting that names it."""
    names = [POSTGRES_PORT, REDIS_PORT, *(f"{service.prefix}PORT" for service in SERVICES)]
    names += [f"{service.prefix}WORKER_PORT" for service in SERVICES if service.worker_port is not None]
    chosen: set[int] = set()
    while len(chosen) < len(names):
        chosen.add(quiet_port(dice))
    return {name: str(port) for name, port in zip(names, sorted(chosen), strict=True)}


def scrape_targets(ports: Ports) -> list[dict[str, object]]:
    """Return every server and worker as Prometheus' file-based discovery reads them: `job` is the service."""

    def target(job: str, role: str, port: int) -> dict[str, object]:
        return {"targets": [f"{LOOPBACK}:{port}"], "labels": {"job": job, "role": role}}

    return [
        *(target(name, "server", port) for name, port in ports.services.items()),
        *(target(name, "worker", port) for name, port in ports.workers.items()),
    ]


def _port(given: Mapping[str, str], variable: str, default: int) -> int:
    """Return the port that the operator chose, or the default."""
    text = given.get(variable, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= HIGHEST_PORT:
        raise Trouble(f"{variable} is {text!r}, which is no port.", f"Choose a number from 1 to {HIGHEST_PORT}.")
    return int(text)


def settings_of(service: Service, home: Home, known: Secrets, ports: Ports, given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of one service, with the operator's own on top."""
    mine = {
        "ENVIRONMENT": "local",
        "HOST": LOOPBACK,
        "PORT": str(ports.services[service.name]),
        "ISSUER": ports.url("gateway"),
        "IDENTITY_URL": ports.url("identity"),
        "REDIS_URL": redis.url(ports.redis, known.redis),
        "LOG_FORMAT": "console",
        **_own_settings(service.name, home, known, ports),
    }
    if service.worker_port is not None:
        mine["WORKER_PORT"] = str(ports.workers[service.name])
    if service.has_database:
        password = known.databases[service.name]
        mine["DATABASE_URL"] = f"postgresql://{service.name}:{password}@{LOOPBACK}:{ports.postgres}/{service.name}"
    if service.has_client:
        mine["CLIENT_ID"] = service.name
        mine["CLIENT_SECRET"] = known.clients[service.name]
    result = {f"{service.prefix}{name}": value for name, value in mine.items()}
    result.update({name: value for name, value in given.items() if name.startswith(service.prefix) and value})
    return result


def _own_settings(name: str, home: Home, known: Secrets, ports: Ports) -> dict[str, str]:
    """Return what only this service has."""
    url = ports.url
    if name == "identity":
        return {
            "ADMIN_EMAIL": ADMIN_EMAIL,
            "ADMIN_PASSWORD": known.admin_password,
            "KEY_ENCRYPTION_KEY": known.key_encryption_key,
            "SERVICE_CLIENTS": json.dumps(known.clients, sort_keys=True),
            "MAIL_URL": home.mail.as_uri(),
            "MAIL_FROM": "LedgerLink <no-reply@ledgerlink.example>",
            "PUBLIC_URL": url("gateway"),
        }
    if name == "sandbox":
        return {
            "API_KEY": known.sandbox_api_key,
            "WEBHOOK_SECRET": known.sandbox_webhook_secret,
            "WEBHOOK_URL": f"{url('payments')}/v1/connectors/sandbox/webhook",
        }
    if name == "payments":
        return {
            "WALLET_URL": url("wallet"),
            "RISK_URL": url("risk"),
            "SANDBOX_URL": url("sandbox"),
            "SANDBOX_API_KEY": known.sandbox_api_key,
            "SANDBOX_WEBHOOK_SECRET": known.sandbox_webhook_secret,
            "WEBHOOK_ALLOW_LOOPBACK": "true",
        }
    if name == "wallet":
        return {
            "SELF_FUNDING": "true",
            "CHECKPOINT_KEY": known.checkpoint_key,
            # Each stack is a log of its own, and a log's name says which one it is.
            "CHECKPOINT_ORIGIN": f"ledgerlink.local/{known.stack_id}",
        }
    if name == "risk":
        return {}
    return {
        "WALLET_URL": url("wallet"),
        "PAYMENTS_URL": url("payments"),
        "RISK_URL": url("risk"),
        "LIMIT_SCALE": "50",
    }


def build_plan(home: Home, known: Secrets, ports: Ports, given: Mapping[str, str], account: Account | None) -> Plan:
    """Return everything that the supervisor is to run.

    `given` is the operator's environment; the servers' program is looked for (and for root copied, if its account
    cannot read it) here, so that its absence is said before anything starts.
    """
    programs: list[Program] = []
    settings = {service.name: settings_of(service, home, known, ports, given) for service in SERVICES}
    embedded = [name for name in DATABASES if not given.get(f"{name.upper()}_DATABASE_URL")]
    own_redis = all(given.get(f"{service.prefix}REDIS_URL") for service in SERVICES)
    place = home.server_data(account)
    data = place / "postgres"
    if embedded:
        binaries = postgres.usable_binaries(place, account)
        command = postgres.server_command(binaries, data, ports.postgres)
        programs.append(_postgres(known, ports, command=command, folder=str(place), account=account))
    if not own_redis:
        programs.append(_redis(home, known, ports))
    base = base_environment(given)
    nursery = given.get(NURSERY_CHOICE, "on" if sys.platform == "linux" else "off") != "off"
    if nursery:
        programs.append(_nursery(home, known, base))
    for service in SERVICES:
        found = _service(service, home, known, ports, base, settings[service.name])
        programs.extend(found if nursery else (replace(program, module="") for program in found))
    return Plan(
        stack_id=known.stack_id,
        programs=tuple(programs),
        postgres_data=str(data) if embedded else "",
        postgres_dsn=postgres.superuser_dsn(ports.postgres, known.postgres) if embedded else "",
        databases={name: known.databases[name] for name in embedded},
        redis_password="" if own_redis else known.redis,
    )


def base_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return what every process of ours inherits from the operator's shell; nothing that changes how Python runs it."""
    kept = {name: value for name, value in given.items() if name in INHERITED or name.startswith(TELEMETRY_PREFIX)}
    for name in ("NO_PROXY", "no_proxy"):  # a proxy of the company has no business between our own processes
        kept[name] = ",".join(part for part in (given.get(name, ""), LOOPBACK, "localhost") if part)
    kept["PYTHONUNBUFFERED"] = "1"
    return kept


def _postgres(known: Secrets, ports: Ports, *, command: list[str], folder: str, account: Account | None) -> Program:
    """Describe the embedded PostgreSQL. SIGINT is its fast shutdown: roll back, disconnect, checkpoint, end."""
    return Program(
        name="postgres",
        kind="postgres",
        command=tuple(command),
        port=ports.postgres,
        environment=clean_environment({MARK: f"{known.stack_id}/postgres"}),
        stop_stage=SERVER_STAGE,
        stop_signal=int(signal.SIGINT),
        folder=folder,
        account=account,
    )


def _redis(home: Home, known: Secrets, ports: Ports) -> Program:
    """Describe the embedded Redis server."""
    return Program(
        name="redis",
        kind="redis",
        command=tuple(redis.server_command(ports.redis, home.redis, known.redis)),
        port=ports.redis,
        environment=clean_environment({MARK: f"{known.stack_id}/redis"}),
        stop_stage=SERVER_STAGE,
        stop_signal=int(signal.SIGTERM),
        folder=str(home.redis),
    )


def _nursery(home: Home, known: Secrets, base: dict[str, str]) -> Program:
    """Describe the process that bears the others."""
    return Program(
        name=NURSERY,
        kind="nursery",
        command=(sys.executable, "-m", "ledgerlink_stack.nursery"),
        port=0,
        environment={**base, MARK: f"{known.stack_id}/{NURSERY}"},
        stop_stage=NURSERY_STAGE,
        stop_signal=int(signal.SIGTERM),
        folder=str(home.path),
    )


def _service(
    service: Service, home: Home, known: Secrets, ports: Ports, base: dict[str, str], settings: dict[str, str]
) -> list[Program]:
    """Describe a service's process and its worker's."""
    entries = [(service.name, "app", ports.services[service.name])]
    if service.worker_port is not None:
        entries.append((f"{service.name}-worker", "worker", ports.workers[service.name]))
    return [
        Program(
            name=name,
            kind="http",
            command=(sys.executable, "-m", f"ledgerlink_{service.name}.{module}"),
            module=f"ledgerlink_{service.name}.{module}",
            port=port,
            environment={**base, **settings, MARK: f"{known.stack_id}/{name}"},
            stop_stage=GATEWAY_STAGE if service.name == "gateway" else SERVICE_STAGE,
            stop_signal=int(signal.SIGTERM),
            folder=str(home.path),
        )
        for name, module, port in entries
    ]
