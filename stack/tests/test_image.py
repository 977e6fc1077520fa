"""Proves that the image's entry point, health check and build script know exactly the services that there are."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ledgerlink_stack.layout import DATABASES, SERVICES

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "deploy" / "image"
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def healthy() -> Any:
    """The health check as a module; it has no suffix, since it is a program."""
    loader = importlib.machinery.SourceFileLoader("healthy", str(IMAGE / "healthy"))
    spec = importlib.util.spec_from_loader("healthy", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def entry(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """The entry point in a place where `python` says what it was called with: its exit code and its words."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            ["/bin/sh", str(IMAGE / "ledgerlink"), *arguments],
            env={"PATH": f"{tmp_path}:/bin:/usr/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def commands() -> dict[str, set[str]]:
    """The services that the entry point starts, by the verb."""
    text = (IMAGE / "ledgerlink").read_text()
    found = re.findall(r'"(\w+) (server|worker|migrate)"', text)
    return {verb: {name for name, its in found if its == verb} for verb in ("server", "worker", "migrate")}


def test_the_entry_point_knows_each_service_with_what_it_has() -> None:
    assert commands() == {
        "server": {service.name for service in SERVICES},
        "worker": {service.name for service in SERVICES if service.worker_port is not None},
        "migrate": set(DATABASES),
    }


@pytest.mark.parametrize(
    "arguments", [("wallet",), ("wallet", "server2"), ("gateway", "worker"), ("databases",), ("x",)], ids=" ".join
)
def test_a_command_that_does_not_exist_is_refused_with_what_there_is(
    entry: Callable[..., tuple[int, str]], arguments: tuple[str, ...]
) -> None:
    code, words = entry(*arguments)
    assert code == 2
    assert f"there is nothing called: {' '.join(arguments)}" in words
    assert "SERVICE server" in words


@pytest.mark.parametrize(
    ("arguments", "started"),
    [
        (("wallet", "server"), "-m ledgerlink_wallet.app"),
        (("wallet", "worker"), "-m ledgerlink_wallet.worker"),
        (("wallet", "audit"), "-m ledgerlink_wallet.auditor"),
        (("sandbox", "migrate"), "-m ledgerlink_kit.database_tasks migrate sandbox"),
        (("databases", "wallet", "risk"), "-m ledgerlink_kit.database_tasks create wallet risk"),
        (("python", "-m", "ledgerlink_wallet.app"), "-m ledgerlink_wallet.app"),
    ],
)
def test_a_command_becomes_the_process_it_names(
    entry: Callable[..., tuple[int, str]], arguments: tuple[str, ...], started: str
) -> None:
    assert entry(*arguments) == (0, f"{started}\n")


def test_without_a_command_the_image_says_what_it_can_do(entry: Callable[..., tuple[int, str]]) -> None:
    code, words = entry("help")
    assert code == 0
    assert "SERVICE migrate" in words


def test_the_build_installs_every_member_that_runs_in_production() -> None:
    members = re.search(r'members="([^"]+)"', (IMAGE / "install.sh").read_text())
    assert members is not None
    there = {path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("*/*/pyproject.toml")}
    assert set(members[1].split()) == {path for path in there if path.startswith(("libs/", "services/"))}


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        (b"python\0-m\0ledgerlink_wallet.app\0", "WALLET_PORT"),
        (b"python\0-m\0ledgerlink_wallet.worker\0", "WALLET_WORKER_PORT"),
        (b"/app/bin/python\0-m\0ledgerlink_gateway.app\0", "GATEWAY_PORT"),
    ],
)
def test_the_health_check_asks_at_the_port_that_the_process_was_given(command: bytes, variable: str) -> None:
    ports = {"WALLET_PORT": "1", "WALLET_WORKER_PORT": "2", "GATEWAY_PORT": "3"}
    assert healthy().port_of(command, ports) == int(ports[variable])


def test_a_container_without_a_server_is_not_healthy() -> None:
    with pytest.raises(ValueError, match="neither a server nor a worker"):
        healthy().port_of(b"python\0-m\0ledgerlink_kit.database_tasks\0create\0", {})


def test_the_final_image_runs_as_nobody_in_particular_and_has_a_health_check() -> None:
    build, final = re.split(r"(?m)^FROM ", DOCKERFILE)[1:]
    assert "AS build" in build.splitlines()[0]
    assert re.search(r"(?m)^USER [1-9]\d*:[1-9]\d*$", final)
    assert 'CMD ["healthy"]' in final
    assert "RUN" not in final
    assert "<<" not in DOCKERFILE


def test_what_the_dockerfile_copies_is_let_through() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    lines = [line.split() for line in DOCKERFILE.splitlines() if line.startswith("COPY ") and "--from" not in line]
    for path in {path for line in lines for path in line[1:-1]}:
        assert (ROOT / path).exists(), path
        assert any(path == name or path.startswith(f"{name}/") for name in allowed), path
