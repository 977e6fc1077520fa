"""Proves that only a tag which equals the version, with a finished section of the changelog, makes a release."""

from pathlib import Path

import pytest
from release import NoRelease, notes, publish_command, section, stray_versions

CHANGELOG = """# Changelog

All notable changes.

## 0.3.0 (unreleased)

### Added
- Nothing yet.

## 0.2.0 (2026-11-23)

### Added
- A thing.

### Fixed
- Another.

## 0.1.0 (2026-10-01)

- The first.
"""


def test_notes_are_the_section_and_nothing_of_its_neighbors() -> None:
    assert notes("v0.2.0", "0.2.0", CHANGELOG) == "### Added\n- A thing.\n\n### Fixed\n- Another.\n"


def test_the_last_section_ends_with_the_file() -> None:
    assert notes("v0.1.0", "0.1.0", CHANGELOG) == "- The first.\n"


@pytest.mark.parametrize("tag", ["", "0.2.0", "v0.2", "v0.2.1", "v0.2.0-rc1", "v0.2.0 "])
def test_a_tag_that_is_not_the_version_is_refused(tag: str) -> None:
    with pytest.raises(NoRelease, match=r"the tag must be v0\.2\.0"):
        notes(tag, "0.2.0", CHANGELOG)


@pytest.mark.parametrize(
    ("changelog", "says"),
    [
        (CHANGELOG.replace("2026-11-23", "unreleased"), "put the date"),
        (CHANGELOG.replace("## 0.2.0 (", "## 0.2.1 ("), "has no section"),
        (CHANGELOG + "\n## 0.2.0 (2026-12-01)\n\n- Again.\n", "has 2 section"),
        ("## 0.2.0 (2026-11-23)\n\n## 0.1.0 (2026-10-01)\n\n- The first.\n", "says nothing"),
    ],
)
def test_an_unfinished_changelog_is_refused(changelog: str, says: str) -> None:
    with pytest.raises(NoRelease, match=says):
        section(changelog, "0.2.0")


def test_a_member_that_was_left_behind_is_noticed() -> None:
    texts = {name: f'[project]\nversion = "{said}"\n' for name, said in (("a", "0.2.0"), ("b", "0.1.0"))}
    assert stray_versions(texts, "0.2.0") == ["b says 0.1.0"]


def test_a_page_is_made_from_a_tag_that_is_there_with_every_bill_of_materials(tmp_path: Path) -> None:
    assets = [tmp_path / "image.cdx.json", tmp_path / "python.cdx.json"]
    for path in assets:
        path.write_text("{}")
    command = publish_command("v0.2.0", assets)
    assert command[:5] == ["gh", "release", "create", "v0.2.0", "--verify-tag"]
    assert command[-2:] == [str(path) for path in assets]


def test_a_page_without_a_bill_of_materials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoRelease, match=r"lacks image\.cdx\.json"):
        publish_command("v0.2.0", [tmp_path / "image.cdx.json"])
