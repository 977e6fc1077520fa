"""Lint the SQL of every service's migrations with squawk: what Alembic would run from an empty database to head.

``python tools/migrations.py`` prints squawk's findings and exits 1 when there is one; ``--sql wallet`` prints the SQL.
Needs no database: Alembic runs offline.
"""

import argparse
import io
import re
import subprocess
import sys
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from ledgerlink_kit.migrations import config_for

ROOT = Path(__file__).resolve().parent.parent
SQUAWK = [
    str(ROOT / ".venv" / "bin" / "squawk"),
    "--assume-in-transaction",  # Alembic runs a service's migrations in one transaction
    "--pg-version=16.0",
    "--reporter=gcc",
]
EXCLUDED = {
    "prefer-robust-stmts": "a migration runs whole or not at all, behind the advisory lock",
    "require-timeout-settings": "run_env sets lock and statement timeouts for every migration",
    "prefer-bigint-over-int": "tries and versions stay far below two billion; amounts and sequences are bigint",
    "prefer-bigint-over-smallint": "the same for statuses and schema versions",
}


def services() -> list[str]:
    """The services that have a database, by name."""
    return sorted(path.parent.parent.name for path in ROOT.glob("services/*/migrations/env.py"))


def sql_of(service: str) -> str:
    """The SQL from an empty database to head; raises when there is more than one head or none."""
    buffer = io.StringIO()
    config = config_for(f"ledgerlink_{service}", "postgresql://offline")
    heads = ScriptDirectory.from_config(config).get_heads()
    if len(heads) != 1:
        sys.exit(f"{service} has {len(heads)} migration heads, it needs exactly one: {', '.join(heads)}")
    config.output_buffer = buffer
    command.upgrade(config, "head", sql=True)
    own = re.compile(r"^(BEGIN|COMMIT);$|^(CREATE TABLE|INSERT INTO|UPDATE) alembic_version\b[^;]*;$", re.MULTILINE)
    return own.sub("", buffer.getvalue())  # Alembic's own lines are not ours to lint


def main() -> int:
    """Lint all services, or print one's SQL."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sql", metavar="SERVICE", help="print the service's SQL and stop")
    options = parser.parse_args()
    if options.sql:
        print(sql_of(options.sql))
        return 0
    worst = 0
    for service in services():
        excluded = [f"--exclude={rule}" for rule in EXCLUDED]
        done = subprocess.run(
            [*SQUAWK, *excluded, f"--stdin-filepath={service}.sql"], input=sql_of(service), text=True, check=False
        )
        worst = max(worst, done.returncode)
    print(f"migrations of {', '.join(services())}: {'sound' if worst == 0 else 'see above'}")
    return worst


if __name__ == "__main__":
    sys.exit(main())
