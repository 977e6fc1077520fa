"""``ledgerlink-tidy [PATH ...]``: check the house rules over the tracked files, or over those named."""

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from ledgerlink_tidy.rules import RULES
from ledgerlink_tidy.source import Finding, Source


def tracked(root: Path, under: list[str]) -> list[str]:
    """Paths of all files that git tracks or would track, below ``under``; raises CalledProcessError outside git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *under]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    return sorted({path for path in done.stdout.split("\0") if path})


def inspect(sources: Iterable[Source]) -> list[Finding]:
    """Every finding in the given files, in their order; a Python file that does not parse is a finding itself."""
    found: list[Finding] = []
    for source in sources:
        try:
            found.extend(finding for rule in RULES for finding in rule.findings(source))
        except SyntaxError as error:
            found.append(Finding(source.path, error.lineno or 1, "syntax", "this is no Python"))
    return found


def main() -> int:
    """Print each finding as ``path:line rule sentence``; exit code 1 when there is one."""
    parser = argparse.ArgumentParser(prog="ledgerlink-tidy", description=__doc__)
    parser.add_argument("paths", nargs="*", help="files or folders; all tracked files when none is given")
    parser.add_argument("--rules", action="store_true", help="list the rules and why they are rules")
    options = parser.parse_args()
    if options.rules:
        for rule in RULES:
            print(f"{rule.name:20} {rule.why}")
        return 0
    root = Path.cwd()
    paths = tracked(root, options.paths)
    found = inspect(source for path in paths if (source := Source.read(root, path)) is not None)
    for finding in found:
        print(finding)
    print(f"tidy: {len(found)} findings in {len(paths)} files, {len(RULES)} rules")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
