"""Proves that an environment apart is made once per lock, anew when it cannot run, and of nothing without a hash."""

import subprocess
from pathlib import Path

import apart
import pytest


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder whose lock asks for nothing, so that no network is needed."""
    (tmp_path / "requirements.lock").write_text("# Nothing, for a test.\n")
    return tmp_path


def test_an_environment_is_made_once_per_lock(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert apart.install(home) == home / ".venv" / "bin"
    assert "0 packages" in capfd.readouterr().out
    apart.install(home)
    assert capfd.readouterr().out == ""
    (home / "requirements.lock").write_text("# Nothing again.\n")
    apart.install(home)
    assert "0 packages" in capfd.readouterr().out


def test_an_environment_whose_interpreter_is_gone_is_made_anew(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    python = apart.install(home) / "python"
    python.unlink()
    apart.install(home)
    assert python.exists()
    assert capfd.readouterr().out.count("0 packages") == 2


def test_what_has_no_hash_is_refused_and_leaves_no_stamp(home: Path) -> None:
    (home / "requirements.lock").write_text("# No hash.\nattrs==1.0\n")
    with pytest.raises(subprocess.CalledProcessError):
        apart.install(home)
    assert not (home / ".venv" / ".ledgerlink-stamp").exists()


def test_only_folders_that_stand_apart_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        apart.main(["install", "services/wallet"])
    assert "deploy/aws" in capsys.readouterr().err
