"""The peers: pgbench's TPC-B-like script, and a double-entry transfer as a stored function with one commit each."""

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psycopg
from cluster import Cluster
from work import ACCOUNTS, Spread

CLIENTS = 64
SCALE = 64
"""As many branches as clients, so that the script does not measure its own contention (pgbench, "Good Practices")."""

_TABLES = f"""
CREATE TABLE accounts (id int PRIMARY KEY, debits bigint NOT NULL DEFAULT 0, credits bigint NOT NULL DEFAULT 0,
                       version bigint NOT NULL DEFAULT 0) WITH (fillfactor = 70);
CREATE TABLE transfers (id uuid PRIMARY KEY, amount bigint NOT NULL, recorded_at timestamptz NOT NULL);
CREATE TABLE entries (account_id int, version bigint, side text NOT NULL, amount bigint NOT NULL,
                      debits bigint NOT NULL, credits bigint NOT NULL, transfer_id uuid NOT NULL,
                      PRIMARY KEY (account_id, version));
INSERT INTO accounts (id) SELECT generate_series(0, {ACCOUNTS - 1});
CREATE FUNCTION transfer(debit int, credit int, amount bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE t uuid := gen_random_uuid(); d accounts; c accounts;
BEGIN
    PERFORM FROM accounts WHERE id IN (debit, credit) ORDER BY id FOR UPDATE;
    INSERT INTO transfers VALUES (t, amount, now());
    UPDATE accounts SET debits = debits + amount, version = version + 1 WHERE id = debit RETURNING * INTO d;
    UPDATE accounts SET credits = credits + amount, version = version + 1 WHERE id = credit RETURNING * INTO c;
    INSERT INTO entries VALUES (d.id, d.version, 'debit', amount, d.debits, d.credits, t),
                               (c.id, c.version, 'credit', amount, c.debits, c.credits, t);
END $$;
"""  # noqa: S608 - our own numbers
_PAIRS = {
    "uniform": f"\\set d random(0, {ACCOUNTS - 1})\n\\set c (:d + random(1, {ACCOUNTS - 1})) % {ACCOUNTS}\n",
    "zipf": f"\\set d random_zipfian(1, {ACCOUNTS}, 1.001) - 1\n"
    f"\\set c (:d + random(1, {ACCOUNTS - 1})) % {ACCOUNTS}\n",
    "hot": f"\\set d 0\n\\set c random(1, {ACCOUNTS - 1})\n",
}
_TPS = re.compile(r"tps = ([\d.]+)")


@dataclass(frozen=True, slots=True)
class Peers:
    """pgbench, on databases of its own in the benchmark's server."""

    cluster: Cluster

    def make(self) -> None:
        """Fill the TPC-B tables, and make the stored function's."""
        with psycopg.connect(self.cluster.dsn(), autocommit=True) as connection:
            for name in ("tpcb", "function"):
                connection.execute(f"CREATE DATABASE {name}")
        self._pgbench("tpcb", "-i", "-q", "-s", str(SCALE))
        with psycopg.connect(self.cluster.dsn("function"), autocommit=True) as connection:
            connection.execute(_TABLES.encode())

    def tpcb(self, seconds: float) -> float:
        """Give the TPC-B-like transactions a second."""
        return self._rate("tpcb", seconds, "-b", "tpcb-like")

    def function(self, spread: Spread, seconds: float) -> float:
        """Give the stored function's transfers a second."""
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "transfer.sql"
            script.write_text(_PAIRS[spread] + "SELECT transfer(:d, :c, 100);\n")
            return self._rate("function", seconds, "-f", str(script))

    def _rate(self, database: str, seconds: float, *more: str) -> float:
        duration = ("-T", str(max(1, round(seconds))))
        said = self._pgbench(database, "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2", *duration, *more)
        found = _TPS.search(said)
        assert found is not None, said
        return float(found[1])

    def _pgbench(self, database: str, *arguments: str) -> str:
        environment = {
            "PATH": os.defpath,
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.cluster.port),
            "PGUSER": "postgres",
            "PGPASSWORD": self.cluster.password,
        }
        command = [str(self.cluster.binaries / "pgbench"), *arguments, database]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
