"""What we are made of, and what is known against it.

``python tools/supply.py sbom``   write build/sbom/python.cdx.json: every locked Python package, with hashes (CycloneDX)
``python tools/supply.py audit``  ask the vulnerability database of PyPI about every locked package (needs a network)
``python tools/supply.py scan``   let Grype look at the image: Debian's packages, ours, the interpreter; fails on a
                                  vulnerability rated high or critical for which there is a fix

cyclonedx-bom and pip-audit stand in an environment of their own, from a lock of their own: nobody who works on
LedgerLink needs them, and they are no part of what they judge.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import apart

ROOT = Path(__file__).resolve().parent.parent
HOME: Final = ROOT / "tools" / "supply"
BOMS = ROOT / "build" / "sbom"
LOCKS: Final = ("requirements.lock", *(f"{folder}/requirements.lock" for folder in apart.FOLDERS))
IMAGE: Final = "ledgerlink:local"
GRYPE: Final = (
    "the CI brings it by anchore/scan-action; elsewhere install it by its own manual, or name it: GRYPE=/path/to/grype"
)


def tool(name: str) -> str:
    """A program of the environment in tools/supply, which is made first when it is missing or older than its lock."""
    return str(apart.install(HOME) / name)


def sbom() -> int:
    """Write the bill of materials of requirements.lock; the same lock gives the same bytes."""
    BOMS.mkdir(parents=True, exist_ok=True)
    file = BOMS / "python.cdx.json"
    command = [tool("cyclonedx-py"), "requirements", str(ROOT / "requirements.lock")]
    command += ["--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--output-file", str(file)]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        return 1
    complaints = unlisted((ROOT / "requirements.lock").read_text(), json.loads(file.read_text()))
    for sentence in complaints:
        print(sentence)
    if not complaints:
        print(f"sbom: {len(json.loads(file.read_text())['components'])} components in {file.relative_to(ROOT)}")
    return 1 if complaints else 0


def unlisted(locked: str, bom: Mapping[str, Any]) -> list[str]:
    """Packages of a lock that a bill of materials lacks, has in another version, or has without a hash."""
    listed = {each["name"].lower().replace("_", "-"): each for each in bom.get("components", ())}
    found: list[str] = []
    for line in locked.splitlines():
        if "==" not in line or line.startswith(("#", " ")):
            continue
        name, version = line.split(";")[0].removesuffix("\\").strip().split("==")
        component = listed.get(name.lower())
        if component is None or component["version"] != version.strip():
            found.append(f"the bill of materials lacks {name} {version.strip()}")
        elif not any(each.get("hashes") for each in component.get("externalReferences", ())):
            found.append(f"the bill of materials has no hash of {name}")
    return found


def audit() -> int:
    """Let pip-audit ask about every lock; 1 when something is known against a package, or was not answered."""
    worst = 0
    for name in LOCKS:
        print(f"audit: {name}", flush=True)
        command = [tool("pip-audit"), "--strict", "--disable-pip", "--require-hashes", "--progress-spinner", "off"]
        worst |= subprocess.run([*command, "--requirement", name], cwd=ROOT, check=False).returncode
    return 1 if worst else 0


def grype_command(grype: str, image: str, folder: Path) -> list[str]:
    """How Grype is asked: a table for people; the image's bill of materials, with what was found, as CycloneDX."""
    command = [grype, f"docker:{image}", "--only-fixed", "--fail-on", "high", "--output", "table"]
    return [*command, "--output", f"cyclonedx-json={folder / 'image.cdx.json'}"]


def scan(known: Mapping[str, str]) -> int:
    """Scan the image that `make image` built; 1 when there is no Grype, since then nothing was scanned."""
    wanted = known.get("GRYPE") or "grype"
    grype = shutil.which(wanted)
    if grype is None:
        print(f"image-scan: there is no {wanted} here, so nothing was scanned: {GRYPE}.")
        return 1
    BOMS.mkdir(parents=True, exist_ok=True)
    return subprocess.run(grype_command(grype, IMAGE, BOMS), cwd=ROOT, check=False).returncode


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked for; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["sbom", "audit", "scan"])
    verb = parser.parse_args(arguments).verb
    if verb == "scan":
        return scan(os.environ)
    return {"sbom": sbom, "audit": audit}[verb]()


if __name__ == "__main__":
    sys.exit(main())
