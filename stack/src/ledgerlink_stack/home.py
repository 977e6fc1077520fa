"""LedgerLink's folder on this machine: where everything of the local stack lies, and its secrets.

`LEDGERLINK_HOME` names it; otherwise it is `.ledgerlink/` in the project.

    secrets.json      generated once, 0600: passwords, client secrets, keys, the admin's first password
    stack.env         optional, yours: settings that always hold, one NAME=value a line
    plan.json         what the supervisor was told to run, 0600
    state.json        what it is running now, 0600
    supervisor.lock   held by the supervisor as long as it lives
    logs/             one file per process, rotated
    redis/  mail/     the Redis server's configuration; the messages that identity "sent"
    postgres/         the databases (elsewhere only when root's account for servers may not enter this folder)
"""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import json
import os
import secrets
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ledgerlink_stack.accounts import Account, can_run
from ledgerlink_stack.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

LOCATION = "LEDGERLINK_HOME"
PRIVATE_FILE = 0o600
# Others may pass through to their own folder below (the servers' account must), but may not list what is here.
ENTERABLE_FOLDER = 0o711
SYSTEM_DATA = Path("/var/lib/ledgerlink")


@dataclass(frozen=True, slots=True)
class Secrets:
    """Everything secret in the local stack, generated once. `shown` says that the admin's password was printed."""

    stack_id: str
    postgres: str
    redis: str
    databases: dict[str, str]
    clients: dict[str, str]
    key_encryption_key: str
    checkpoint_key: str
    admin_password: str
    sandbox_api_key: str
    sandbox_webhook_secret: str
    shown: bool = False

    def __repr__(self) -> str:
        """Never print a secret by accident."""
        return f"Secrets(stack_id={self.stack_id!r}, …)"

    @classmethod
    def generate(cls, databases: tuple[str, ...], clients: tuple[str, ...]) -> Secrets:
        """Make fresh secrets, each from the system's randomness."""
        return cls(
            stack_id=secrets.token_hex(8),
            postgres=secrets.token_hex(24),
            redis=secrets.token_hex(24),
            databases={name: secrets.token_hex(24) for name in databases},
            clients={name: secrets.token_urlsafe(32) for name in clients},
            key_encryption_key=base64.b64encode(secrets.token_bytes(32)).decode(),
            checkpoint_key=base64.b64encode(secrets.token_bytes(32)).decode(),
            admin_password=secrets.token_urlsafe(18),
            sandbox_api_key=f"sk_test_{secrets.token_hex(24)}",
            sandbox_webhook_secret=f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
        )


