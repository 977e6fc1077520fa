"""Proves that compose.yaml gives each process of ours what it needs, shows no secret and opens only what is meant."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml
from pydantic import SecretStr

from ledgerlink_gateway.runtime import Settings as GatewaySettings
from ledgerlink_identity.runtime import Settings as IdentitySettings
from ledgerlink_kit.http_app import DRAIN_S
from ledgerlink_payments.runtime import Settings as PaymentsSettings
from ledgerlink_risk.runtime import RiskSettings
from ledgerlink_sandbox.runtime import Settings as SandboxSettings
from ledgerlink_stack import layout
from ledgerlink_stack.containers import IMAGE_ACCOUNT, TRACES, environment, secret_files, write_secrets
from ledgerlink_stack.home import Home, Secrets
from ledgerlink_stack.layout import CLIENTS, DATABASES, SERVICES
from ledgerlink_stack.trouble import Trouble
from ledgerlink_wallet.runtime import WalletSettings

if TYPE_CHECKING:
    from ledgerlink_kit.settings import ServiceSettings
from ledgerlink_kit.tracing import TracingSettings

ROOT = Path(__file__).resolve().parents[2]
MOUNTED = "/run/secrets/"
SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "identity": IdentitySettings,
    "wallet": WalletSettings,
    "payments": PaymentsSettings,
    "risk": RiskSettings,
    "sandbox": SandboxSettings,
}
# What only one of the two places sets, and why. The gateway has an address of its own there. A customer's webhook
# endpoint on the same machine can be reached from the local stack alone.
ONLY_IN_COMPOSE = {"IDENTITY_TRUSTED_PROXIES"}
TRACED = {f"OTEL_{field}".upper() for field in TracingSettings.model_fields}
ONLY_ON_A_LAPTOP = {"PAYMENTS_WEBHOOK_ALLOW_LOOPBACK"}
SECRET_WORDS = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY\b|API_KEY|DATABASE_URL|REDIS_URL|ADMIN_URL|SERVICE_CLIENTS")


def read(text: str) -> Any:
    """compose.yaml with the default of everything that it leaves open."""
    return yaml.safe_load(re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text))


DOCUMENT = read((ROOT / "compose.yaml").read_text())
EVERYTHING: dict[str, dict[str, Any]] = DOCUMENT["services"]
OURS = {name: service for name, service in EVERYTHING.items() if service["image"] == "ledgerlink:local"}
PROCESSES = {name: service for name, service in OURS.items() if name != "databases"}


def program(process: str) -> str:
    """The service that a process belongs to."""
    return process.removesuffix("-worker")


def variables(service: dict[str, Any]) -> dict[str, str]:
    """A service's environment."""
    return {name: value or "" for name, value in service.get("environment", {}).items()}


def test_there_is_every_process_that_the_local_stack_has() -> None:
    local = {service.name: "server" for service in SERVICES}
    local |= {f"{service.name}-worker": "worker" for service in SERVICES if service.worker_port is not None}
    assert {name: service["command"] for name, service in PROCESSES.items()} == {
        name: [program(name), kind] for name, kind in local.items()
    }
    verb, *names = OURS["databases"]["command"]
    assert (verb, sorted(names)) == ("databases", sorted(DATABASES))


@pytest.mark.parametrize("name", PROCESSES)
def test_each_process_has_the_settings_of_the_local_stack(name: str, tmp_path: Path) -> None:
    (service,) = (known for known in SERVICES if known.name == program(name))
    secrets = Secrets.generate(DATABASES, CLIENTS)
    local = set(layout.settings_of(service, Home(tmp_path), secrets, layout.choose_ports({}), {}))
    here = {variable.removesuffix("_FILE") for variable in variables(PROCESSES[name])}
    # Traces have a receiver there.
    assert here & TRACED == {"OTEL_EXPORTER_OTLP_ENDPOINT"}
    here -= TRACED
    prefix = service.prefix
    assert here - local == {variable for variable in ONLY_IN_COMPOSE if variable.startswith(prefix)}
    assert local - here == {variable for variable in ONLY_ON_A_LAPTOP if variable.startswith(prefix)}


