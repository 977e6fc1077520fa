"""Proves that the lock's check passes the committed lock and notices what would make it untrue, without a network."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of what the check reads: the script, the lock and every pyproject file."""
    for path in [ROOT / "requirements.lock", ROOT / "tools" / "lock.py", *ROOT.glob("*/pyproject.toml")]:
        _copy(path, tmp_path)
    for path in [ROOT / "pyproject.toml", *ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")]:
        _copy(path, tmp_path)
    _copy(ROOT / "tools" / "tidy" / "pyproject.toml", tmp_path)
    return tmp_path


def _copy(path: Path, to: Path) -> None:
    target = to / path.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, target)


def check(root: Path) -> tuple[int, str]:
    """Exit code and words of the lock's check in a folder."""
    command = [sys.executable, "tools/lock.py", "--check"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_a_new_dependency_makes_the_lock_stale(copy: Path) -> None:
    _edit(copy / "stack" / "pyproject.toml", "dependencies = [", 'dependencies = [\n    "left-pad",')
    code, words = check(copy)
    assert code == 1
    assert "run `make lock`" in words


def test_a_change_of_a_checker_setting_leaves_the_lock_fresh(copy: Path) -> None:
    before = check(copy)
    _edit(copy / "pyproject.toml", "line-length = 120", "line-length = 119")
    assert check(copy) == before


@pytest.mark.parametrize(
    "line", ["--index-url https://example.org/simple", "-e ./libs/kit", "x @ https://example.org/x.whl"]
)
def test_an_address_or_an_index_option_in_the_lock_is_refused(copy: Path, line: str) -> None:
    lock = copy / "requirements.lock"
    lock.write_text(f"{lock.read_text()}{line}\n")
    code, words = check(copy)
    assert code == 1
    assert "carries an address or an index option" in words


def test_a_build_backend_that_is_not_locked_is_named(copy: Path) -> None:
    lock = copy / "requirements.lock"
    lock.write_text(re.sub(r"(?m)^hatchling==", "hatchlink==", lock.read_text()))
    code, words = check(copy)
    assert code == 1
    assert "builds with hatchling, which the lock lacks" in words


def test_every_pin_of_the_committed_lock_has_hashes() -> None:
    blocks = re.split(r"(?m)^(?=[a-z0-9])", (ROOT / "requirements.lock").read_text())[1:]
    bare = [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block]
    assert bare == []


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
