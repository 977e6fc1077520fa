"""What the supervisor is to run, as plain data that travels through `plan.json`.

The command line writes a plan, the supervisor carries it out and knows nothing of LedgerLink's services. So a test can
give it a plan of small programs, and `up` can tell by comparison whether the running stack still has today's settings.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal, cast

from ledgerlink_stack.accounts import Account
from ledgerlink_stack.home import read_json, write_private
from ledgerlink_stack.nursery import KNOWN_AS

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["postgres", "redis", "nursery", "http"]

# The variable by which every process that we start can be told from a stranger's: `<stack id>/<process name>`.
MARK = "LEDGERLINK_PROCESS"
NURSERY = "nursery"
# What a process of ours gets from the shell that happened to start it. Everything else it has is chosen.
INHERITED = frozenset(
    {
        "HOME", "HTTPS_PROXY", "HTTP_PROXY", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "NO_PROXY", "PATH",
        "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "TZ", "USER", "VIRTUAL_ENV", "http_proxy", "https_proxy", "no_proxy",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Program:
    """One process: what to start, where it answers, and how it is asked whether it is ready.

    `kind` "http" means: ready when `GET http://127.0.0.1:<port>/readyz` answers 200. `stop_stage` orders the end:
    lower stages are gone before higher ones are told. One with a `module` is born in the stack's nursery, which runs
    that module; `command` is then only what a person would type to the same effect.
    """

    name: str
    kind: Kind
    command: tuple[str, ...]
    port: int
    environment: dict[str, str] = field(repr=False)
    stop_stage: int
    stop_signal: int
    folder: str
    account: Account | None = None
    module: str = ""

    @property
    def shown_as(self) -> tuple[str, ...]:
        """The command line by which its process is known to the system."""
        return (KNOWN_AS, self.name) if self.module else self.command

    def mark(self, stack_id: str) -> str:
        """Return the mark in its environment; those born in a nursery have the nursery's."""
        return f"{stack_id}/{NURSERY if self.module else self.name}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All processes of one stack.

    `postgres_dsn` and `redis_password` are empty when the operator brings their own servers. A process that was told
    to end and has not after `stop_grace_s` is killed.
    """

    stack_id: str
    programs: tuple[Program, ...]
    postgres_data: str = ""
    postgres_dsn: str = field(default="", repr=False)
    databases: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    redis_password: str = field(default="", repr=False)
    stop_grace_s: float = 22.0  # the services give requests in flight 20 s

    def fingerprint(self) -> str:
        """Return a hash that changes when anything about any process does, but for what every shell has its own of."""
        content = asdict(self)
        for program in content["programs"]:
            environment = program["environment"]
            program["environment"] = {name: environment[name] for name in environment if name not in INHERITED}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def program(self, name: str) -> Program | None:
        """Return the program `name`, or None."""
        return next((program for program in self.programs if program.name == name), None)


def save_plan(file: Path, plan: Plan) -> None:
    """Write the plan for the supervisor, readable by its owner only."""
    write_private(file, asdict(plan))


def load_plan(file: Path) -> Plan | None:
    """Return the plan in `file`; None when there is none, or it was written by another version of this package."""
    stored = read_json(file)
    if stored is None:
        return None
    try:
        programs = tuple(
            _program(cast("dict[str, object]", entry)) for entry in cast("list[object]", stored.pop("programs"))
        )
        return Plan(programs=programs, **cast("dict[str, str]", stored))  # pyright: ignore[reportArgumentType]
    except (KeyError, TypeError):
        return None


def _program(stored: dict[str, object]) -> Program:
    """Rebuild one program from its JSON form."""
    account = cast("dict[str, object] | None", stored.pop("account"))
    command = tuple(cast("list[str]", stored.pop("command")))
    return Program(
        command=command,
        account=None if account is None else Account(**account),  # pyright: ignore[reportArgumentType]
        **stored,  # pyright: ignore[reportArgumentType]
    )