@dataclass(frozen=True, slots=True)
class Home:
    """The folder and the names in it."""

    path: Path

    @classmethod
    def find(cls, environment: Mapping[str, str], start: Path) -> Home:
        """Return the home that `environment` names, else `.ledgerlink` in the project around `start`."""
        named = environment.get(LOCATION)
        if named:
            return cls(Path(named).expanduser().absolute())
        for folder in (start, *start.parents, *Path(__file__).parents):
            description = folder / "pyproject.toml"
            if description.is_file() and 'name = "ledgerlink"' in description.read_text(errors="replace"):
                return cls(folder / ".ledgerlink")
        return cls(start / ".ledgerlink")

    @property
    def logs(self) -> Path:
        """The folder of log files."""
        return self.path / "logs"

    @property
    def redis(self) -> Path:
        """The Redis server's folder."""
        return self.path / "redis"

    @property
    def mail(self) -> Path:
        """Where identity leaves the messages that it sends."""
        return self.path / "mail"

    @property
    def secrets_file(self) -> Path:
        """The secrets."""
        return self.path / "secrets.json"

    @property
    def chosen_settings(self) -> Path:
        """The operator's own settings."""
        return self.path / "stack.env"

    @property
    def plan_file(self) -> Path:
        """What the supervisor was told to run."""
        return self.path / "plan.json"

    @property
    def state_file(self) -> Path:
        """What the supervisor is running now."""
        return self.path / "state.json"

    @property
    def lock_file(self) -> Path:
        """What the supervisor holds as long as it lives."""
        return self.path / "supervisor.lock"

    def log_of(self, name: str) -> Path:
        """Return the log file of the process `name`."""
        return self.logs / f"{name}.log"

    def create(self) -> None:
        """Create the folder and its parts. Raises `Trouble` when that is not permitted or the disk is full."""
        with trouble_with_files(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            if self.path.stat().st_uid == os.geteuid():
                self.path.chmod(ENTERABLE_FOLDER)
            for folder in (self.logs, self.mail):
                folder.mkdir(mode=0o700, exist_ok=True)
            probe = self.path / f".probe-{os.getpid()}"
            probe.write_text("x")
            probe.unlink()

    def server_data(self, account: Account | None) -> Path:
        """Return the folder that holds PostgreSQL's data and, for root, the copy of its program.

        It is the home itself unless root's account for servers may not enter it (root's own home is closed to
        others); then it lies under `/var/lib/ledgerlink`, in a folder named after the home.
        """
        elsewhere = SYSTEM_DATA / hashlib.sha256(str(self.path).encode()).hexdigest()[:16]
        if account is None:
            return self.path
        if elsewhere.exists() or not can_run(["/bin/sh", "-c", 'cd "$1"', "sh", str(self.path)], account):
            return elsewhere
        return self.path


@contextmanager
def trouble_with_files(path: Path) -> Generator[None]:
    """Turn what the operating system says about `path` into one sentence with what to do."""
    try:
        yield
    except OSError as error:
        raise file_trouble(error, path) from error


def file_trouble(error: OSError, path: Path) -> Trouble:
    """Say what an error of the file system means for the owner of the machine."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Trouble(
            f"The disk that holds {path} is full.",
            "Free some space, or set LEDGERLINK_HOME to a folder on another disk.",
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return Trouble(
            f"LedgerLink may not write to {error.filename or path}.",
            f"Give this user that folder (`chown -R $(id -un) {path}`), or set LEDGERLINK_HOME to one you may write.",
        )
    return Trouble(
        f"LedgerLink cannot use {path}: {error.strerror or error}.",
        "Set LEDGERLINK_HOME to a folder that you may write.",
    )


def write_private(file: Path, value: object) -> None:
    """Write `value` as JSON, readable by its owner only, in one step: a reader sees the old or the new, whole."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    try:
        with os.fdopen(descriptor, "w") as out:
            json.dump(value, out, indent=1)
        unfinished.rename(file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def read_json(file: Path) -> dict[str, object] | None:
    """Return the object in `file`, or None when there is no such file or it holds no object."""
    try:
        found: object = json.loads(file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return cast("dict[str, object]", found) if isinstance(found, dict) else None


def load_secrets(home: Home, databases: tuple[str, ...], clients: tuple[str, ...]) -> Secrets:
    """Return the stack's secrets, generating what is missing and keeping everything that is there.

    Raises `Trouble` when the file exists but cannot be read as secrets: generating new ones over it would lock the
    databases for good.
    """
    with trouble_with_files(home.path):
        stored = read_json(home.secrets_file)
        if stored is None and home.secrets_file.exists():
            raise Trouble(
                f"{home.secrets_file} is damaged, and without it the databases cannot be opened.",
                "Put a copy of it back, or run `ledgerlink reset` to throw everything away and start empty.",
            )
        fresh = asdict(Secrets.generate(databases, clients))
        merged = fresh if stored is None else _keep(fresh, stored)
        picked = {field.name: merged[field.name] for field in fields(Secrets)}
        result = Secrets(**cast("dict[str, Any]", picked))
        if asdict(result) != stored:
            write_private(home.secrets_file, asdict(result))
        return result


def _keep(fresh: dict[str, object], stored: dict[str, object]) -> dict[str, object]:
    """Return `fresh` with every stored value in place of the generated one, one level deep."""
    merged = dict(fresh)
    for name, value in stored.items():
        new = fresh.get(name)
        if isinstance(new, dict) and isinstance(value, dict):
            merged[name] = {**cast("dict[str, object]", new), **cast("dict[str, object]", value)}
        elif name in fresh:
            merged[name] = value
    return merged


def note_shown(home: Home, known: Secrets) -> None:
    """Remember that the admin's password was printed."""
    write_private(home.secrets_file, {**asdict(known), "shown": True})


def read_settings(home: Home) -> dict[str, str]:
    """Return the operator's own settings from `stack.env`. Raises `Trouble` for a line that is no setting."""
    settings: dict[str, str] = {}
    if not home.chosen_settings.exists():
        return settings
    with trouble_with_files(home.path):
        lines = home.chosen_settings.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, mark, value = text.removeprefix("export ").partition("=")
        if not mark or not name.strip().isidentifier():
            raise Trouble(
                f"Line {number} of {home.chosen_settings} is no setting.", "Write it as NAME=value, or as a # comment."
            )
        settings[name.strip()] = value.strip().strip("'\"")
    return settings


@contextmanager
def supervisor_lock(home: Home) -> Generator[bool]:
    """Try to take the supervisor's lock for the length of the block; gives whether it was free."""
    with home.lock_file.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def supervisor_runs(home: Home) -> bool:
    """Say whether a supervisor holds the lock. Asks by a shared lock, so that two who ask do not see each other."""
    try:
        with home.lock_file.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False
    except OSError:
        return False
