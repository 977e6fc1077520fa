"""The live check: a real Prometheus scrapes the running stack, answers every panel, and three faults raise alerts.

Everything that it starts it ends, and every fault that it makes it mends, also when a step fails.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg
from psycopg.conninfo import make_conninfo

from ledgerlink_stack.home import Home
from ledgerlink_stack.layout import choose_ports, scrape_targets
from ledgerlink_stack.plan import load_plan
from ledgerlink_stack.ports import LOOPBACK, free_port
from ledgerlink_stack.state import load_state
from observing import runbooks
from observing.panels import Panel
from observing.rules import FOLDER, rules

QUICK: Final = "5s"
"""How often the live check scrapes and evaluates; the waiting times of the alerts stay as they are."""
START_S: Final = 30.0
UP_S: Final = 60.0
SETTLE_S: Final = 20.0
"""Some scrapes and evaluations, after which every rule has been evaluated and every rate has its two samples."""
FIRE_S: Final = 240.0
CLEAR_S: Final = 300.0

INVARIANT: Final = "wallet_trial_balance"
EXPECTED: Final[tuple[Mapping[str, str], ...]] = (
    {"alertname": "ProcessDown", "job": "risk", "role": "worker"},
    {"alertname": "DependencyAway", "job": "identity", "role": "worker", "part": "redis"},
    {"alertname": "InvariantBroken", "job": "wallet", "name": INVARIANT},
)
"""What the three faults must raise: a hanging worker, a hanging Redis, a balance that a superuser changed."""

OF_THE_LOAD: Final = frozenset({"LatencyBurnsFast"})
"""What the load alone may raise: it signs hundreds of people in at once, and passwords are slow to hash on purpose."""

Say = Callable[[str], None]


class Failed(Exception):
    """The check found something; the message says what."""


def program() -> str:
    """The Prometheus of this machine; raises `Failed` when there is none."""
    found = shutil.which("prometheus")
    if found is None:
        raise Failed("there is no `prometheus` here; on Debian and Ubuntu: apt-get install prometheus")
    return found


class Prometheus:
    """A Prometheus server of our own, with its data in ``folder``."""

    def __init__(
        self, command: str, folder: Path, targets: Sequence[Mapping[str, object]], *, port: int = 0, quick: bool = False
    ) -> None:
        """Lay out configuration and targets; `running` runs it. ``quick`` scrapes more often than production does."""
        self.folder = folder
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._command = command
        self._asked = httpx.Client(base_url=self.url, timeout=30, trust_env=False)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(FOLDER / "rules", folder / "rules")
        for name in ("targets", "alertmanagers"):
            (folder / name).mkdir()
        (folder / "targets" / "local.json").write_text(json.dumps(targets))
        text = (FOLDER / "prometheus.yml").read_text()
        for slow in ("scrape_interval: 15s", "scrape_timeout: 10s", "evaluation_interval: 15s") if quick else ():
            text = text.replace(slow, f"{slow.split(':')[0]}: {QUICK}")
        (folder / "prometheus.yml").write_text(text)

    @contextmanager
    def running(self) -> Generator[subprocess.Popen[bytes]]:
        """Run it for the length of the block."""
        with (self.folder / "prometheus.log").open("w") as log:
            process = subprocess.Popen(
                [
                    self._command,
                    f"--config.file={self.folder}/prometheus.yml",
                    f"--storage.tsdb.path={self.folder}/data",
                    f"--web.listen-address={LOOPBACK}:{self.port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                wait_for(lambda: f"Prometheus to start; its log: {self.folder}/prometheus.log", START_S, self._ready)
                yield process
            finally:
                process.terminate()
                process.wait(timeout=30)

    def _ready(self) -> bool:
        with suppress(httpx.HTTPError):
            return self._asked.get("/-/ready").is_success
        return False

    def get(self, path: str, **parameters: str) -> Any:
        """Ask the API and give its data."""
        return self._asked.get(f"/api/v1/{path}", params=parameters).raise_for_status().json()["data"]

    def down(self) -> list[str]:
        """Targets that are not up, with what is wrong with them."""
        targets = self.get("targets", state="active")["activeTargets"]
        return [f"{one['labels']}: {one['lastError'] or one['health']}" for one in targets if one["health"] != "up"]

    def firing(self) -> list[dict[str, str]]:
        """The labels of the alerts that fire."""
        return [each["labels"] for each in self.get("alerts")["alerts"] if each["state"] == "firing"]

    def rules(self) -> list[dict[str, Any]]:
        """The rules as Prometheus has loaded them."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]

    def series(self, expression: str) -> int:
        """How many series an expression gives now."""
        return len(self.get("query", query=expression)["result"])


