"""Proves what a person sees: help that teaches, a sentence for a trouble, JSON for programs, questions before loss."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from ledgerlink_stack import logs, report
from ledgerlink_stack.home import Home
from ledgerlink_stack.plan import Plan
from ledgerlink_stack.screen import Progress, duration
from ledgerlink_stack.state import ProcessState
from ledgerlink_stack.up import bring_up

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(home: Home) -> Run:
    """Run `ledgerlink` as a person would, in the test's home."""

    def call(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ledgerlink_stack", *arguments],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LEDGERLINK_HOME": str(home.path), "COLUMNS": "160", **more},
            timeout=60,
        )

    return call


def test_help_teaches_the_verbs_and_how_to_choose_settings(run: Run) -> None:
    shown = run("--help").stdout
    for word in ("up", "down", "status", "logs", "reset", "doctor", "WALLET_DATABASE_URL", "stack.env", "Exit codes"):
        assert word in shown


@pytest.mark.parametrize(
    "verb", ["up", "down", "status", "logs", "restart", "reset", "doctor", "env", "targets", "import", "test-servers"]
)
def test_every_verb_explains_itself(run: Run, verb: str) -> None:
    done = run(verb, "--help")
    assert done.returncode == 0
    assert len(done.stdout) > 100


def test_status_of_nothing_says_so_and_how_to_start(run: Run) -> None:
    done = run("status")
    assert done.returncode == 3
    assert "LedgerLink is down" in done.stdout
    assert "ledgerlink up" in done.stdout


