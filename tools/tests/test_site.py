"""Proves that the site is made from the tree alone, that its links are turned well, and that faults of it are found."""

import http.server
import json
import threading
from pathlib import Path

import pytest
from documents import built, generated, outside, stage
from documents.markdown import read
from documents.schemas import kind, table
from documents.tree import ROOT, Tree, tracked

FRONT = """# Front

## First

- [Readme](../README.md) and the [folder](folder/README.md#inside)

## Second

- [Service](../services/x/README.md), [again](../README.md), <https://example.com>
"""
TEXTS = {
    "README.md": "# Top\n\n[docs](docs/README.md) [a\nprogram](tools/run.py) [tools](tools/) ![p](docs/Picture.svg)\n",
    "docs/README.md": FRONT,
    "docs/folder/README.md": "# Folder\n\n## Inside\n\n[up](../../README.md) [json](data.json) [self](#inside)\n",
    "docs/folder/Page.md": "# Page\n\n[p]: ../Picture.svg\n\n[p] `[x](README.md)` [x](README.md)\n",
    "docs/folder/data.md": "# Data, made\n\n[data.json](data.json)\n",
    "docs/late.md": "# Late\n\n<picture><source srcset='Picture.svg'><img src='Picture.svg'></picture>\n"
    "<a href='folder/Page.md#page'>x</a>\n",
    "services/x/README.md": "# X\n\n[f](../../docs/folder/Page.md)\n",
}
TREE = Tree(
    frozenset({*TEXTS, "docs/Picture.svg", "docs/folder/data.json", "tools/run.py", "tools/deep/more.py"}), TEXTS
)


def staged() -> dict[str, str]:
    return stage.staged(TREE, lambda path: f"# text of {path}\n```\n")


def test_pages_stand_at_short_addresses() -> None:
    assert sorted(staged()) == [
        "folder/data.md",
        "folder/index.md",
        "folder/page.md",
        "index.md",
        "late.md",
        "readme.md",
        "services/x/index.md",
        "shown/tools.md",
        "shown/tools/run.py.md",
    ]


def test_links_are_turned_to_where_things_stand() -> None:
    pages = staged()
    assert "[docs](index.md) [a\nprogram](shown/tools/run.py.md) [tools](shown/tools.md)" in pages["readme.md"]
    assert "![p](picture.svg)" in pages["readme.md"]
    assert "[up](../readme.md) [json](data.md) [self](#inside)" in pages["folder/index.md"]
    assert "[p]: ../picture.svg" in pages["folder/page.md"]
    assert "[folder](folder/index.md#inside)" in pages["index.md"]
    assert "<source srcset='picture.svg'><img src='picture.svg'>" in pages["late.md"]
    assert "<a href='folder/page.html#page'>" in pages["late.md"], "Sphinx does not turn HTML"
    assert "[data.json](data.json)" in pages["folder/data.md"], "a made page offers what it is made from"
    assert stage.pictures(TREE) == ["docs/Picture.svg"]


def test_the_navigation_is_the_front_page_then_folders_then_what_nobody_placed() -> None:
    assert stage.branches(TREE) == [
        stage.Branch("First", ("README.md", "docs/folder/README.md")),
        stage.Branch("Second", ("services/x/README.md",)),
        stage.Branch("More", ("docs/late.md",)),
    ]
    assert stage.children(TREE, "docs/folder/README.md") == ["docs/folder/Page.md", "docs/folder/data.md"]
    assert "/folder/page\n/folder/data\n" in staged()["folder/index.md"]


def test_a_program_and_a_folder_are_shown() -> None:
    pages = staged()
    assert "# `tools/run.py`\n\n````python\n# text of tools/run.py\n```\n````" in pages["shown/tools/run.py.md"]
    assert "# `tools/`\n\n- `deep`\n- `run.py`\n" in pages["shown/tools.md"]
    long = stage.show_file("x.txt", "line\n" * (stage.SHOWN_LINES_MAX + 5))
    assert long.endswith("… 5 more lines.\n")


def test_two_files_at_one_place_are_told() -> None:
    assert stage.collisions(TREE) == []
    both = Tree(TREE.files | {"LATE.md"}, {**TEXTS, "LATE.md": "# Late again\n"})
    assert stage.collisions(both) == ["docs/late.md and LATE.md would both stand at late.md: rename one"]


def test_slides_are_no_page() -> None:
    assert stage.is_deck("---\ntheme: x\nmarp: true\n---\n# Slide\n")
    assert not stage.is_deck("---\ntheme: x\n---\nmarp: true\n")


def test_every_page_of_ours_stands_in_the_navigation_once() -> None:
    tree = tracked()
    placed = [page for branch in stage.branches(tree) for page in branch.pages]
    for page in placed:
        placed += stage.children(tree, page)
    assert sorted([stage.FRONT, *placed]) == sorted(tree.pages)


