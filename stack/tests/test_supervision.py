"""Proves that the supervisor keeps processes running, that `up` heals whatever was killed, that `down` leaves nothing
behind, and that nobody else's process is ever touched.

Everything here is real: a real supervisor in its own process, real children, real signals.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest

from ledgerlink_stack import processes
from ledgerlink_stack.home import Home, supervisor_runs
from ledgerlink_stack.plan import Plan, Program, save_plan
from ledgerlink_stack.state import Identity, ProcessState, StackState, load_state, save_state
from ledgerlink_stack.trouble import Trouble
from ledgerlink_stack.up import bring_down, bring_up

MakeService = Callable[..., Program]
SMALL_SERVICE = Path(__file__).with_name("small_service.py")
STACK_ID = f"test-stack-{os.getpid()}"


def nothing(_processes: Sequence[ProcessState]) -> None:
    """Show nothing."""


def state_of(home: Home) -> StackState:
    state = load_state(home.state_file)
    assert state is not None
    return state


def pid_of(home: Home, name: str) -> int:
    process = state_of(home).process(name)
    assert process is not None
    assert process.identity is not None
    return process.identity.pid


def supervisor_pid(home: Home) -> int:
    supervisor = state_of(home).supervisor
    assert supervisor is not None
    return supervisor.pid


def wait_for(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def kill_and_wait(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(_lives(pid) for pid in pids))


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def copies_running(program: Program) -> int:
    count = 0
    for process in psutil.process_iter():
        try:
            count += tuple(process.cmdline()) == program.command and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            continue
    return count


def test_up_starts_everything_and_a_second_up_changes_nothing(home: Home, two_services: Plan) -> None:
    first = bring_up(home, two_services, nothing)
    before = state_of(home)
    second = bring_up(home, two_services, nothing)
    assert not first.already
    assert second.already
    assert second.healed == ()
    assert [process.identity for process in state_of(home).processes] == [p.identity for p in before.processes]


def test_a_second_up_with_other_settings_says_that_the_old_ones_still_hold(home: Home, two_services: Plan) -> None:
    bring_up(home, two_services, nothing)
    changed = replace(two_services, stop_grace_s=6)
    assert bring_up(home, changed, nothing).changed_settings


def test_a_killed_child_is_started_again_without_anybody_asking(home: Home, two_services: Plan) -> None:
    bring_up(home, two_services, nothing)
    old = pid_of(home, "two")
    kill_and_wait(old)
    wait_for(lambda: state_of(home).all_ready and pid_of(home, "two") != old)
    entry = state_of(home).process("two")
    assert entry is not None
    assert entry.restarts == 1


def test_a_dead_child_leaves_no_zombie(home: Home, two_services: Plan) -> None:
    bring_up(home, two_services, nothing)
    old = pid_of(home, "two")
    kill_and_wait(old)
    wait_for(lambda: not psutil.pid_exists(old))


def test_up_heals_after_the_supervisor_was_killed(home: Home, two_services: Plan) -> None:
    bring_up(home, two_services, nothing)
    kill_and_wait(supervisor_pid(home))
    risen = bring_up(home, two_services, nothing)
    assert set(risen.healed) == {"one", "two"}
    assert [copies_running(program) for program in two_services.programs] == [1, 1]


def test_up_heals_after_supervisor_and_children_were_killed_together(home: Home, with_servers: Plan) -> None:
    bring_up(home, with_servers, nothing)
    with psycopg.connect(with_servers.postgres_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (line text)")
        connection.execute("INSERT INTO kept VALUES ('acknowledged')")
    kill_and_wait(supervisor_pid(home), pid_of(home, "postgres"), pid_of(home, "one"))
    bring_up(home, with_servers, nothing)
    assert state_of(home).all_ready
    with psycopg.connect(with_servers.postgres_dsn, autocommit=True) as connection:
        assert connection.execute("SELECT line FROM kept").fetchall() == [("acknowledged",)]


def test_a_killed_postgresql_comes_back_with_its_data(home: Home, with_servers: Plan) -> None:
    bring_up(home, with_servers, nothing)
    with psycopg.connect(with_servers.postgres_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (line text)")
    old = pid_of(home, "postgres")
    kill_and_wait(old)
    wait_for(lambda: state_of(home).all_ready and pid_of(home, "postgres") != old)
    with psycopg.connect(with_servers.postgres_dsn, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_every_service_has_a_database_that_only_it_may_enter(home: Home, with_servers: Plan) -> None:
    bring_up(home, replace(with_servers, databases={"wallet": "wpw", "risk": "rpw"}), nothing)
    address = with_servers.postgres_dsn.split("@")[1].removesuffix("postgres")
    with psycopg.connect(f"postgresql://wallet:wpw@{address}wallet") as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(f"postgresql://wallet:wpw@{address}risk")


def test_an_orphan_that_was_never_recorded_is_found_by_its_mark(home: Home, two_services: Plan) -> None:
    bring_up(home, two_services, nothing)
    kill_and_wait(supervisor_pid(home))
    home.state_file.unlink()
    bring_up(home, two_services, nothing)
    assert [copies_running(program) for program in two_services.programs] == [1, 1]


def test_a_stranger_with_a_recorded_number_is_left_alone(home: Home, two_services: Plan) -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]) as stranger:
        try:
            claim = Identity(stranger.pid, time.time() - 9999, two_services.programs[0].command)
            entry = ProcessState("one", two_services.programs[0].port, "ready", time.time(), identity=claim)
            save_plan(home.plan_file, two_services)
            save_state(home.state_file, StackState(None, time.time(), "x", processes=(entry,)))
            assert processes.end_all(two_services, state_of(home), 1.0) == []
            assert bring_down(home, nothing) == []
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_down_ends_everything_in_order_and_says_what(home: Home, two_services: Plan) -> None:
    bring_up(home, two_services, nothing)
    assert bring_down(home, nothing) == ["one", "two"]
    assert not supervisor_runs(home)
    assert [copies_running(program) for program in two_services.programs] == [0, 0]
    assert home.log_of("one").read_text().endswith("ending in order\n")


def test_down_kills_what_does_not_end_when_asked(home: Home, make_service: MakeService) -> None:
    plan = Plan(STACK_ID, (make_service("one", "--stubborn"),), stop_grace_s=0.5)
    bring_up(home, plan, nothing)
    assert bring_down(home, nothing) == ["one"]
    assert copies_running(plan.programs[0]) == 0


def test_down_ends_orphans_when_the_supervisor_is_gone(home: Home, two_services: Plan) -> None:
    bring_up(home, two_services, nothing)
    kill_and_wait(supervisor_pid(home))
    assert bring_down(home, nothing) == ["one", "two"]
    assert [copies_running(program) for program in two_services.programs] == [0, 0]


def test_a_process_that_ends_at_once_is_named_with_its_last_words(home: Home, make_service: MakeService) -> None:
    plan = Plan(STACK_ID, (make_service("one"), make_service("broken", "--exit-with", "3")), stop_grace_s=5)
    with pytest.raises(Trouble) as caught:
        bring_up(home, plan, nothing)
    assert caught.value.sentence == "broken does not start: ended with exit code 3: the flux compensator is missing."
    assert "ledgerlink logs broken" in caught.value.advice


def test_up_tries_again_what_it_gave_up_before(home: Home, make_service: MakeService) -> None:
    broken = make_service("broken")
    script = home.path / "broken.py"
    script.write_text("raise SystemExit(3)")
    plan = Plan(
        STACK_ID, (replace(broken, command=(sys.executable, "-S", str(script), str(broken.port))),), stop_grace_s=5
    )
    with pytest.raises(Trouble):
        bring_up(home, plan, nothing)
    script.write_text(SMALL_SERVICE.read_text())
    assert bring_up(home, plan, nothing).healed == ("broken",)


def test_a_damaged_data_folder_is_said_in_one_sentence(home: Home, with_servers: Plan) -> None:
    bring_up(home, with_servers, nothing)
    bring_down(home, nothing)
    (Path(with_servers.postgres_data) / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(Trouble, match=r"is damaged: pg_control is missing or empty\..*ledgerlink reset"):
        bring_up(home, with_servers, nothing)


def test_a_data_folder_that_postgresql_itself_rejects_is_said_in_its_words(home: Home, with_servers: Plan) -> None:
    bring_up(home, with_servers, nothing)
    bring_down(home, nothing)
    control = Path(with_servers.postgres_data) / "global" / "pg_control"
    control.write_bytes(os.urandom(control.stat().st_size))
    with pytest.raises(Trouble) as caught:
        bring_up(home, with_servers, nothing)
    assert caught.value.sentence.startswith("postgres cannot start: ")
    assert "FATAL" in caught.value.sentence or "PANIC" in caught.value.sentence
    assert not supervisor_runs(home)


def test_other_secrets_than_the_data_was_made_with_are_said_in_one_sentence(home: Home, with_servers: Plan) -> None:
    bring_up(home, with_servers, nothing)
    bring_down(home, nothing)
    other = replace(with_servers, postgres_dsn=with_servers.postgres_dsn.replace("spw", "lost"))
    with pytest.raises(Trouble, match="does not accept the stored password"):
        bring_up(home, other, nothing)
