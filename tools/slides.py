"""`make slides`: export docs/slides to build/slides by Marp: HTML in one file, PDF, and pictures of the slides.

Marp and the typeface come from npm by docs/slides/package-lock.json, to build/marp, once per lock. HTML needs nothing
else; PDF and pictures need a Chromium, which is left to the machine: without one they are left out, and that is said.
With one, every slide is measured as well: what runs over its edge fails.

``python tools/slides.py``                  HTML, and PDF when a browser is there
``python tools/slides.py --pdf required``   fail when there is none; ``--pdf no`` leaves it out
``python tools/slides.py --images``         a PNG of each slide too
"""

import argparse
import base64
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import npm

ROOT: Final = Path(__file__).resolve().parent.parent
SLIDES: Final = ROOT / "docs" / "slides"
OUT: Final = ROOT / "build" / "slides"
MARP_HOME: Final = ROOT / "build" / "marp"
MARP: Final = MARP_HOME / "node_modules" / "@marp-team" / "marp-cli" / "marp-cli.js"
FONT: Final = "@fontsource-variable/source-sans-3/files/source-sans-3-latin-wght-normal.woff2"
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
BROWSERS_OF_MACOS: Final = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
TIMEOUT_S: Final = 300
MEASURE: Final = """<script>
addEventListener("load", () => document.fonts.ready.then(() => {
  const over = (part) => part.scrollHeight > part.clientHeight + 1 || part.scrollWidth > part.clientWidth + 1;
  const slides = [...document.querySelectorAll("section")];
  document.title = "measured " + slides.length + ":" + slides.map((s, n) => (over(s) ? n + 1 : "")).join(" ");
}));
</script>"""
_MEASURED: Final = re.compile(r"<title>measured (\d+):([\d ]*)</title>")
_PICTURE: Final = re.compile(r'(?<=src=")[^":]+\.svg(?=")')


def decks() -> list[Path]:
    """Every deck: a Markdown file that says so in its head."""
    return [path for path in sorted(SLIDES.glob("*.md")) if path.read_text(encoding="utf-8").startswith("---\nmarp: ")]


def browser(environment: Mapping[str, str]) -> str | None:
    """Give the browser that prints: the one that CHROME_PATH names, or the first on the PATH; none if there is none."""
    named = environment.get("CHROME_PATH")
    if named:
        return shutil.which(named)
    found = (shutil.which(name, path=environment.get("PATH")) for name in (*BROWSERS, *BROWSERS_OF_MACOS))
    return next((path for path in found if path), None)


def theme_with_font(theme: str, font: bytes) -> str:
    """Put the typeface into the theme, so that slides look alike on every machine."""
    name = "url(source-sans-3.woff2)"
    assert name in theme, "the theme names its typeface"
    return theme.replace(name, f"url(data:font/woff2;base64,{base64.b64encode(font).decode()})")


def whole(page: str, folder: Path) -> str:
    """Put the pictures that an HTML page names, as seen from ``folder``, into the page."""

    def inlined(name: re.Match[str]) -> str:
        return "data:image/svg+xml;base64," + base64.b64encode((folder / name[0]).read_bytes()).decode()

    return _PICTURE.sub(inlined, page)


def marp(arguments: list[str], environment: Mapping[str, str]) -> None:
    """Run Marp on a deck; exits with its words when it fails."""
    command = [*npm.node(), str(MARP), "--no-stdin", "--allow-local-files", *arguments]
    done = subprocess.run(
        command,
        cwd=SLIDES,
        env={**environment, "NODE_NO_WARNINGS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        sys.exit(f"make slides: Marp failed\n{done.stdout.strip()}")


def overfull(told: str) -> list[int]:
    """Numbers of the slides whose content runs over its edge, as `MEASURE` told them in a page's title."""
    measured = _MEASURED.search(told)
    if measured is None or not int(measured[1]):
        sys.exit("make slides: the browser did not measure the slides")
    return [int(number) for number in measured[2].split()]


def measure(deck: Path, theme: Path, found: str, environment: Mapping[str, str]) -> list[int]:
    """Lay all slides out in the browser, and give the numbers of those that hold too much."""
    page = OUT / f"{deck.stem}.measured.html"
    marp([deck.name, "--theme-set", str(theme), "--template", "bare", "--output", str(page)], environment)
    page.write_text(whole(page.read_text(encoding="utf-8"), SLIDES) + MEASURE, encoding="utf-8")
    command = [found, "--headless", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom", page.as_uri()]
    if os.geteuid() == 0:
        command.insert(1, "--no-sandbox")
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    page.unlink()
    return overfull(done.stdout)


def export(deck: Path, theme: Path, environment: Mapping[str, str], *, pdf: bool, images: bool) -> None:
    """Export one deck to all forms that are wanted."""
    common = [deck.name, "--theme-set", str(theme)]
    page = OUT / f"{deck.stem}.html"
    marp([*common, "--output", str(page)], environment)
    page.write_text(whole(page.read_text(encoding="utf-8"), SLIDES), encoding="utf-8")
    _say(page)
    if pdf:
        marp([*common, "--pdf", "--pdf-outlines", "--output", str(OUT / f"{deck.stem}.pdf")], environment)
        _say(OUT / f"{deck.stem}.pdf")
    if images:
        marp([*common, "--images", "png", "--output", str(OUT / f"{deck.stem}.png")], environment)
        _say(OUT / f"{deck.stem}.001.png")


def _say(made: Path) -> None:
    print(f"slides: {made.relative_to(ROOT)} ({made.stat().st_size // 1024} KiB)", flush=True)


def main() -> int:
    """Export every deck; exit code 1 when a PDF was required and cannot be made, or a slide holds more than fits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pdf", choices=("auto", "required", "no"), default="auto")
    parser.add_argument("--images", action="store_true", help="a PNG of each slide too")
    options = parser.parse_args()
    found = browser(os.environ)
    missing = "no Chromium was found: install one (Debian: chromium) or name it by CHROME_PATH"
    if found is None and (options.pdf == "required" or options.images):
        print(f"make slides: {missing}", file=sys.stderr)
        return 1
    npm.install(SLIDES, MARP_HOME, "Marp")
    OUT.mkdir(parents=True, exist_ok=True)
    theme = OUT / "theme.css"
    font = (MARP_HOME / "node_modules" / FONT).read_bytes()
    theme.write_text(theme_with_font((SLIDES / "theme.css").read_text(encoding="utf-8"), font), encoding="utf-8")
    environment = dict(os.environ)
    if found is not None:
        environment["CHROME_PATH"] = found
    if os.geteuid() == 0:
        environment["CHROME_NO_SANDBOX"] = "1"
    full = False
    for deck in decks():
        export(deck, theme, environment, pdf=found is not None and options.pdf != "no", images=options.images)
        for number in measure(deck, theme, found, environment) if found else ():
            print(f"slides: slide {number} of {deck.name} holds more than fits", file=sys.stderr)
            full = True
    if found is None and options.pdf == "auto":
        print(f"slides: the PDF was left out, since {missing}")
    return 1 if full else 0


if __name__ == "__main__":
    sys.exit(main())