def test_a_schema_is_told_in_words() -> None:
    assert kind({"type": "integer", "minimum": 1.0, "maximum": 1000.0}) == "integer, 1 to 1,000"
    assert (
        kind({"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}]})
        == "text of at most 9 characters or `null`"
    )
    assert (
        kind({"type": "array", "items": {"$ref": "#/x/Thing"}, "maxItems": 3})
        == "list of [Thing](#thing), at most 3 of them"
    )
    assert kind({"type": "string", "pattern": "^wal_[0-7][0-9a-z]{25}$"}) == "id, `wal_…`"
    assert kind({"enum": [str(one) for one in range(20)]}) == "`0`, `1` … `19` (20 codes)"
    inner = {"type": "object", "properties": {"b": {"type": "boolean", "default": False, "description": "x | y"}}}
    assert "| `a.b` | `true` or `false` | x \\| y; `false` unless given |" in table({"properties": {"a": inner}})


def test_every_route_and_every_event_has_its_place_on_a_page() -> None:
    pages = generated.pages(ROOT)
    routes = 0
    for path in generated.documents(ROOT):
        text = pages[path.with_suffix(".md").relative_to(ROOT).as_posix()]
        document = json.loads(path.read_text())
        for where, methods in document.get("paths", {}).items():
            for method in methods:
                routes += 1
                assert f"`{method.upper()} {where}`" in text
    assert routes > 250
    for name in ("wallet", "payments", "identity", "risk", "gateway"):
        page = read(pages[f"docs/reference/openapi/{name}.md"])
        merged = read(pages["docs/reference/openapi/ledgerlink.md"])
        to = [link.target.partition("#")[2] for link in merged.links if link.target.startswith(f"{name}.md#")]
        assert to, name
        assert set(to) <= page.anchors


GOOD = (
    '<title>x</title><h1 id="here">x</h1><a href="#here"></a><a href="https://x.example"></a><a href="b/c.html#d"></a>'
)


def site(folder: Path, page: str, **others: str) -> list[str]:
    """What the check says about a site of a few files."""
    (folder / "b").mkdir()
    (folder / "b" / "c.html").write_text('<p id="d"></p><a href="../index.html#here"></a><img src="../p.svg">')
    (folder / "p.svg").write_text("<svg/>")
    (folder / "index.html").write_text(page)
    for name, text in others.items():
        (folder / name.replace("_", ".")).write_text(text)
    return built.check(folder)


def test_a_sound_site_has_no_findings(tmp_path: Path) -> None:
    css = "a { background: url(p.svg) } b { background: url('data:image/svg+xml,x') }"
    assert (
        site(tmp_path, GOOD + '<link href="a.css"><script src="a.js"></script>', a_css=css, a_js="fetch('x.json')")
        == []
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('<a href="none.html"></a>', "index.html points to none.html, which is not there"),
        ('<a href="b/c.html#none"></a>', "index.html points to b/c.html#none, but there is no such anchor"),
        ('<a href="#none"></a>', "index.html points to #none, but there is no such anchor"),
        ('<a href="/b/c.html"></a>', "index.html points to /b/c.html: the site must work below any address"),
        ('<a href="../x"></a>', "index.html points to ../x, outside of the site"),
        ('<img src="none.svg">', "index.html points to none.svg, which is not there"),
        (
            '<script src="https://example.com/a.js"></script>',
            "index.html loads https://example.com/a.js from another host",
        ),
        (
            '<link rel="stylesheet" href="//example.com/a.css">',
            "index.html loads //example.com/a.css from another host",
        ),
        ('<img src="http://example.com/p.png">', "index.html loads http://example.com/p.png from another host"),
        (
            "<style>@import 'https://example.com/a.css'</style>",
            "index.html loads https://example.com/a.css from another host",
        ),
        (
            '<p style="background:url(https://example.com/p)">',
            "index.html loads https://example.com/p from another host",
        ),
        ("<script>fetch('https://example.com/x')</script>", "index.html loads from another host"),
        ("<script>s.src = '//example.com/x'</script>", "index.html loads from another host"),
    ],
)
def test_a_planted_fault_of_the_site_is_found(tmp_path: Path, more: str, said: str) -> None:
    assert site(tmp_path, GOOD + more) == [said]


def test_pictures_are_looked_at_too(tmp_path: Path) -> None:
    picture = '<svg xmlns="http://www.w3.org/2000/svg"><image xlink:href="https://example.com/p.png"/></svg>'
    assert site(tmp_path, GOOD, x_svg=picture) == ["x.svg loads https://example.com/p.png from another host"]


def test_styles_and_scripts_of_their_own_files_are_looked_at(tmp_path: Path) -> None:
    found = site(
        tmp_path,
        GOOD,
        a_css="@font-face { src: url(https://example.com/f) } a { b: url(none) }",
        a_js="import('https://x')",
    )
    assert found == [
        "a.css loads https://example.com/f from another host",
        "a.css points to none, which is not there",
        "a.js loads from another host",
    ]


def test_names_of_this_machine_and_of_examples_are_not_asked() -> None:
    assert not outside.is_asked("http://localhost:8080/docs")
    assert not outside.is_asked("https://ledgerlink.dev/problems/x")
    assert outside.is_asked("https://www.standardwebhooks.com")


def test_an_address_that_answers_badly_or_not_at_all_is_told() -> None:
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/good" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}"
        assert [outside.ask(f"{here}/good"), outside.ask(f"{here}/none")] == ["", "answers 404"]
        server.shutdown()
    assert outside.ask(f"{here}/good").startswith("cannot be asked: ")