def settings(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ServiceSettings:
    """What a process makes of its environment, its secrets being the files in `folder`."""
    kind = SETTINGS[program(name)]
    prefix = str(kind.model_config.get("env_prefix", ""))
    fields = {f"{prefix}{field}".upper() for field in kind.model_fields}
    for variable, value in variables(PROCESSES[name]).items():
        assert variable.removesuffix("_FILE") in fields | TRACED, f"{variable} is no setting of {name}"
        monkeypatch.setenv(variable, value.replace(MOUNTED, f"{folder}/"))
    return kind()


def test_each_process_accepts_its_settings_and_they_fit_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = write_secrets(tmp_path)
    found = {name: settings(name, tmp_path, monkeypatch) for name in PROCESSES}
    for name, its in found.items():
        own = its.model_dump()
        if name != "gateway":
            address = urlsplit(str(own["database_url"].get_secret_value()))
            assert (address.username, address.path) == (program(name), f"/{program(name)}")
            assert address.password == known.databases[program(name)]
        if own["client_id"]:
            clients = found["identity"].model_dump()["service_clients"]
            assert own["client_secret"].get_secret_value() == clients[own["client_id"]].get_secret_value()
        assert own["issuer"] == found["gateway"].issuer
    payments, sandbox = found["payments"].model_dump(), found["sandbox"].model_dump()
    assert payments["sandbox_api_key"] == sandbox["api_key"]
    assert payments["sandbox_webhook_secret"] == sandbox["webhook_secret"]


def test_every_address_is_one_of_a_service_in_a_shared_network() -> None:
    ports = {"postgres": 5432, "redis": 6379, "mail": 1025}
    servers = {name: service for name, service in PROCESSES.items() if name == program(name)}
    ports |= {name: int(variables(service)[f"{name.upper()}_PORT"]) for name, service in servers.items()}
    contents = secret_files(Secrets.generate(DATABASES, CLIENTS))
    for name, service in OURS.items():
        for variable, value in variables(service).items():
            text = contents[value.removeprefix(MOUNTED)] if value.startswith(MOUNTED) else value
            address = urlsplit(text) if "://" in text and variable.split("_")[-1] in {"URL", "FILE"} else None
            if address is None or variable == "IDENTITY_PUBLIC_URL":
                continue
            assert ports[str(address.hostname)] == address.port, f"{name}: {variable}"
            shared = set(service["networks"]) & set(EVERYTHING[str(address.hostname)]["networks"])
            assert shared, f"{name} cannot reach {address.hostname}"


def test_no_secret_is_a_value_and_each_goes_to_those_who_use_it_alone() -> None:
    for name, service in EVERYTHING.items():
        for variable, value in variables(service).items():
            if SECRET_WORDS.search(variable):
                assert variable.endswith("_FILE"), f"{name}: {variable} is given by value"
                assert value.startswith(MOUNTED), f"{name}: {variable}"
        written = [*variables(service).values(), *service.get("command", [])]
        used = {text.removeprefix(MOUNTED) for text in written if text.startswith(MOUNTED)}
        assert used == set(service.get("secrets", [])), name


@pytest.mark.parametrize("name", SETTINGS)
def test_whatever_a_service_calls_secret_is_given_by_file(name: str) -> None:
    kind = SETTINGS[name]
    hidden = [field for field, about in kind.model_fields.items() if SecretStr.__name__ in str(about.annotation)]
    secret = {f"{name}_{field}".upper() for field in hidden}
    assert secret
    assert not secret & set(variables(PROCESSES[name]))


def test_only_the_gateway_and_three_pages_are_published_and_to_this_machine_alone() -> None:
    published = {name: service["ports"] for name, service in EVERYTHING.items() if "ports" in service}
    assert published == {
        "gateway": ["127.0.0.1:8080:8080"],
        "mail": ["127.0.0.1:8025:8025"],
        "grafana": ["127.0.0.1:3000:3000"],
        "jaeger": ["127.0.0.1:16686:16686"],
    }


def test_only_those_who_must_have_a_way_out() -> None:
    networks = DOCUMENT["networks"]
    closed = {name for name, network in networks.items() if network.get("internal")}
    assert closed == {"inner", "store"}
    outside = {name for name, service in EVERYTHING.items() if set(service["networks"]) - closed}
    assert outside == {"gateway", "payments-worker", "mail", "grafana", "jaeger"}
    assert "store" not in EVERYTHING["gateway"]["networks"]


@pytest.mark.parametrize("name", EVERYTHING)
def test_nothing_runs_as_root_writes_to_its_image_or_takes_all_memory(name: str) -> None:
    service = EVERYTHING[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["restart"] == ("no" if name == "databases" else "unless-stopped")


@pytest.mark.parametrize("name", PROCESSES)
def test_each_process_of_ours_is_asked_whether_it_is_ready(name: str) -> None:
    check = PROCESSES[name]["healthcheck"]
    assert check["test"] == ["CMD", "healthy"]
    assert not check.get("disable")


@pytest.mark.parametrize("name", EVERYTHING)
def test_whoever_is_stopped_has_longer_than_it_may_take_to_finish(name: str) -> None:
    assert int(EVERYTHING[name]["stop_grace_period"].removesuffix("s")) >= DRAIN_S + 8


def test_redis_may_hold_less_than_its_container() -> None:
    megabytes = re.search(r"maxmemory (\d+)mb", secret_files(Secrets.generate(DATABASES, CLIENTS))["redis_conf"])
    assert megabytes is not None
    assert int(megabytes[1]) <= 0.75 * int(EVERYTHING["redis"]["mem_limit"].removesuffix("m"))


@pytest.mark.parametrize("name", EVERYTHING)
def test_an_image_is_pinned_to_a_version(name: str) -> None:
    image = EVERYTHING[name]["image"]
    assert image == "ledgerlink:local" or re.fullmatch(r"[a-z0-9/-]+:v?\d+\.\d+(\.\d+)?(-[a-z]+)?", image), image


def test_who_is_waited_for_is_there_and_can_be_waited_for() -> None:
    for name, service in EVERYTHING.items():
        for other, how in service.get("depends_on", {}).items():
            waited = EVERYTHING[other]
            if how["condition"] == "service_healthy":
                assert not waited["healthcheck"].get("disable"), f"{name} waits for {other} for ever"
            else:
                assert how["condition"] == "service_completed_successfully"
                assert waited["restart"] == "no", f"{other} never completes"
            assert set(service["profiles"]) <= set(waited["profiles"]), f"{name} needs {other} in its profiles"


def test_grafana_loads_nothing_from_its_makers_at_a_start() -> None:
    assert variables(EVERYTHING["grafana"])["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"


def test_each_service_belongs_to_one_of_two_profiles() -> None:
    assert {tuple(service["profiles"]) for service in EVERYTHING.values()} == {("core",), ("observability",)}


def test_traces_go_to_the_collector_and_from_there_to_jaeger() -> None:
    collector = yaml.safe_load((ROOT / "deploy/observability/otel-collector.yaml").read_text())
    address = urlsplit(TRACES)
    assert str(address.hostname) in EVERYTHING
    assert collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"] == f"0.0.0.0:{address.port}"
    jaeger = urlsplit(str(collector["exporters"]["otlphttp/jaeger"]["endpoint"]))
    assert (jaeger.hostname in EVERYTHING, jaeger.port) == (True, 4318)
    batch = collector["processors"]["batch"]
    assert batch.get("send_batch_size", 8192) <= batch["send_batch_max_size"], "the collector refuses to start"
    pipeline = collector["service"]["pipelines"]["traces"]
    assert pipeline["exporters"] == ["otlphttp/jaeger"]


def test_secrets_are_the_files_that_compose_mounts_closed_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "secrets"
    first = write_secrets(folder)
    declared = {name: Path(secret["file"]).name for name, secret in DOCUMENT["secrets"].items()}
    assert set(declared) == set(declared.values()) == set(secret_files(first))
    before = {file.name: file.read_text() for file in folder.iterdir()}
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert write_secrets(folder) == first
    assert {file.name: file.read_text() for file in folder.iterdir()} == before


def test_a_run_that_was_interrupted_is_mended_with_the_same_secrets(tmp_path: Path) -> None:
    first = write_secrets(tmp_path)
    (tmp_path / "redis_url").unlink()
    (tmp_path / "redis_conf").write_text("half")
    assert write_secrets(tmp_path) == first
    assert (tmp_path / "redis_url").read_text() == secret_files(first)["redis_url"]
    assert f"requirepass {first.redis}\n" in (tmp_path / "redis_conf").read_text()


def test_damaged_secrets_stop_the_start(tmp_path: Path) -> None:
    write_secrets(tmp_path)
    (tmp_path / "secrets.json").write_text("{ torn")
    with pytest.raises(Trouble, match="is damaged"):
        write_secrets(tmp_path)


def test_containers_never_run_as_root_and_trace_when_somebody_listens(tmp_path: Path) -> None:
    core = environment(tmp_path, "core", "abc", {})
    assert int(core["LEDGERLINK_UID"]) == ((tmp_path.stat().st_uid) or IMAGE_ACCOUNT)
    assert core["LEDGERLINK_OTLP_ENDPOINT"] == ""
    assert environment(tmp_path, "core,observability", "abc", {})["LEDGERLINK_OTLP_ENDPOINT"] == TRACES
    assert environment(tmp_path, "core", "abc", {"LEDGERLINK_UID": "7"})["LEDGERLINK_UID"] == "7"
