"""Proves that secrets are made once, kept closed and never lost, and that every setting can be chosen from outside."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from ledgerlink_stack import layout
from ledgerlink_stack.home import Home, load_secrets, note_shown, read_settings
from ledgerlink_stack.layout import CLIENTS, DATABASES, SERVICES
from ledgerlink_stack.plan import MARK, Plan, load_plan, save_plan
from ledgerlink_stack.trouble import Trouble


def plan_of(home: Home, **given: str) -> Plan:
    known = load_secrets(home, DATABASES, CLIENTS)
    return layout.build_plan(home, known, layout.choose_ports(given), given, None)


def environment_of(plan: Plan, name: str) -> dict[str, str]:
    program = plan.program(name)
    assert program is not None
    return program.environment


def test_secrets_are_made_once_and_readable_by_their_owner_only(home: Home) -> None:
    first = load_secrets(home, DATABASES, CLIENTS)
    assert load_secrets(home, DATABASES, CLIENTS) == first
    assert stat.S_IMODE(home.secrets_file.stat().st_mode) == 0o600


def test_a_new_service_gets_its_password_and_the_others_keep_theirs(home: Home) -> None:
    before = load_secrets(home, ("wallet",), ())
    after = load_secrets(home, ("wallet", "risk"), ("payments",))
    assert after.databases["wallet"] == before.databases["wallet"]
    assert after.databases["risk"]
    assert after.admin_password == before.admin_password


def test_damaged_secrets_are_never_overwritten(home: Home) -> None:
    home.secrets_file.write_text("{ torn")
    with pytest.raises(Trouble, match="is damaged"):
        load_secrets(home, DATABASES, CLIENTS)
    assert home.secrets_file.read_text() == "{ torn"


def test_secrets_do_not_print_themselves(home: Home) -> None:
    known = load_secrets(home, DATABASES, CLIENTS)
    assert known.admin_password not in repr(known)


def test_that_the_password_was_shown_is_remembered(home: Home) -> None:
    known = load_secrets(home, DATABASES, CLIENTS)
    assert not known.shown
    note_shown(home, known)
    assert load_secrets(home, DATABASES, CLIENTS).shown


def test_settings_that_always_hold_stand_in_a_file(home: Home) -> None:
    home.chosen_settings.write_text("# mine\nexport GATEWAY_PORT=9000\n\nWALLET_LOG_LEVEL='DEBUG'\n")
    assert read_settings(home) == {"GATEWAY_PORT": "9000", "WALLET_LOG_LEVEL": "DEBUG"}


def test_a_line_that_is_no_setting_is_named(home: Home) -> None:
    home.chosen_settings.write_text("GATEWAY_PORT=9000\nrubbish\n")
    with pytest.raises(Trouble, match="Line 2"):
        read_settings(home)


def test_the_home_is_found_from_inside_the_project(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "ledgerlink"\n')
    (tmp_path / "deep" / "er").mkdir(parents=True)
    assert Home.find({}, tmp_path / "deep" / "er").path == tmp_path / ".ledgerlink"


def test_the_environment_moves_the_home(tmp_path: Path) -> None:
    assert Home.find({"LEDGERLINK_HOME": str(tmp_path / "x")}, tmp_path).path == tmp_path / "x"


def test_the_plan_has_every_service_and_worker_with_its_own_mark(home: Home) -> None:
    plan = plan_of(home, LEDGERLINK_NURSERY="off")
    names = [program.name for program in plan.programs]
    assert names == [
        "postgres", "redis", "sandbox", "identity", "identity-worker", "wallet", "wallet-worker",
        "payments", "payments-worker", "risk", "risk-worker", "gateway",
    ]  # fmt: skip
    assert all(program.environment[MARK] == f"{plan.stack_id}/{program.name}" for program in plan.programs)


def test_services_are_born_in_the_nursery_when_it_is_on(home: Home) -> None:
    on, off = plan_of(home, LEDGERLINK_NURSERY="on"), plan_of(home, LEDGERLINK_NURSERY="off")
    assert {program.name for program in on.programs} - {program.name for program in off.programs} == {"nursery"}
    assert all(program.module for program in on.programs if program.kind == "http")
    assert not any(program.module for program in off.programs)


def test_another_shell_does_not_make_another_plan(home: Home) -> None:
    first, second = plan_of(home, PATH="/bin", SHLVL="1"), plan_of(home, PATH="/usr/bin", COLUMNS="80")
    assert first.fingerprint() == second.fingerprint()
    assert first.fingerprint() != plan_of(home, WALLET_LOG_LEVEL="DEBUG").fingerprint()


def test_a_plan_survives_its_file(home: Home) -> None:
    plan = plan_of(home)
    save_plan(home.plan_file, plan)
    assert load_plan(home.plan_file) == plan
    assert stat.S_IMODE(home.plan_file.stat().st_mode) == 0o600


def test_a_chosen_port_reaches_everyone_who_calls_it(home: Home) -> None:
    plan = plan_of(home, WALLET_PORT="18082")
    assert environment_of(plan, "wallet")["WALLET_PORT"] == "18082"
    assert environment_of(plan, "payments")["PAYMENTS_WALLET_URL"] == "http://127.0.0.1:18082"
    assert environment_of(plan, "gateway")["GATEWAY_WALLET_URL"] == "http://127.0.0.1:18082"


def test_every_setting_of_a_service_can_be_chosen_and_reaches_only_that_service(home: Home) -> None:
    plan = plan_of(home, WALLET_LOG_LEVEL="DEBUG")
    assert environment_of(plan, "wallet-worker")["WALLET_LOG_LEVEL"] == "DEBUG"
    assert "WALLET_LOG_LEVEL" not in environment_of(plan, "risk")


def test_a_database_of_ones_own_replaces_the_embedded_one_for_that_service(home: Home) -> None:
    plan = plan_of(home, WALLET_DATABASE_URL="postgresql://me:pw@db.example/wallet")
    assert environment_of(plan, "wallet")["WALLET_DATABASE_URL"] == "postgresql://me:pw@db.example/wallet"
    assert "wallet" not in plan.databases
    assert "risk" in plan.databases


def test_no_embedded_server_is_started_when_nobody_needs_it(home: Home) -> None:
    given = {f"{name.upper()}_DATABASE_URL": f"postgresql://db.example/{name}" for name in DATABASES}
    given |= {f"{service.prefix}REDIS_URL": "redis://cache.example/0" for service in SERVICES}
    plan = plan_of(home, **given)
    assert plan.program("postgres") is None
    assert plan.program("redis") is None
    assert plan.databases == {}


def test_two_processes_on_one_port_are_refused(home: Home) -> None:
    with pytest.raises(Trouble, match="WALLET_PORT and PAYMENTS_PORT are both 9000"):
        plan_of(home, WALLET_PORT="9000", PAYMENTS_PORT="9000")


@pytest.mark.parametrize("text", ["0", "65536", "http", "-1", "\N{FULLWIDTH DIGIT EIGHT}"])
def test_a_port_that_is_none_is_refused(home: Home, text: str) -> None:
    with pytest.raises(Trouble, match="is no port"):
        plan_of(home, GATEWAY_PORT=text)


def test_prometheus_is_told_of_every_server_and_worker_on_the_chosen_ports() -> None:
    targets = layout.scrape_targets(layout.choose_ports({"WALLET_WORKER_PORT": "9999"}))
    told = {tuple(each["labels"].values()): each["targets"] for each in json.loads(json.dumps(targets))}
    assert told["wallet", "worker"] == ["127.0.0.1:9999"]
    assert told["wallet", "server"] == ["127.0.0.1:8082"]
    workers = sum(service.worker_port is not None for service in SERVICES)
    assert len(told) == len(targets) == len(SERVICES) + workers


def test_no_service_is_told_the_secrets_of_another(home: Home) -> None:
    plan = plan_of(home)
    known = load_secrets(home, DATABASES, CLIENTS)
    wallet = json.dumps(environment_of(plan, "wallet"))
    assert known.databases["wallet"] in wallet
    for secret in (known.postgres, known.databases["risk"], known.admin_password, known.clients["payments"]):
        assert secret not in wallet


def test_a_proxy_does_not_come_between_our_own_processes(home: Home) -> None:
    plan = plan_of(home, HTTP_PROXY="http://proxy.example:3128", NO_PROXY="intranet")
    assert environment_of(plan, "payments")["NO_PROXY"] == "intranet,127.0.0.1,localhost"


def test_optimized_python_is_not_passed_on_since_assertions_are_law(home: Home) -> None:
    assert "PYTHONOPTIMIZE" not in environment_of(plan_of(home, PYTHONOPTIMIZE="1"), "wallet")


def test_opentelemetrys_settings_reach_every_process_of_ours_and_no_server(home: Home) -> None:
    plan = plan_of(home, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:4318", OTEL_TRACES_SAMPLER="always_on")
    for program in plan.programs:
        is_ours = program.kind in {"http", "nursery"}
        assert ("OTEL_EXPORTER_OTLP_ENDPOINT" in program.environment) is is_ours, program.name
        assert (program.environment.get("OTEL_TRACES_SAMPLER") == "always_on") is is_ours, program.name
