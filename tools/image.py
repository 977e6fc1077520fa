"""Our image: built, and brought to a registry.

``python tools/image.py build``  make ledgerlink:local from the Dockerfile. With IMAGE_CACHE=<folder> the layers are
                                 kept there and taken from there (needs docker buildx with a builder of its own)
``python tools/image.py push``   bring ledgerlink:local to IMAGE (ghcr.io/owner/name) under this release's version;
                                 what was scanned is what is pushed. A version that is there already is refused
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
LOCAL: Final = "ledgerlink:local"
NAME: Final = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+")
DIGEST: Final = re.compile(r"@(sha256:[0-9a-f]{64})$")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said: its exit code and its output."""

    code: int
    output: str = ""


Run = Callable[[Sequence[str]], Answer]


class ImageTrouble(Exception):
    """The image could not be made or brought there; the message says why."""


def run(command: Sequence[str]) -> Answer:
    """Run a program: what it says on its error stream is shown, what it says on the other is given back."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    return Answer(done.returncode, done.stdout)


def version() -> str:
    """The release that this checkout is."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def build(do: Run, release: str, cache: Path | None) -> None:
    """Build the image; with ``cache`` a folder's layers are used, and replaced by those of this build alone."""
    commit = do(["git", "rev-parse", "HEAD"]).output.strip() or "unknown"
    labels = ["--build-arg", f"VERSION={release}", "--build-arg", f"REVISION={commit}", "--tag", LOCAL]
    if cache is None:
        if do(["docker", "build", *labels, "."]).code:
            raise ImageTrouble("the image could not be built, see above")
        return
    # The folder would grow by every build that it ever saw: it is written beside, and changed for the old one.
    fresh = cache.with_name(f"{cache.name}.new")
    layers = ["--cache-from", f"type=local,src={cache}", "--cache-to", f"type=local,dest={fresh},mode=max"]
    if do(["docker", "buildx", "build", "--load", *labels, *layers, "."]).code:
        raise ImageTrouble("the image could not be built, see above")
    if fresh.is_dir():
        shutil.rmtree(cache, ignore_errors=True)
        fresh.rename(cache)


def push(do: Run, name: str, release: str) -> str:
    """Push the image as ``name:release``; gives its digest. A release never moves, so one that is there is refused."""
    name = name.lower()  # a repository of GitHub may have capitals, an image may not
    if NAME.fullmatch(name) is None:
        raise ImageTrouble(f"IMAGE={name or '(nothing)'} is no image's name: host/path, and no tag")
    target = f"{name}:{release}"
    if do(["docker", "manifest", "inspect", target]).code == 0:
        raise ImageTrouble(f"{target} is there already, and a release never moves: raise the version")
    for command in (["docker", "tag", LOCAL, target], ["docker", "push", "--quiet", target]):
        if do(command).code:
            raise ImageTrouble(f"`{' '.join(command)}` failed, see above")
    told = do(["docker", "image", "inspect", "--format", "{{range .RepoDigests}}{{println .}}{{end}}", target]).output
    found = [match[1] for line in told.split() if line.startswith(f"{name}@") and (match := DIGEST.search(line))]
    if len(found) != 1:
        raise ImageTrouble(f"{target} was pushed, but the engine does not say one digest of it: {told.split()}")
    return found[0]


def tell(outputs: Mapping[str, str], file: str | None) -> None:
    """Print what came out, and hand it to the workflow's later steps when there is a workflow (GITHUB_OUTPUT)."""
    lines = [f"{key}={value}" for key, value in outputs.items()]
    print("\n".join(lines))
    if file:
        with Path(file).open("a") as stream:
            stream.writelines(f"{line}\n" for line in lines)


def main() -> int:
    """Build or push; exit code 1 with a sentence when it did not work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["build", "push"])
    verb = parser.parse_args().verb
    if shutil.which("docker") is None:
        print("image: there is no docker here; install Docker Engine, or Podman with its docker command")
        return 1
    cache = os.environ.get("IMAGE_CACHE")
    try:
        if verb == "build":
            build(run, version(), Path(cache) if cache else None)
            print(f"image: {LOCAL} is release {version()}")
        else:
            name = os.environ.get("IMAGE", "")
            digest = push(run, name, version())
            tell({"name": name.lower(), "digest": digest}, os.environ.get("GITHUB_OUTPUT"))
    except ImageTrouble as trouble:
        print(f"image: {trouble}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
