"""Proves that the check of links finds what is named and not there, passes what is, and holds for our own documents."""

import pytest
from documents import links
from documents.links import Makefile
from documents.markdown import read, slug
from documents.tree import ROOT, Tree, tracked

MAKEFILE = Makefile("X ?=\nup: bootstrap\n\t@run $(if $(SIZE),--size $(SIZE)) $(X)\nbootstrap:\nVERSION := 1\n")
OTHERS = {
    "docs/page.md": "# A page\n\n## One: `two`, *three*\n\n## Twice\n\n## Twice\n\n<a id='here'></a>\n",
    "docs/folder/README.md": "# Folder\n\n## Inside\n",
}
FILES = frozenset({"README.md", *OTHERS, "docs/picture.svg", "tools/program.py", "a b.md", ".github/x.yml"})
REACHED = "\n\n[a](docs/page.md) [b](docs/folder)\n"


def findings(text: str, path: str = "README.md", made: frozenset[str] = frozenset()) -> list[str]:
    """What the check says about one page beside the others."""
    texts = {"README.md": REACHED, **OTHERS}
    texts[path] = text + (REACHED if path == "README.md" else "")
    found = links.check(Tree(FILES, texts), MAKEFILE, made, {"tools/program.py": 12})
    return [str(one) for one in found]


@pytest.mark.parametrize(
    "text",
    [
        "[x](docs/page.md)",
        "[x](docs/page.md#one-two-three)",
        "[x](docs/page.md#twice-1)",
        "[x](docs/page.md#here)",
        "[x](docs/folder/#inside)",
        "[x](./tools/program.py#L12)",
        "[x](tools/program.py#L1-L12)",
        "[x](a%20b.md)",
        "![x](docs/picture.svg)",
        "# Hello, world!\n\n[x](#hello-world)",
        "[x]\n\n[x]: docs/page.md",
        "<https://example.com/nothing> [m](mailto:a@example.com)",
        "`[x](nowhere.md)`",
        "```\n[x](nowhere.md) `docs/none.md`\n```",
        "`tools/program.py`, `tools/program.py:12`, `tools/*.py`, `docs/<name>.md`, `docs/…/README.md`",
        "`docs/{page.md,picture.svg}`, `and/or`, `GET /docs/none`, `.github/x.yml`",
        "`make up`, `make up X=1 SIZE=small`, `make bootstrap up`, `make up|bootstrap`, `makes up`",
        "```\nmake up     # start\n$ make bootstrap && make up\n```",
    ],
)
def test_what_is_there_is_passed(text: str) -> None:
    assert findings(text) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n\n[x](docs/none.md)", "README.md:3 docs/none.md: there is no such file"),
        ("[x](Docs/page.md)", "README.md:1 Docs/page.md: there is no such file"),
        ("[x](../outside.md)", "README.md:1 ../outside.md: there is no such file"),
        ("[x](/docs/page.md)", "README.md:1 /docs/page.md: an absolute path leads nowhere"),
        ("one\ntwo [x](docs/page.md#four)", "README.md:2 docs/page.md#four: no heading of docs/page.md"),
        ("[x](docs/page.md#twice-2)", "README.md:1 docs/page.md#twice-2: no heading"),
        ("[x](#nothing)", "README.md:1 #nothing: no heading of README.md"),
        ("[x](tools/program.py#L13)", "README.md:1 tools/program.py#L13: tools/program.py has 12 lines"),
        ("[x](docs/picture.svg#part)", "README.md:1 docs/picture.svg#part: docs/picture.svg has no anchors"),
        ("![x](docs/none.svg)", "README.md:1 docs/none.svg: there is no such file"),
        ('<img src="docs/none.svg">', "README.md:1 docs/none.svg: there is no such file"),
        ("|a|\n|-|\n|b|\n|[x](none.md)|", "README.md:4 none.md: there is no such file"),
        ("see `tools/none.py`", "README.md:1 `tools/none.py` names tools/none.py, which is not there"),
        ("`tools/*.sh`", "README.md:1 `tools/*.sh` names tools/*.sh, which is not there"),
        ("`docs/{page.md,none.md}`", "README.md:1 `docs/{page.md,none.md}` names docs/{page.md,none.md}"),
        ("`make down`", "README.md:1 make knows no target down"),
        ("`make up Y=1`", "README.md:1 make knows no variable Y"),
        ("`make up|down`", "README.md:1 make knows no target down"),
        ("```sh\ntrue\nmake down   # it\n```", "README.md:3 make knows no target down"),
    ],
)
def test_what_is_not_there_is_found_with_its_line(text: str, said: str) -> None:
    (found,) = findings(text)
    assert found.startswith(said)


def test_paths_that_programs_make_may_be_named() -> None:
    assert findings("`tools/made/`", made=frozenset({"tools/made/"})) == []


def test_code_in_a_page_may_name_what_stands_beside_it() -> None:
    page = OTHERS["docs/folder/README.md"] + "\n`docs/page.md`, `../page.md`"
    assert findings(page, path="docs/folder/README.md") == []


def test_a_page_that_no_link_leads_to_is_found() -> None:
    (found,) = findings("# Alone", path="docs/alone.md")
    assert found == "docs/alone.md:1 no link leads here from README.md"


def test_anchors_are_those_that_github_makes() -> None:
    headings = {"5. Mend it": "5-mend-it", "`field`, and *more*": "field-and-more", "A – B/C (d_e)": "a--bc-d_e"}
    assert [read(f"# {heading}").anchors for heading in headings] == [{anchor} for anchor in headings.values()]
    assert slug("Größe & Maß") == "größe--maß"


def test_addresses_of_others_are_listed_with_their_places() -> None:
    tree = Tree(FILES, {"README.md": "[x](https://example.com/a)\n\n<https://example.com/a> [y](docs/page.md)"})
    assert links.external(tree) == {"https://example.com/a": ["README.md:1", "README.md:3"]}


def test_contributing_names_only_targets_that_make_knows_and_the_check_sees_them() -> None:
    makefile = Makefile((ROOT / "Makefile").read_text())
    page = tracked().pages["CONTRIBUTING.md"]
    calls = [text for _, text in links.commands(page) if text.startswith("make ")]
    assert {"make bootstrap    # .venv from requirements.lock; needs Python 3.11 or newer, nothing else"} <= set(calls)
    assert [said for text in calls for said in makefile.missing(text)] == []
    none = Makefile("nothing:\n")
    assert len([said for text in calls for said in none.missing(text)]) >= len(calls)
