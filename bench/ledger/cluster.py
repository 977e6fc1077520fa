"""A PostgreSQL of the benchmark's own: the embedded one, as the stack sets it, durable, in a folder that goes."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg

from ledgerlink_kit.databases import create_databases
from ledgerlink_kit.migrations import upgrade
from ledgerlink_stack import postgres
from ledgerlink_stack.accounts import identity, server_account
from ledgerlink_stack.ports import free_port

LEDGER = "wallet"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server: its port, its superuser's password, its process, and where pgbench is."""

    port: int
    password: str
    process: psutil.Process
    binaries: Path

    def dsn(self, database: str = "postgres") -> str:
        """Give the superuser's DSN of ``database``."""
        return postgres.superuser_dsn(self.port, self.password, database)

    def make_ledger(self) -> str:
        """Make an empty ledger, with a role of its own as in the stack; gives that role's DSN."""
        password = postgres.new_password()
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {LEDGER}")
        create_databases(self.dsn(), {LEDGER: password})
        url = f"postgresql://{LEDGER}:{password}@127.0.0.1:{self.port}/{LEDGER}"
        upgrade("ledgerlink_wallet", url)
        return url

    def cpu_s(self) -> float:
        """Give the CPU seconds of the server and its living backends; compare two of these over a short while."""
        total = 0.0
        for process in [self.process, *self.process.children()]:
            times = process.cpu_times()
            total += times.user + times.system
        return total

    def settle(self) -> None:
        """Write out what the last measurement left, so that the next one does not pay for it."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute("CHECKPOINT")


@contextmanager
def running(parent: Path | None = None) -> Generator[Cluster]:
    """Start a server under a temporary folder (in ``parent`` when given); stop it and remove all in the end."""
    account = server_account(os.environ)
    with ExitStack() as undo:
        folder = Path(tempfile.mkdtemp(prefix="ledgerlink-bench.", dir=parent))
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o711)  # the server's account must pass through it
        binaries = postgres.usable_binaries(folder, account)
        password, port = postgres.new_password(), free_port()
        postgres.create_cluster(binaries, folder / "data", account, password)
        log = undo.enter_context((folder / "log").open("wb"))
        server = subprocess.Popen(
            postgres.server_command(binaries, folder / "data", port),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            **identity(account),
        )
        undo.callback(server.wait)
        undo.callback(server.terminate)
        postgres.wait_until_ready(postgres.superuser_dsn(port, password), lambda: server.poll() is None)
        yield Cluster(port, password, psutil.Process(server.pid), binaries / "bin")
