"""Every direct dependency has a line with its reason in the hand-written ``docs/reference/dependencies.md``."""

import json
import re
import tomllib
from collections.abc import Iterator

from exporting.workspace import REFERENCE, ROOT

PAGE = f"{REFERENCE}/dependencies.md"
SITE = "tools/site/requirements.in"
MEMBERS = ("libs/*", "services/*", "stack", "tools/tidy")
NPM = ("package.json", "docs/slides/package.json")


def declared() -> set[str]:
    """Names of all direct dependencies: the members', the development group's, npm's, and the site's."""
    names: set[str] = set()
    members = [path for place in MEMBERS for path in ROOT.glob(f"{place}/pyproject.toml")]
    for path in [ROOT / "pyproject.toml", *members]:
        data = tomllib.loads(path.read_text())
        needs = [*data["project"].get("dependencies", []), *data.get("dependency-groups", {}).get("dev", [])]
        names |= {re.split(r"[^A-Za-z0-9._-]", need, maxsplit=1)[0].lower() for need in needs}
    for place in NPM:
        npm = json.loads((ROOT / place).read_text())
        names |= {*npm.get("dependencies", {}), *npm.get("devDependencies", {})}
    site = re.findall(r"(?m)^[A-Za-z0-9._-]+", (ROOT / SITE).read_text())
    names |= {name.lower() for name in site}
    return {name for name in names if not name.startswith("ledgerlink")}


def findings() -> Iterator[str]:
    """Dependencies without a line, lines without a dependency, lines without a reason."""
    path = ROOT / PAGE
    text = path.read_text() if path.exists() else ""
    listed = dict(re.findall(r"(?m)^\| `([^`]+)` \|(.*)\|\s*$", text))
    for name in sorted(declared() - set(listed)):
        yield f"{PAGE} has no line for {name}: say why we need it"
    for name in sorted(set(listed) - declared()):
        yield f"{PAGE} has a line for {name}, which nothing declares any more"
    for name, reason in sorted(listed.items()):
        if len(reason.replace("|", " ").split()) < len(["two", "words"]):
            yield f"{PAGE} gives no reason for {name}"
