"""Environments apart from the product's, so that nobody needs them who does not build the site, AWS or a release.

``python tools/apart.py install tools/site``  make its .venv from its requirements.lock; nothing when it is up to date
``python tools/apart.py lock tools/site``     resolve its requirements.in again: hashes of every wheel, no address
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
UV: Final = str(ROOT / ".venv" / "bin" / "uv")
FOLDERS: Final = ("deploy/aws", "tools/site", "tools/supply")


def install(home: Path) -> Path:
    """Make the environment of ``home`` if it is missing, broken or of another lock; gives where its programs are."""
    lock, venv = home / "requirements.lock", home / ".venv"
    stamp = venv / ".ledgerlink-stamp"
    if stamp.exists() and stamp.read_text() == lock.read_text() and _runs(venv / "bin" / "python"):
        return venv / "bin"
    pinned = [line for line in lock.read_text().splitlines() if line[:1].isalpha()]
    print(f"{home.name}: {len(pinned)} packages from {home.name}/requirements.lock", flush=True)
    subprocess.run([UV, "venv", "--quiet", "--clear", "--python", sys.executable, str(venv)], check=True)
    environment = {**os.environ, "VIRTUAL_ENV": str(venv)}
    subprocess.run([UV, "pip", "sync", "--quiet", "--require-hashes", str(lock)], env=environment, check=True)
    stamp.write_text(lock.read_text())
    return venv / "bin"


def _runs(python: Path) -> bool:
    """Say whether the interpreter that the environment was made with is still there."""
    return python.exists() and subprocess.run([str(python), "-c", ""], check=False, capture_output=True).returncode == 0


def resolve(home: Path) -> None:
    """Write the lock of ``home`` again, under its own first line, which says what it is for."""
    lock = home / "requirements.lock"
    header = lock.read_text().splitlines()[0]
    command = [UV, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"]
    command += ["--no-header", "--no-annotate", str(lock.with_suffix(".in"))]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith(("#", "--"))]
    lock.write_text("\n".join([header, *lines, ""]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; 1 when uv, which says why, could not do it."""
    parser = argparse.ArgumentParser(
        prog="apart", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("install", "lock"))
    parser.add_argument("folder", choices=FOLDERS)
    options = parser.parse_args(arguments)
    try:
        if options.verb == "install":
            install(ROOT / options.folder)
        else:
            resolve(ROOT / options.folder)
    except subprocess.CalledProcessError as error:
        print(f"{options.folder}: `{Path(error.cmd[0]).name}` failed, see above", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
