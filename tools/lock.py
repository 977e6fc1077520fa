"""Write requirements.lock from the workspace's pyproject files, or say whether it is stale.

``python tools/lock.py``            resolve again, keeping every pin that still fits
``python tools/lock.py --upgrade``  resolve again, taking the newest of everything
``python tools/lock.py --check``    compare fingerprints; needs no network; exit code 1 when stale

The lock is universal: one file holds the hashes of every wheel for Linux and macOS and for each Python from 3.11 on.
It carries no index, host or path, so it installs from whatever index the reader's own machine is set to.
"""

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
HEADER = "# Every package LedgerLink runs on or is built with, with hashes. Written by `make lock`; do not edit."
MARK = "# inputs: sha256:"
PLATFORMS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "aarch64-apple-darwin")
PYTHONS = ("3.11", "3.12", "3.13")


def members(root: Path) -> list[Path]:
    """The workspace members' pyproject files, in the order of their paths."""
    patterns: list[str] = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
    return sorted(path / "pyproject.toml" for pattern in patterns for path in root.glob(pattern) if path.is_dir())


def fingerprint(root: Path) -> str:
    """SHA-256 over all that the resolver reads: dependencies, groups, floors and build requirements; not the rest."""
    seen: dict[str, Any] = {}
    for path in [root / "pyproject.toml", *members(root)]:
        data = tomllib.loads(path.read_text())
        project = data.get("project", {})
        seen[path.relative_to(root).as_posix()] = {
            "python": project.get("requires-python"),
            "dependencies": sorted(project.get("dependencies", [])),
            "extras": project.get("optional-dependencies", {}),
            "groups": data.get("dependency-groups", {}),
            "build": data.get("build-system", {}).get("requires", []),
            "uv": data.get("tool", {}).get("uv", {}),
        }
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def findings(root: Path, text: str) -> list[str]:
    """What is wrong with a lock text: a stale fingerprint, an address, a build requirement that it lacks."""
    found: list[str] = []
    if f"{MARK}{fingerprint(root)}" not in text.splitlines():
        found.append("requirements.lock is older than the pyproject files: run `make lock`")
    found.extend(
        f"requirements.lock:{number} carries an address or an index option"
        for number, line in enumerate(text.splitlines(), 1)
        if "://" in line or line.lstrip().startswith("-")
        if not line.lstrip().startswith("--hash=sha256:")
    )
    pinned = set(re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*)==", text))
    for path in members(root):
        for need in tomllib.loads(path.read_text()).get("build-system", {}).get("requires", []):
            name = re.split(r"[^A-Za-z0-9._-]", need, maxsplit=1)[0].lower()
            if name not in pinned:
                found.append(f"{path.relative_to(root)} builds with {name}, which the lock lacks")
    return found


def resolve(root: Path, lock: Path, *, upgrade: bool) -> str:
    """Run uv over the workspace and return the new lock's text. The old lock's pins are preferred unless upgrading."""
    inputs = [root / "pyproject.toml", *members(root)]
    own = [tomllib.loads(path.read_text())["project"]["name"] for path in inputs]
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "requirements.txt"
        if lock.exists() and not upgrade:
            shutil.copy(lock, output)
        command = [_uv(root), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
        command += ["--generate-hashes", "--no-header", "--no-annotate", "--output-file", str(output)]
        command += ["--group", f"{root / 'pyproject.toml'}:dev"]
        command += [word for name in own for word in ("--no-emit-package", name)]
        done = subprocess.run([*command, *map(str, inputs)], cwd=root, check=False, stdout=subprocess.DEVNULL)
        if done.returncode:
            sys.exit("make lock: uv could not resolve the workspace, see above")
        body = [line for line in output.read_text().splitlines() if line and not line.startswith(("-e ", "#"))]
    return "\n".join([HEADER, f"{MARK}{fingerprint(root)}", *body, ""])


def without_wheels(root: Path, lock: Path) -> list[str]:
    """Platforms on which something of the lock would have to be built from source; empty is what we want."""
    command = [_uv(root), "pip", "install", "--dry-run", "--quiet", "--only-binary", ":all:", "--require-hashes"]
    found: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for platform in PLATFORMS:
            for python in PYTHONS:
                where = ["--target", folder, "--python-platform", platform, "--python-version", python]
                done = subprocess.run(
                    [*command, *where, "--requirement", str(lock)],
                    cwd=root,
                    check=False,
                    capture_output=True,
                    text=True,
                )
                if done.returncode:
                    found.append(f"{platform}, Python {python}: {' '.join(done.stderr.split())[-300:]}")
    return found


def _uv(root: Path) -> str:
    """The environment's own uv, else the one on PATH."""
    own = root / ".venv" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        sys.exit("make lock: no uv found; run `make bootstrap` first")
    return found


def main() -> int:
    """Write the lock or check it; the exit code says whether it is sound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the lock is stale")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions instead of the pinned ones")
    options = parser.parse_args()
    if not options.check:
        LOCK.write_text(resolve(ROOT, LOCK, upgrade=options.upgrade))
        for sentence in without_wheels(ROOT, LOCK):
            sys.exit(f"make lock: no wheels for {sentence}")
    if not LOCK.exists():
        print("requirements.lock is missing: run `make lock`")
        return 1
    found = findings(ROOT, LOCK.read_text())
    for sentence in found:
        print(sentence)
    if not found:
        print(f"requirements.lock is fresh: {LOCK.read_text().count('==')} packages")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
