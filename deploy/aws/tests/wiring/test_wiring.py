"""Proves that what AWS gives to each process is what it reads: names, required settings, secrets, commands."""

import inspect
import os
import re
import string
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import asyncpg
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from ledgerlink_aws.signs import Kind, signs_of
from ledgerlink_aws.wiring import (
    BASE64_CHARS,
    BASE64_SUFFIX,
    PARAMETER_SECRETS,
    STOP_S,
    TRACING,
    Process,
    Service,
    composed,
    fill,
    generated,
    migrate_command,
    processes,
    services,
)
from ledgerlink_gateway.runtime import Settings as GatewaySettings
from ledgerlink_identity.connectors.vault import read_key
from ledgerlink_identity.runtime import Settings as IdentitySettings
from ledgerlink_kit import database_tasks
from ledgerlink_kit.db import Database
from ledgerlink_kit.errors import Unavailable
from ledgerlink_kit.http_app import DRAIN_S
from ledgerlink_kit.invariants import watch_invariants
from ledgerlink_kit.settings import ServiceSettings
from ledgerlink_kit.tracing import TracingSettings
from ledgerlink_payments.runtime import Settings as PaymentsSettings
from ledgerlink_risk.runtime import RiskSettings
from ledgerlink_sandbox.runtime import Settings as SandboxSettings
from ledgerlink_stack import layout
from ledgerlink_wallet.runtime import WalletSettings

SETTINGS: Final[dict[str, type[ServiceSettings]]] = {
    "gateway": GatewaySettings,
    "identity": IdentitySettings,
    "wallet": WalletSettings,
    "payments": PaymentsSettings,
    "risk": RiskSettings,
    "sandbox": SandboxSettings,
}
EVERY: Final = services(sandbox=True)
ROOT: Final = Path(__file__).parents[4]
WORDS: Final = {
    "namespace": "dev.ledgerlink.internal",
    "domain": "api.example.com",
    "vpc_cidr": "10.20.0.0/16",
    "admin_email": "admin@example.com",
    "mail_from": "LedgerLink <no-reply@example.com>",
}


def resolved() -> dict[str, str]:
    """Give every secret as AWS would: random letters and digits, joined as the templates say."""
    drawn = {name: ("Az09" * chars)[:chars] for name, chars in generated(EVERY).items()}
    addresses = {"redis": "redis.example", **{f"database:{each.name}": "db.example" for each in EVERY}}
    joined = {name: fill(template, {**drawn, **addresses}) for name, template in composed(EVERY).items()}
    return {**drawn, **joined, "mail-url": "smtp://user:password@mail.example:587"}


def fields(service: Service) -> dict[str, FieldInfo]:
    """Give the service's settings by the full names of their variables."""
    return {f"{service.prefix}{name.upper()}": field for name, field in SETTINGS[service.name].model_fields.items()}


@pytest.mark.parametrize("service", EVERY, ids=lambda each: each.name)
def test_every_variable_is_one_that_the_service_reads(service: Service) -> None:
    given_names = {*service.environment(), *service.secret_variables()} - {"PGSSLMODE"}
    tracing = {f"OTEL_{name}".upper() for name in TracingSettings.model_fields}
    assert given_names <= fields(service).keys() | tracing


@pytest.mark.parametrize("service", EVERY, ids=lambda each: each.name)
def test_every_required_setting_is_given(service: Service) -> None:
    required = {name for name, field in fields(service).items() if field.is_required()}
    assert required <= {*service.environment(), *service.secret_variables()}


@pytest.mark.parametrize("service", EVERY, ids=lambda each: each.name)
def test_what_is_secret_or_holds_a_password_never_stands_among_the_open_settings(service: Service) -> None:
    secret = {
        name
        for name, field in fields(service).items()
        if "SecretStr" in str(field.annotation) or name.endswith(("REDIS_URL", "DATABASE_URL", "MAIL_URL"))
    }
    assert not secret & service.environment().keys()
    assert not service.environment().keys() & service.secret_variables().keys()


