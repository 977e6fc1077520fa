"""Proves that processes born in the nursery are processes like any other: named, waited for, started again, ended, and
none the worse when the nursery itself is killed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ledgerlink_stack.child import clean_environment
from ledgerlink_stack.home import Home
from ledgerlink_stack.plan import MARK, Plan, Program
from ledgerlink_stack.processes import command_of
from ledgerlink_stack.state import load_state
from ledgerlink_stack.up import bring_down, bring_up

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the nursery is used on Linux only")
MakeService = Callable[..., Program]
SMALL_SERVICE = Path(__file__).with_name("small_service.py")
STACK_ID = f"test-stack-{os.getpid()}"


@pytest.fixture
def plan(home: Home, make_service: MakeService) -> Plan:
    """A nursery that has imported next to nothing, and two small services born in it."""
    shutil.copy(SMALL_SERVICE, home.path / "small_service.py")  # the nursery's own folder is on its path
    nursery = Program(
        name="nursery",
        kind="nursery",
        command=(sys.executable, "-m", "ledgerlink_stack.nursery", "http.server"),
        port=0,
        environment=clean_environment({MARK: f"{STACK_ID}/nursery"}),
        stop_stage=2,
        stop_signal=int(signal.SIGTERM),
        folder=str(home.path),
    )
    services = tuple(
        replace(service, module="small_service", environment={**service.environment, "SMALL_PORT": str(service.port)})
        for service in (make_service("one"), make_service("two"))
    )
    return Plan(STACK_ID, (nursery, *services), stop_grace_s=5)


def pid_of(home: Home, name: str) -> int:
    state = load_state(home.state_file)
    process = state.process(name) if state else None
    assert process is not None
    assert process.identity is not None
    return process.identity.pid


def all_ready(home: Home) -> bool:
    state = load_state(home.state_file)
    return state is not None and state.all_ready


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def up(home: Home, plan: Plan) -> None:
    bring_up(home, plan, lambda _processes: None)


def test_a_child_of_the_nursery_shows_under_its_own_name_in_its_own_session(home: Home, plan: Plan) -> None:
    up(home, plan)
    pid = pid_of(home, "one")
    assert command_of(psutil.Process(pid)) == ("ledgerlink", "one")
    assert os.getsid(pid) == pid
    assert psutil.Process(pid).ppid() == pid_of(home, "nursery")


def test_a_killed_child_of_the_nursery_is_waited_for_and_started_again(home: Home, plan: Plan) -> None:
    up(home, plan)
    old = pid_of(home, "two")
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(old))
    wait_for(lambda: all_ready(home) and pid_of(home, "two") != old)


def test_children_outlive_a_killed_nursery_and_a_new_one_bears_the_next(home: Home, plan: Plan) -> None:
    up(home, plan)
    nursery, one, two = (pid_of(home, name) for name in ("nursery", "one", "two"))
    kill(nursery)
    wait_for(lambda: all_ready(home) and pid_of(home, "nursery") != nursery)
    assert (pid_of(home, "one"), pid_of(home, "two")) == (one, two)
    kill(two)
    wait_for(lambda: all_ready(home) and pid_of(home, "two") != two)
    assert pid_of(home, "one") == one
    assert bring_down(home, lambda _processes: None) == ["nursery", "one", "two"]
    assert not _runs(one)


def test_a_restarted_service_is_born_by_a_nursery_that_has_read_todays_code(home: Home, plan: Plan) -> None:
    up(home, plan)
    before = {name: pid_of(home, name) for name in ("nursery", "one", "two")}
    done = subprocess.run(
        [sys.executable, "-m", "ledgerlink_stack", "restart", "one"],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "LEDGERLINK_HOME": str(home.path)},
    )
    after = {name: pid_of(home, name) for name in before}
    assert done.stdout == "one runs today's code.\n"
    assert {name for name in before if before[name] != after[name]} == {"nursery", "one"}


def test_orphans_of_the_nursery_that_were_never_recorded_are_found(home: Home, plan: Plan) -> None:
    up(home, plan)
    state = load_state(home.state_file)
    assert state is not None
    assert state.supervisor is not None
    orphans = [pid_of(home, name) for name in ("one", "two")]
    kill(state.supervisor.pid)
    home.state_file.unlink()
    up(home, plan)
    assert not any(_runs(pid) for pid in orphans)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
