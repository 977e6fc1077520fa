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
import threading
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
LOCAL: Final = "ledgerlink:local"
NAME: Final = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+")
ABSENT: Final = re.compile("no such manifest|(manifest|name)[ _]unknown|not found|denied", re.IGNORECASE)
"""How registries say that they have no such image; GitHub's says `denied` of a package that was never pushed."""
DIGEST: Final = re.compile(r"\bdigest: (sha256:[0-9a-f]{64})\b")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said: its exit code, its output, its complaints."""

    code: int
    output: str = ""
    errors: str = ""


Run = Callable[[Sequence[str]], Answer]


class ImageTrouble(Exception):
    """The image could not be made or brought there; the message says why."""


def run(command: Sequence[str]) -> Answer:
    """Run a program; what it complains of is shown while it runs and given back with its output."""
    complaints: list[str] = []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        reader = threading.Thread(target=_pass_on, args=(process, complaints))
        reader.start()
        assert process.stdout is not None
        output = process.stdout.read()
        reader.join()
    return Answer(process.returncode, output, "".join(complaints))


def _pass_on(process: subprocess.Popen[str], complaints: list[str]) -> None:
    """Show a program's error stream line by line, and keep it."""
    assert process.stderr is not None
    for line in process.stderr:
        print(line, end="", file=sys.stderr, flush=True)
        complaints.append(line)


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
    # Docker speaks plain HTTP to a registry on this machine by itself, but for this question.
    plainly = ["--insecure"] if name.startswith(("localhost:", "127.0.0.1:")) else []
    there = do(["docker", "manifest", "inspect", *plainly, target])
    if there.code == 0:
        raise ImageTrouble(f"{target} is there already, and a release never moves: raise the version")
    if ABSENT.search(there.errors) is None:
        raise ImageTrouble(f"whether {target} is there already is unknown, see above; nothing was pushed")
    if do(["docker", "tag", LOCAL, target]).code:
        raise ImageTrouble(f"there is no {LOCAL}: run `make image` first")
    # The registry's word: an engine may know an image by another digest than the one it was pushed under.
    pushed = do(["docker", "push", target])
    digests = DIGEST.findall(pushed.output)
    if pushed.code or len(digests) != 1:
        raise ImageTrouble(f"{target} was not pushed, or under no digest, see above:\n{pushed.output}")
    return digests[0]


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
