"""Proves that pictures belong to their sources and can be read, and that what pages and slides name is there."""

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import diagrams
import pytest
import slides
import sqlalchemy as sa
from diagrams import BACKGROUND, COLOR, DARK, FOLDER, ROOT, STYLE, TEXT

from ledgerlink_gateway.routes import ROUTES
from ledgerlink_stack.layout import SERVICES

TOUR = FOLDER.parent
PAGES = [*sorted(TOUR.glob("*.md")), *sorted((ROOT / "docs" / "slides").glob("*.md")), ROOT / "docs/aws/README.md"]
PICTURES = [diagrams.picture_of(source) for source in diagrams.sources()]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
TARGET = re.compile(r"\bmake ([a-z][a-z0-9-]+)")
DRAWN_COLOR = re.compile(r'\b(?:fill|stroke)="(#[0-9a-fA-F]+)"')
ROOTS = tuple(f"{path.name}/" for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_COUNTED = "times|percent|ms|transfers|postings|entries|requests|leaves|clients|purchases"
SPEED = re.compile(
    rf"\b{_NUMBER}(?: to {_NUMBER})?(?: (?:{_COUNTED})\b|%)"
    rf"|\b(?:p\d\d) (?:below|above|under) {_NUMBER} \w+"
    rf"|\bwant {_NUMBER} to {_NUMBER}"
    r"|\ba (?:half|third|quarter|tenth|twentieth)\b(?: right after a checkpoint)?"
)
"""What a sentence about speed or size looks like."""
PROSE = {"a", "it", "target", "targets", "the", "them"}
"""Words that follow "make" where no target is meant."""


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The ids that headings get: lower case, words joined by dashes, all else dropped."""
    titles = (re.sub(r"[`*]|\[([^\]]+)\]\([^)]*\)", r"\1", title) for title in HEADING.findall(text_of(page)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def dangling(page: Path, text: str) -> list[str]:
    """Links of ``text`` that lead nowhere, as seen from ``page``."""
    lost: list[str] = []
    for link in LINK.findall(text):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    return lost


def targets_of(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9-]*):", makefile, re.MULTILINE))


def strangers(text: str, known: set[str]) -> set[str]:
    """Make targets that ``text`` names and the Makefile has not."""
    return set(TARGET.findall(text)) - known - PROSE


def paths_of(text: str) -> Iterator[str]:
    """Paths of this repository that stand in ``text`` as code; what is made there and not kept is none."""
    for code in CODE.findall(text):
        for word in code.split():
            path = word.partition("::")[0].rstrip(".,:;")
            made = {"out", "build", ".venv", "node_modules"} & set(path.split("/"))
            if path.startswith(ROOTS) and not made and not set("*<>$…{") & set(path):
                yield path


def contrast(one: str, other: str) -> float:
    """How far two colors are apart, from 1 to 21 (WCAG 2.2, relative luminance)."""

    def luminance(color: str) -> float:
        parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_there_are_pages_and_pictures_to_look_at() -> None:
    assert len(PICTURES) >= 7
    assert {"context.md", "containers.md", "payment.md", "ledger-write.md", "threats.md"} <= {
        page.name for page in PAGES
    }


def test_every_picture_belongs_to_its_source() -> None:
    assert diagrams.faults() == {}


@pytest.mark.parametrize("part", ["source", "style", "picture", "stamp"])
def test_a_changed_source_or_picture_is_noticed(part: str) -> None:
    source = diagrams.sources()[0]
    parts = {
        "source": source.read_bytes(),
        "style": STYLE.read_bytes(),
        "picture": diagrams.picture_of(source).read_bytes(),
    }
    assert diagrams.fault(**parts) is None
    if part == "stamp":
        parts["picture"] = parts["picture"].rpartition(b"<!--")[0]
    else:
        parts[part] = parts[part].replace(b"1", b"2", 1)
    assert diagrams.fault(**parts)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_a_picture_has_only_colors_that_have_one_for_the_dark(picture: Path) -> None:
    drawn = set(DRAWN_COLOR.findall(picture.read_text(encoding="utf-8")))
    assert drawn
    assert drawn <= DARK.keys()


def test_the_sources_use_every_color_and_no_other() -> None:
    used = {color for source in [STYLE, *diagrams.sources()] for color in COLOR.findall(source.read_text())}
    assert used == DARK.keys()


@pytest.mark.parametrize("shade", ["light", "dark"])
def test_words_stand_out_from_every_ground(shade: str) -> None:
    shown = {color: color if shade == "light" else DARK[color] for color in DARK}
    grounds = ("#e1eef8", "#fcf0d0", "#eef1f5", BACKGROUND)
    assert min(contrast(shown[TEXT], shown[ground]) for ground in grounds) >= 7
    assert contrast(shown["#4a5868"], shown[BACKGROUND]) >= 4.5
    assert min(contrast(shown[line], shown[BACKGROUND]) for line in ("#0b5c96", "#8a5a00", "#8694a3")) >= 3


def test_every_picture_stands_on_a_page() -> None:
    shown = {
        (page.parent / link).resolve()
        for page in [*PAGES, ROOT / "README.md"]
        for link in LINK.findall(text_of(page))
        if link.endswith(".svg")
    }
    assert shown == set(PICTURES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_what_a_page_names_is_there(page: Path) -> None:
    text = text_of(page)
    assert dangling(page, FENCE.sub("", text)) == []
    assert strangers(text, targets_of((ROOT / "Makefile").read_text())) == set()
    assert [path for path in paths_of(FENCE.sub("", text)) if not (ROOT / path).exists()] == []


def test_what_a_page_names_in_vain_is_noticed() -> None:
    page = TOUR / "README.md"
    assert dangling(page, "[x](nowhere.md) [y](context.md#nowhere) [z](context.md#what-it-is-not)") == [
        "nowhere.md",
        "context.md#nowhere",
    ]
    assert strangers("`make haste`, make it, `make up`", {"up"}) == {"haste"}
    assert list(paths_of("`tests/crash` and `docs/x.md`, `/v1/x`")) == ["tests/crash", "docs/x.md"]


@pytest.mark.parametrize("service", ["identity", "wallet", "payments", "risk"])
def test_a_service_page_names_tables_that_the_service_has(service: str) -> None:
    text = text_of(TOUR / f"{service}.md")
    data = text.partition("| data |")[2].partition("\n\n")[0]
    named = {name for row in data.splitlines()[2:] for name in CODE.findall(row.split("|")[1])}
    tables = vars(importlib.import_module(f"ledgerlink_{service}.tables"))
    metadata: sa.MetaData = tables.get("METADATA") or tables["metadata"]
    assert len(named) >= 5
    assert named <= set(metadata.tables)


def figures(text: str) -> set[str]:
    """Figures of speed in ``text``, its lines joined."""
    return set(SPEED.findall(" ".join(text.split())))


def test_the_slides_say_about_speed_only_what_the_readme_says() -> None:
    readme = " ".join(text_of(ROOT / "README.md").split())
    said = {figure for deck in slides.decks() for figure in figures(text_of(deck))}
    assert len(said) >= 7
    assert {figure for figure in said if figure not in readme} == set()


@pytest.mark.parametrize(
    "claim",
    [
        "9 to 12 times pgbench",
        "p99 below 5 ms",
        "20,000 transfers a second",
        "costs a third",
        "we want 3 to 4",
        "99.9%",
    ],
)
def test_a_figure_of_speed_that_stands_nowhere_is_noticed(claim: str) -> None:
    readme = " ".join(text_of(ROOT / "README.md").split())
    assert [figure for figure in figures(claim) if figure not in readme]


def test_every_figure_of_the_readmes_speed_is_seen_as_one() -> None:
    line = text_of(ROOT / "README.md").partition("- Speed, as")[2].partition("\n\n")[0]
    assert {"1.05 to 1.4 times", "p99 below 50 ms", "2.5 times", "want 8 to 10", "a tenth", "a twentieth"} <= figures(
        line
    )


def test_a_talk_has_slides_with_a_title_each() -> None:
    (deck,) = slides.decks()
    pages = text_of(deck).partition("\n---\n")[2].split("\n---\n")
    assert 15 <= len(pages) <= 20
    assert all(len(re.findall(r"^# ", FENCE.sub("", page), re.MULTILINE)) == 1 for page in pages)


def test_marp_and_its_lock_name_the_same_versions_and_no_host() -> None:
    wanted = json.loads((slides.SLIDES / "package.json").read_text())["devDependencies"]
    lock = json.loads((slides.SLIDES / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all(entry.get("integrity") and "resolved" not in entry for entry in packages.values())


def test_the_browser_is_the_one_that_is_named_or_found_or_none(tmp_path: Path) -> None:
    mine = tmp_path / "chromium"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o755)
    assert slides.browser({"PATH": str(tmp_path)}) == str(mine)
    assert slides.browser({"CHROME_PATH": str(mine), "PATH": ""}) == str(mine)
    assert slides.browser({"CHROME_PATH": str(tmp_path / "absent"), "PATH": str(tmp_path)}) is None


def test_pictures_and_typeface_go_into_the_page(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("<svg/>")
    page = slides.whole('<img src="a.svg"/><img src="https://example.org/b.svg"/>', tmp_path)
    assert 'src="data:image/svg+xml;base64,PHN2Zy8+"' in page
    assert 'src="https://example.org/b.svg"' in page
    theme = slides.theme_with_font(text_of(slides.SLIDES / "theme.css"), b"font")
    assert "url(data:font/woff2;base64,Zm9udA==)" in theme


def test_a_slide_that_holds_too_much_is_told_by_its_number() -> None:
    assert slides.overfull("<title>measured 3:  </title>") == []
    assert slides.overfull("<title>measured 3:1  3</title>") == [1, 3]
    with pytest.raises(SystemExit, match="did not measure"):
        slides.overfull("<title>LedgerLink</title>")


def test_the_ports_of_the_tour_are_those_of_the_local_stack() -> None:
    rows = re.findall(
        r"^\| (?:\[(\w+)\]\([^)]*\)|(\w+))[^|]*\| ([\d, ]+) \|", text_of(TOUR / "containers.md"), re.MULTILINE
    )
    told = {one or other: [int(port) for port in ports.split(",")] for one, other, ports in rows}
    assert told == {each.name: [each.port, *([each.worker_port] if each.worker_port else [])] for each in SERVICES}


def test_the_gateways_page_leads_where_the_route_table_does() -> None:
    rows = re.findall(r"^\| (`/[^|]*) \| ([^|]*) \|", text_of(TOUR / "gateway.md"), re.MULTILINE)
    prefixes = {route.prefix for route in ROUTES}
    for paths, _ in rows:
        for path in CODE.findall(paths):
            public = path if path.startswith("/") else f"/api/v1/{path}"
            assert any(prefix.startswith(public) for prefix in prefixes), public
