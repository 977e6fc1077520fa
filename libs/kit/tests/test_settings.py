"""Proves that a setting can be given by a file, and that a wrong file is named and its content never shown."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, SecretStr
from pydantic_settings.exceptions import SettingsError

from ledgerlink_kit.settings import FILE_BYTES_MAX, StoredSettings, env_prefix, from_file

URL = "postgresql://wallet:hidden-password@db:5432/wallet"


class Settings(StoredSettings):
    model_config = env_prefix("EXAMPLE_")

    clients: dict[str, SecretStr] = Field({}, description="As JSON")


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "url"
    file.write_text(URL + "\n")
    monkeypatch.setenv("EXAMPLE_DATABASE_URL_FILE", str(file))
    return file


def test_a_setting_may_be_what_a_file_holds_without_its_last_newline(secret: Path) -> None:
    assert Settings().database_url.get_secret_value() == URL  # pyright: ignore[reportCallIssue]


def test_a_value_from_a_file_is_read_as_one_from_the_environment(
    secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clients").write_text('{"payments": "s"}')
    (tmp_path / "size").write_text("17")
    monkeypatch.setenv("EXAMPLE_CLIENTS_FILE", str(tmp_path / "clients"))
    monkeypatch.setenv("EXAMPLE_DB_POOL_SIZE_FILE", str(tmp_path / "size"))
    found = Settings()  # pyright: ignore[reportCallIssue]
    assert found.clients["payments"].get_secret_value() == "s"
    assert found.db_pool_size == 17


def test_a_setting_that_is_given_twice_is_refused(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_DATABASE_URL", URL)
    with pytest.raises(SettingsError, match=r"EXAMPLE_DATABASE_URL and EXAMPLE_DATABASE_URL_FILE are both set"):
        Settings()  # pyright: ignore[reportCallIssue]


def test_an_empty_variable_counts_as_not_given(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_DATABASE_URL", "")
    monkeypatch.setenv("EXAMPLE_REDIS_URL_FILE", "")
    found = Settings()  # pyright: ignore[reportCallIssue]
    assert (found.database_url.get_secret_value(), found.redis_url) == (URL, "redis://127.0.0.1:6379/0")


def test_a_file_that_is_not_there_is_named(secret: Path) -> None:
    secret.unlink()
    with pytest.raises(SettingsError, match=r"EXAMPLE_DATABASE_URL_FILE names .*cannot be read: No such file"):
        Settings()  # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"\xff\xfe", b"a\0b", b"x" * (FILE_BYTES_MAX + 1)],
    ids=["empty", "blank", "raw", "nul", "big"],
)
def test_a_file_that_holds_no_setting_is_refused_and_not_shown(secret: Path, content: bytes) -> None:
    secret.write_bytes(content)
    with pytest.raises(SettingsError, match="must hold 1 to 65536 bytes of text") as refusal:
        Settings()  # pyright: ignore[reportCallIssue]
    assert len(str(refusal.value)) < 500


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1))
def test_whatever_text_without_newlines_a_file_holds_is_the_value(tmp_path: Path, text: str) -> None:
    (tmp_path / "any").write_text(text, encoding="utf-8")
    assert from_file({"X_FILE": str(tmp_path / "any")}, "X") == text