@pytest.mark.parametrize("service", EVERY, ids=lambda each: each.name)
def test_the_service_accepts_its_settings_as_aws_gives_them(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(service.prefix):
            monkeypatch.delenv(name)
    secrets = resolved()
    for name, value in service.environment().items():
        monkeypatch.setenv(name, fill(value, WORDS))
    for name, secret in service.secret_variables().items():
        monkeypatch.setenv(name, secrets[secret])
    assert TracingSettings().exporter_otlp_endpoint == TRACING["OTEL_EXPORTER_OTLP_ENDPOINT"]
    settings = SETTINGS[service.name]()
    shown = settings.redacted()
    assert settings.environment == "production"
    assert not [name for name, value in shown.items() if isinstance(value, str) and ("{" in value or "Az09" in value)]


@given(st.text(string.ascii_letters + string.digits, min_size=BASE64_CHARS, max_size=BASE64_CHARS))
def test_any_drawn_seed_is_a_key_of_32_bytes(seed: str) -> None:
    text = seed + BASE64_SUFFIX
    assert len(read_key(text)) == 32
    given_settings = {"checkpoint_key": text, "database_url": "postgresql://wallet@db.example/wallet"}
    assert WalletSettings.model_validate(given_settings).signer().key


def test_every_secret_that_a_service_is_given_is_made_once() -> None:
    drawn, joined = generated(EVERY).keys(), composed(EVERY).keys()
    assert not drawn & joined
    wanted = {name for service in EVERY for name in service.secret_variables().values()}
    assert wanted <= {*drawn, *joined, *PARAMETER_SECRETS}


def test_no_composed_secret_has_a_hole() -> None:
    assert not [name for name, value in resolved().items() if "{" in value.replace('{"', "")]


def test_aws_runs_the_same_services_on_the_same_ports_as_the_local_stack() -> None:
    local = {each.name: (each.port, each.worker_port, each.has_database) for each in layout.SERVICES}
    assert {each.name: (each.port, each.worker_port, each.has_database) for each in EVERY} == local


def test_only_the_sandbox_is_missing_where_money_is_real() -> None:
    assert {each.name for each in EVERY} - {each.name for each in services(sandbox=False)} == {"sandbox"}


@pytest.mark.parametrize("process", processes(EVERY), ids=lambda each: each.name)
def test_every_command_names_a_module_that_exists(process: Process) -> None:
    assert process.command[:2] == ["python", "-m"]
    assert find_spec(process.command[2]) is not None


@pytest.mark.parametrize("service", [each for each in EVERY if each.has_database], ids=lambda each: each.name)
def test_the_one_off_task_migrates_the_services_own_database(service: Service) -> None:
    command = migrate_command(service)
    assert command[:3] == ["python", "-m", database_tasks.__name__]
    variable = f"{service.prefix}DATABASE_URL"
    assert variable in service.secret_variables()
    assert database_tasks.main(command[3:], {}) == f"Set {variable}, or {variable}_FILE to a file that holds it."


def test_ecs_waits_longer_than_a_process_may_take_to_finish() -> None:
    assert STOP_S >= DRAIN_S + 8


def test_what_alarms_watch_is_a_metric_of_the_worker_that_tells_it() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text()
    for process in processes(EVERY):
        for sign in signs_of(process):
            (row,) = [line for line in page.splitlines() if f"| `{sign.metric}` |" in line]
            assert ("| counter |" in row) is (sign.kind is Kind.COUNT), sign.metric
            assert "ledgerlink_kit." in row or f"ledgerlink_{process.service.name}." in row, f"{process.name}: {row}"


def test_every_worker_is_watched_and_its_first_sign_shows_that_it_still_tells() -> None:
    for process in processes(EVERY):
        signs = signs_of(process)
        assert bool(signs) is process.is_worker
        assert [sign.name for sign in signs if sign.is_always_told] == (["lag"] if process.is_worker else [])


def test_alarms_begin_where_the_rules_of_prometheus_page() -> None:
    rules = "".join(file.read_text() for file in (ROOT / "deploy/observability/prometheus/rules").glob("alerts-*.yml"))
    pages = dict(re.findall(r"expr: (ledgerlink_\w+) > (\d+)\n", rules))
    ours = {sign.metric: sign.threshold for process in processes(EVERY) for sign in signs_of(process)}
    levels = {metric for metric in pages if metric in ours}
    assert {metric: float(pages[metric]) for metric in levels} == {metric: ours[metric] for metric in levels}
    assert {
        f"ledgerlink_{name}_seconds" for name in ("outbox_lag", "payments_overdue", "wallet_schedules_lag")
    } <= levels


def test_an_invariant_counts_as_unchecked_after_twice_the_time_of_the_rarest_of_its_worker() -> None:
    usual = inspect.signature(watch_invariants).parameters["every_s"].default
    rarest = {"wallet": WalletSettings.model_fields["history_every_s"].default}
    for process in processes(EVERY):
        for sign in signs_of(process):
            if sign.name == "unchecked":
                assert sign.threshold == 2 * rarest.get(process.service.name, usual) + 120


async def test_no_driver_connects_without_tls_when_told_as_on_aws(
    test_servers: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = test_servers[0]  # the throw-away server speaks no TLS, so only a connection in the clear could be made
    with psycopg.connect(url):
        pass
    monkeypatch.setenv("PGSSLMODE", EVERY[1].environment()["PGSSLMODE"])
    with pytest.raises(psycopg.OperationalError, match="SSL"):
        psycopg.connect(url)
    with pytest.raises(ConnectionError, match="SSL"):
        await asyncpg.connect(url)
    database = Database(url, application_name="tls")
    with pytest.raises(Unavailable):
        async with database.transaction():
            pass
    await database.close()


def test_the_templates_are_made_by_the_wheels_own_node() -> None:
    program = (Path(__file__).parents[2] / "app.py").read_text()
    assert program.index("import ledgerlink_aws") < program.index("from aws_cdk")
    assert Path(os.environ["JSII_NODE"]).is_file()