def wait_for(what: Callable[[], str], seconds: float, holds: Callable[[], bool]) -> None:
    """Wait until ``holds``. Raises `Failed` after ``seconds``, with ``what`` as it is then."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            raise Failed(f"waited {seconds:.0f} s in vain for {what()}")
        time.sleep(0.5)


@contextmanager
def hanging(home: Home, name: str) -> Generator[None]:
    """Let one process of the stack hang (SIGSTOP) for the length of the block."""
    state = load_state(home.state_file)
    entry = state.process(name) if state else None
    if entry is None or entry.identity is None:
        raise Failed(f"the stack has no process {name}")
    os.kill(entry.identity.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(entry.identity.pid, signal.SIGCONT)


@contextmanager
def changed_balance(home: Home) -> Generator[None]:
    """Let a superuser add one minor unit to one account's credits, and take it away again at the end."""
    plan = load_plan(home.plan_file)
    if plan is None or not plan.postgres_dsn:
        raise Failed("the stack has no PostgreSQL of its own, so nobody here is its superuser")
    dsn = make_conninfo(plan.postgres_dsn, dbname="wallet")

    def change(by: int, account: object = None) -> object:
        with psycopg.connect(dsn) as connection:
            connection.execute("SET session_replication_role = replica")  # no trigger stands in a superuser's way
            row = connection.execute(
                "UPDATE accounts SET credits_posted = credits_posted + %s WHERE id = "
                "coalesce(%s, (SELECT id FROM accounts WHERE credits_posted > 0 ORDER BY id LIMIT 1)) RETURNING id",
                (by, account),
            ).fetchone()
        if row is None:
            raise Failed("no account has a balance: the load has not reached the ledger")
        return row[0]

    account = change(1)
    try:
        yield
    finally:
        change(-1, account)


def fire_and_clear(prometheus: Prometheus, home: Home, say: Say) -> None:
    """Make the three faults at once, see each raise its alert, mend them, and see every alert end."""

    def fires(wanted: Mapping[str, str]) -> bool:
        return any(wanted.items() <= labels.items() for labels in prometheus.firing())

    def left() -> list[dict[str, str]]:
        return [labels for labels in prometheus.firing() if labels["alertname"] not in OF_THE_LOAD]

    with ExitStack() as faults:
        faults.enter_context(changed_balance(home))
        faults.enter_context(hanging(home, "risk-worker"))
        faults.enter_context(hanging(home, "redis"))
        begun = time.monotonic()
        for wanted in EXPECTED:
            wait_for(lambda each=wanted: f"{each} to fire", FIRE_S, lambda each=wanted: fires(each))
            say(f"fired after {time.monotonic() - begun:.0f} s: {' '.join(wanted.values())}")
    begun = time.monotonic()
    for wanted in EXPECTED:
        wait_for(lambda each=wanted: f"{each} to end", CLEAR_S, lambda each=wanted: not fires(each))
        say(f"ended {time.monotonic() - begun:.0f} s after the fault was mended: {' '.join(wanted.values())}")
    wait_for(lambda: f"these alerts to end: {left()}", CLEAR_S, lambda: not left())
    say("no alert of the faults fires any more")


def ask_panels(prometheus: Prometheus, panels: Sequence[Panel], say: Say) -> None:
    """Ask every panel's queries; raises `Failed` for one that is empty without a reason."""
    asked = [(panel, query.expression) for panel in panels for query in panel.queries]
    empty = [(panel, expression) for panel, expression in asked if not prometheus.series(expression)]
    unexplained = [f"{panel.title}: {expression}" for panel, expression in empty if not panel.idle]
    if unexplained:
        raise Failed("panels without data:\n  " + "\n  ".join(unexplained))
    say(f"{len(asked) - len(empty)} of {len(asked)} queries of {len(panels)} panels have data; the others:")
    for panel, _ in empty:
        say(f"  empty: {panel.title} ({panel.idle})")


def check_rules(prometheus: Prometheus, say: Say) -> None:
    """See that Prometheus has every rule of the repository and evaluates each."""
    loaded = prometheus.rules()
    if sorted(rule["name"] for rule in loaded) != sorted(rule.name for rule in rules()):
        raise Failed("Prometheus has not loaded the rules of the repository")
    broken = [f"{rule['name']}: {rule.get('lastError')}" for rule in loaded if rule["health"] != "ok"]
    if broken:
        raise Failed(f"rules that do not evaluate: {broken}")
    say(f"{len(loaded)} rules are loaded and evaluate")


def check(home: Home, given: Mapping[str, str], panels: Sequence[Panel], load: Callable[[], None], say: Say) -> None:
    """Run the whole check on the running stack; ``load`` drives requests. Raises `Failed` with what was found."""
    ports = choose_ports(given)
    prometheus = Prometheus(program(), home.path / "prometheus", scrape_targets(ports), quick=True)
    with prometheus.running():
        wait_for(
            lambda: f"targets: {prometheus.down()}", UP_S, lambda: prometheus.series("up") > 0 and not prometheus.down()
        )
        say(f"{prometheus.series('up')} targets are up")
        load()
        time.sleep(SETTLE_S)
        check_rules(prometheus, say)
        ask_panels(prometheus, panels, say)
        tried, broken = runbooks.try_all(home, given, ports)
        if broken:
            raise Failed("commands of runbooks that do not work:\n  " + "\n  ".join(broken))
        say(f"{tried} blocks of commands of the runbooks work as they stand")
        early = [labels for labels in prometheus.firing() if any(each.items() <= labels.items() for each in EXPECTED)]
        if early:
            raise Failed(f"alerts that fire before there is a fault: {early}")
        fire_and_clear(prometheus, home, say)