def test_status_for_programs_is_json(run: Run, home: Home, two_services: Plan) -> None:
    bring_up(home, two_services, lambda _processes: None)
    done = run("status", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0
    assert found["state"] == "up"
    assert [line["name"] for line in found["processes"]] == ["supervisor", "one", "two"]
    assert all(line["memory_bytes"] > 0 and line["pid"] > 0 for line in found["processes"])
    assert found["memory_bytes"] == sum(line["memory_bytes"] for line in found["processes"])
    assert found["memory_measure"] in report.MEASURES


def test_status_for_people_is_a_table_that_says_what_it_counts(run: Run, home: Home, two_services: Plan) -> None:
    bring_up(home, two_services, lambda _processes: None)
    shown = run("status").stdout
    assert "total" in shown
    assert "memory is" in shown


def test_down_of_nothing_says_so(run: Run) -> None:
    assert run("down").stdout == "LedgerLink was not running.\n"


def test_logs_show_the_last_lines_of_one_process(run: Run, home: Home) -> None:
    home.log_of("wallet").write_text("".join(f"line {number}\n" for number in range(100)))
    assert run("logs", "wallet", "-n", "2").stdout == "line 98\nline 99\n"


def test_logs_of_all_name_the_speaker(run: Run, home: Home) -> None:
    home.log_of("wallet").write_text("hello\n")
    assert run("logs").stdout == "wallet           | hello\n"


def test_logs_of_a_stranger_name_what_there_is(run: Run, home: Home) -> None:
    home.log_of("wallet").write_text("hello\n")
    done = run("logs", "walet")
    assert done.returncode == 1
    assert done.stderr == "There is no log of 'walet'.\nThere are: wallet.\n"


def test_reset_asks_and_does_nothing_when_nobody_answers(run: Run, home: Home) -> None:
    home.secrets_file.write_text("{}")
    done = run("reset")
    assert done.returncode == 1
    assert "ledgerlink reset --yes" in done.stderr
    assert home.secrets_file.exists()


def test_reset_with_yes_stops_everything_and_leaves_only_what_is_not_ours(
    run: Run, home: Home, two_services: Plan
) -> None:
    bring_up(home, two_services, lambda _processes: None)
    (home.path / "notes.txt").write_text("mine")
    assert run("reset", "--yes").returncode == 0
    assert [entry.name for entry in home.path.iterdir()] == ["notes.txt"]


def test_doctor_finds_nothing_wrong_with_an_empty_home(run: Run) -> None:
    done = run("doctor", "--json", **free_ports())
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0, findings
    assert {"python", "platform", "postgresql", "redis", "home", "space", "secrets", "data", "ports", "stack"} == set(
        findings
    )


def test_doctor_names_secrets_that_others_can_read(run: Run, home: Home) -> None:
    home.secrets_file.write_text("{}")
    home.secrets_file.chmod(0o644)
    done = run("doctor")
    assert done.returncode == 1
    assert "chmod 600" in done.stdout


def free_ports() -> dict[str, str]:
    """Ports that no running stack uses."""
    names = ["GATEWAY", "IDENTITY", "WALLET", "PAYMENTS", "RISK", "SANDBOX"]
    ports = {f"{name}_PORT": str(28080 + number) for number, name in enumerate(names)}
    ports |= {f"{name}_WORKER_PORT": str(29080 + number) for number, name in enumerate(names[1:5])}
    return {**ports, "LEDGERLINK_POSTGRES_PORT": "28432", "LEDGERLINK_REDIS_PORT": "28379"}


def test_settings_are_printed_without_secrets_unless_asked(run: Run, home: Home) -> None:
    shown = run("env").stdout
    secrets = json.loads(home.secrets_file.read_text())
    assert "GATEWAY_PORT=8080" in shown
    assert "LEDGERLINK_ADMIN_PASSWORD=********" in shown
    assert secrets["admin_password"] not in shown
    assert secrets["databases"]["wallet"] not in shown
    assert secrets["admin_password"] in run("env", "--reveal").stdout


def test_one_setting_is_printed_alone_and_an_unknown_one_is_refused(run: Run, home: Home) -> None:
    shown = run("env", "LEDGERLINK_ADMIN_PASSWORD").stdout
    assert shown == json.loads(home.secrets_file.read_text())["admin_password"] + "\n"
    unknown = run("env", "LEDGERLINK_NOTHING")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "No setting is called LEDGERLINK_NOTHING." in unknown.stderr


def test_settings_for_tools_are_written_for_their_owner_only(run: Run, home: Home) -> None:
    file = home.path / ".env"
    assert run("env", "--write", str(file)).returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert "LEDGERLINK_ADMIN_PASSWORD='" in file.read_text()


def test_progress_without_a_terminal_says_each_thing_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(Console(), clock=lambda: 7.0)
    starting = ProcessState("wallet", 8082, "starting", 0.0)
    failing = ProcessState("wallet", 8082, "restarting", 0.0, reason="ended with exit code 1")
    with progress.shown():
        for state in (starting, starting, failing, starting, failing):
            progress.show([state])
    assert capsys.readouterr().out.splitlines() == [
        "   0.0 s  wallet           starting",
        "   0.0 s  wallet           restarting: ended with exit code 1",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (200, "3 min 20 s"), (18120, "5 h 2 min"), (176400, "2 d 1 h")]
)
def test_lengths_of_time_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_log_that_grew_too_long_is_moved_aside_and_older_ones_further(tmp_path: Path) -> None:
    file = tmp_path / "wallet.log"
    with file.open("a") as writer:
        for content in ("first\n", "second\n", "third\n", "fourth\n", "fifth\n"):
            writer.write(content)
            writer.flush()
            assert logs.rotate(file, limit_bytes=3)
        writer.write("kept by the same writer\n")
    assert file.read_text() == "kept by the same writer\n"
    assert [file.with_name(f"wallet.log.{number}").read_text() for number in (1, 2, 3)] == [
        "fifth\n", "fourth\n", "third\n",
    ]  # fmt: skip


def test_a_short_log_stays(tmp_path: Path) -> None:
    file = tmp_path / "wallet.log"
    file.write_text("short")
    assert not logs.rotate(file)


def test_the_last_words_are_postgresqls_reason_where_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "postgres.log"
    file.write_text(
        "t [1] PANIC:  could not write: No space left on device\nt [1] LOG:  database system is shut down\n"
    )
    assert logs.last_words(file) == "t [1] PANIC:  could not write: No space left on device"


def test_the_last_words_of_anybody_else_are_the_last_line(tmp_path: Path) -> None:
    file = tmp_path / "wallet.log"
    file.write_text("Traceback\nKeyError: 'x'\n\n")
    assert logs.last_words(file) == "KeyError: 'x'"
