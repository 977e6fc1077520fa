"""The documents, checked and made into a site.

``python tools/docs.py links``     every link, anchor, path and make target that Markdown names (a part of `make check`)
``python tools/docs.py build``     build/docs: the site, then every link and anchor of it
``python tools/docs.py serve``     the built site at http://127.0.0.1:8000, until Ctrl-C
``python tools/docs.py external``  ask every address of other hosts that the documents name; needs a network
"""

import argparse
import http.server
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from documents import built, generated, links, outside, stage
from documents.tree import ROOT, Tree, ignored, tracked

SITE: Final = ROOT / "tools" / "site"
STAGED: Final = ROOT / "build" / "docs-source"
BUILT: Final = ROOT / "build" / "docs"
DOCTREES: Final = ROOT / "build" / "docs-doctrees"


def check_links() -> int:
    """Check the Markdown; returns the exit code."""
    tree = tracked()
    missing = links.missing_paths(tree)
    made = ignored({*missing, *(f"{path}/" for path in missing)})
    linked = [path for path in links.linked_lines(tree) if path in tree.files]
    lines = {path: len((ROOT / path).read_text("utf-8").splitlines()) for path in linked}
    found = links.check(tree, links.Makefile((ROOT / "Makefile").read_text()), made, lines)
    for finding in found:
        print(finding)
    count = sum(len(page.links) for page in tree.pages.values())
    print(
        f"links: {len(found)} findings, {count} links in {len(tree.pages)} pages, {len(links.external(tree))} outside"
    )
    return 1 if found else 0


def site_tree() -> Tree:
    """The tree of the site: what git tracks without slides, with the pages that are made from JSON."""
    whole = tracked()
    texts = {path: text for path, text in whole.texts.items() if not stage.is_deck(text)} | generated.pages(ROOT)
    return Tree(whole.files | set(texts), texts)


def write_stage(tree: Tree) -> None:
    """Write what Sphinx reads, all of it anew: Sphinx warns about a page only when it reads it."""
    for folder in (STAGED, DOCTREES, BUILT):
        shutil.rmtree(folder, ignore_errors=True)
    for place, text in stage.staged(tree, lambda path: (ROOT / path).read_text("utf-8")).items():
        file = STAGED / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    copy_pictures(tree, STAGED)


def copy_pictures(tree: Tree, folder: Path) -> None:
    """Copy the pictures that pages show to their places under ``folder``."""
    for path in stage.pictures(tree):
        file = folder / stage.place(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, file)


def build() -> int:
    """Make the site; returns the exit code."""
    started = time.monotonic()
    tree = site_tree()
    for sentence in (collisions := stage.collisions(tree)):
        print(sentence)
    if collisions:
        return 1
    write_stage(tree)
    command = [str(SITE / ".venv" / "bin" / "sphinx-build"), "--builder", "html", "--fail-on-warning", "--quiet"]
    command += ["--conf-dir", str(SITE), "--doctree-dir", str(DOCTREES), "--jobs", "auto", str(STAGED), str(BUILT)]
    code = subprocess.run(command, cwd=ROOT, check=False).returncode
    if code:
        return code
    copy_pictures(tree, BUILT)  # for those that HTML shows, which Sphinx does not read
    for path in generated.documents(ROOT):
        target = BUILT / stage.place(f"{path.with_suffix('').relative_to(ROOT).as_posix()}.md")
        shutil.copyfile(path, target.with_name(path.name))
    for leftover in (".buildinfo", "objects.inv"):
        (BUILT / leftover).unlink(missing_ok=True)
    found = built.check(BUILT)
    for sentence in found:
        print(sentence)
    pages = len(list(BUILT.rglob("*.html")))
    print(f"docs: {pages} pages in build/docs, {len(found)} findings, {time.monotonic() - started:.0f} s")
    return 1 if found else 0


def serve(port: int) -> int:
    """Serve the built site to this machine alone until Ctrl-C."""
    if not (BUILT / "index.html").exists():
        print("docs: there is no site yet: run `make docs`")
        return 1
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(BUILT))
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server, suppress(KeyboardInterrupt):
        print(f"docs: http://127.0.0.1:{server.server_port} (Ctrl-C ends it)", flush=True)
        server.serve_forever()
    return 0


def external() -> int:
    """Ask every address of other hosts; returns 1 when one does not answer well."""
    places = links.external(tracked())
    found = outside.ask_all(places)
    for address, said in found.items():
        print(f"{address} {said}: {', '.join(places[address])}")
    asked = [address for address in places if outside.is_asked(address)]
    print(f"docs-external: {len(asked)} addresses asked, {len(found)} findings")
    return 1 if found else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("links", "build", "serve", "external"))
    parser.add_argument("--port", type=int, default=8000, help="where `serve` listens (8000)")
    options = parser.parse_args(arguments)
    verbs = {"links": check_links, "build": build, "serve": partial(serve, options.port), "external": external}
    return verbs[options.verb]()


if __name__ == "__main__":
    sys.exit(main())
