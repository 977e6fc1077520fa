"""A release: its tag, its notes, its page.

``python tools/release.py check``    TAG is this checkout's version, and CHANGELOG.md has a finished section for it
``python tools/release.py notes``    the same, and the section is written to build/release/notes.md
``python tools/release.py publish``  the same, and the release's page is made on GitHub, with the files of build/sbom
                                     (needs the program `gh` and its token)

TAG comes from the environment: v1.2.3.
"""

import argparse
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import lock

ROOT = Path(__file__).resolve().parent.parent
NOTES = ROOT / "build" / "release" / "notes.md"
BOMS = ROOT / "build" / "sbom"
ASSETS: Final = ("image.cdx.json", "python.cdx.json")
HEADING: Final = re.compile(r"(?m)^## (\S+) \((.+)\)$")
DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


class NoRelease(Exception):
    """This is no release; the message says what to mend."""


def section(changelog: str, version: str) -> str:
    """What a changelog says about one version, without its heading. Raises `NoRelease` when it is not finished."""
    headings = list(HEADING.finditer(changelog))
    mine = [index for index, heading in enumerate(headings) if heading[1] == version]
    if len(mine) != 1:
        raise NoRelease(f"CHANGELOG.md has {len(mine) or 'no'} section(s) `## {version} (date)`; there must be one")
    heading = headings[mine[0]]
    if DATE.fullmatch(heading[2]) is None:
        raise NoRelease(f"CHANGELOG.md says {version} is `{heading[2]}`: put the date of the release there, YYYY-MM-DD")
    following = headings[mine[0] + 1].start() if mine[0] + 1 < len(headings) else len(changelog)
    text = changelog[heading.end() : following].strip()
    if not text:
        raise NoRelease(f"CHANGELOG.md says nothing about {version}")
    return text


def notes(tag: str, version: str, changelog: str) -> str:
    """The notes of the release that ``tag`` names. Raises `NoRelease` when the tag is not this checkout's version."""
    if tag != f"v{version}":
        raise NoRelease(
            f"the tag is {tag or '(nothing)'} and pyproject.toml says {version}: the tag must be v{version}"
        )
    return f"{section(changelog, version)}\n"


def stray_versions(texts: Mapping[str, str], version: str) -> list[str]:
    """The pyproject files, by their path and text, that say another version than the whole has."""
    found = {path: tomllib.loads(text)["project"]["version"] for path, text in texts.items()}
    return [f"{path} says {said}" for path, said in sorted(found.items()) if said != version]


def publish_command(tag: str, assets: Sequence[Path]) -> list[str]:
    """How GitHub's program is told to make the page, from a tag that must be there. Raises `NoRelease`."""
    missing = [path.name for path in assets if not path.exists()]
    if missing:
        raise NoRelease(f"build/sbom lacks {' and '.join(missing)}: run `make sbom` and `make image-scan` first")
    command = ["gh", "release", "create", tag, "--verify-tag", "--title", f"LedgerLink {tag}"]
    return [*command, "--notes-file", str(NOTES), *map(str, assets)]


def main() -> int:
    """Check, write, publish; exit code 1 with a sentence when this is no release."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["check", "notes", "publish"])
    verb = parser.parse_args().verb
    tag = os.environ.get("TAG", "")
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    members = {path.relative_to(ROOT).as_posix(): path.read_text() for path in lock.members(ROOT)}
    try:
        if strays := stray_versions(members, version):
            raise NoRelease(f"the release is {version}, but {' and '.join(strays)}")
        text = notes(tag, version, (ROOT / "CHANGELOG.md").read_text())
        if verb == "check":
            print(f"release: {tag} is {version}, with {len(text.splitlines())} lines of notes")
            return 0
        NOTES.parent.mkdir(parents=True, exist_ok=True)
        NOTES.write_text(text)
        print(f"release: notes of {tag} in {NOTES.relative_to(ROOT)}")
        if verb == "publish":
            return subprocess.run(
                publish_command(tag, [BOMS / name for name in ASSETS]), cwd=ROOT, check=False
            ).returncode
    except NoRelease as error:
        print(f"release: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
