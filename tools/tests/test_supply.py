"""Proves that a bill of materials which lacks something of the lock is noticed, and how the scanner is asked."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from supply import HOME, LOCKS, ROOT, grype_command, scan, unlisted

LOCKED = """# a comment with 1==2
alpha==1.0 \\
    --hash=sha256:aa
beta-two==2.0 ; sys_platform == 'linux' \\
    --hash=sha256:bb
"""


def bom(**versions: str) -> dict[str, Any]:
    """A bill of materials of packages with hashes."""
    known = [{"hashes": [{"alg": "SHA-256", "content": "aa"}]}]
    return {
        "components": [{"name": name, "version": ver, "externalReferences": known} for name, ver in versions.items()]
    }


def test_a_whole_bill_of_materials_has_nothing_missing() -> None:
    assert unlisted(LOCKED, bom(alpha="1.0", beta_two="2.0")) == []


@pytest.mark.parametrize("content", [bom(alpha="1.0"), bom(alpha="1.0", beta_two="2.1"), {}])
def test_a_missing_package_or_another_version_is_noticed(content: dict[str, Any]) -> None:
    assert "the bill of materials lacks beta-two 2.0" in unlisted(LOCKED, content)


def test_a_package_without_a_hash_is_noticed() -> None:
    content = bom(alpha="1.0", beta_two="2.0")
    content["components"][0]["externalReferences"] = []
    assert unlisted(LOCKED, content) == ["the bill of materials has no hash of alpha"]


def test_without_a_scanner_nothing_is_called_scanned(capsys: pytest.CaptureFixture[str]) -> None:
    assert scan({"GRYPE": "/nowhere/grype"}) == 1
    assert "nothing was scanned" in capsys.readouterr().out


def test_the_scanner_fails_on_what_is_grave_and_mended_and_writes_what_it_saw() -> None:
    command = grype_command("grype", "ledgerlink:local", Path("boms"))
    assert command[1] == "docker:ledgerlink:local"
    assert "--only-fixed" in command
    assert command[command.index("--fail-on") + 1] == "high"
    assert "cyclonedx-json=boms/image.cdx.json" in command


def test_every_lock_of_the_repository_is_audited() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*requirements.lock"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert sorted(listed.stdout.split()) == sorted(LOCKS)


def test_the_lock_of_these_tools_has_hashes_and_no_address() -> None:
    text = (HOME / "requirements.lock").read_text()
    assert "://" not in text
    assert all(f"{name}==" in text for name in ("cyclonedx-bom", "pip-audit"))
    assert text.count("--hash=sha256:") > text.count("==")
