"""Proves that the command line reads tracked files, prints ``path:line rule sentence`` and exits by what it found."""

import subprocess
import sys
from pathlib import Path


def run(root: Path, *arguments: str) -> tuple[int, str]:
    """Run tidy in a folder; returns its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "ledgerlink_tidy.cli", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def repository(root: Path, files: dict[str, str]) -> Path:
    """A fresh git repository with the given files, not yet committed."""
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_breach_is_printed_with_its_place_and_fails_the_run(tmp_path: Path) -> None:
    root = repository(tmp_path, {"src/a/x.py": "amount = 3\nshare = amount / 2\n"})
    code, printed = run(root)
    assert code == 1
    assert printed.startswith("src/a/x.py:2 float-money amount is divided with /")


def test_a_clean_tree_with_a_picture_in_it_passes(tmp_path: Path) -> None:
    root = repository(tmp_path, {"src/a/x.py": "amount = 3\n"})
    (root / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    code, printed = run(root)
    assert (code, printed) == (0, "tidy: 0 findings in 2 files, 16 rules\n")


def test_ignored_files_are_not_looked_at(tmp_path: Path) -> None:
    root = repository(tmp_path, {".gitignore": "build/\n", "build/utils.py": ""})
    code, _ = run(root)
    assert code == 0


def test_only_the_named_folder_is_looked_at(tmp_path: Path) -> None:
    root = repository(tmp_path, {"a/utils.py": "", "b/fine.py": ""})
    assert run(root, "b")[0] == 0
    assert run(root, "a")[0] == 1


def test_the_rules_are_listed_each_with_its_reason(tmp_path: Path) -> None:
    code, printed = run(tmp_path, "--rules")
    assert code == 0
    assert "float-money          binary fractions lose pennies" in printed
