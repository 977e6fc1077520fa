"""Proves that `create` makes each service a closed database, also twice and at once, and says what is wrong."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from ledgerlink_kit.database_tasks import main
from ledgerlink_kit.testing.plugin import Templates

# Roles belong to the whole server, which all workers of a run share: each has names of its own.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "alone")
ONE, TWO = SERVICES = (f"task_one_{WORKER}", f"task_two_{WORKER}")
URL_OF_ONE, URL_OF_TWO = (f"{name.upper()}_DATABASE_URL" for name in SERVICES)


def urls_beside(admin: str, password: str) -> dict[str, str]:
    place = urlsplit(admin).netloc.rpartition("@")[2]
    return {f"{name.upper()}_DATABASE_URL": f"postgresql://{name}:{password}@{place}/{name}" for name in SERVICES}


@pytest.fixture
def given(database_templates: Templates, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What `create` needs for two services, the administrator's address by file; dropped afterwards."""
    admin = database_templates.address("postgres")
    (tmp_path / "admin").write_text(f"{admin}\n")
    yield {**urls_beside(admin, "first-password"), "POSTGRES_ADMIN_URL_FILE": str(tmp_path / "admin")}
    for name in SERVICES:
        database_templates.drop(name)
        database_templates.execute(f"DROP ROLE IF EXISTS {name}")


def current_user(url: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT current_user").fetchone()
    assert row is not None
    return str(row[0])


def test_each_service_gets_a_database_that_nobody_else_may_enter(given: dict[str, str]) -> None:
    assert main(["create", *SERVICES], given) is None
    one, two = given[URL_OF_ONE], given[URL_OF_TWO]
    assert [current_user(one), current_user(two)] == list(SERVICES)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        current_user(one.removesuffix(ONE) + TWO)


def test_again_and_at_once_changes_nothing_but_renews_the_password(given: dict[str, str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(main, ["create", *SERVICES], given) for _ in range(4)]
        assert [one.result() for one in done] == [None] * 4
    renewed = {name: value.replace("first-password", "second") for name, value in given.items()}
    assert main(["create", *SERVICES], renewed) is None
    assert current_user(renewed[URL_OF_ONE]) == ONE
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        current_user(given[URL_OF_ONE])


def test_migrate_brings_a_services_database_to_its_head(database_templates: Templates) -> None:
    name = database_templates.clone(None)
    try:
        url = database_templates.address(name)
        assert main(["migrate", "wallet"], {"WALLET_DATABASE_URL": url}) is None
        assert main(["migrate", "wallet"], {"WALLET_DATABASE_URL": url}) is None
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    finally:
        database_templates.drop(name)


@pytest.mark.parametrize(
    ("arguments", "variables", "said"),
    [
        ([], {}, "usage"),
        (["drop", "wallet"], {}, "usage"),
        (["create"], {}, "usage"),
        (["create", "wallet"], {}, "Set WALLET_DATABASE_URL, or WALLET_DATABASE_URL_FILE"),
        (["create", "wallet"], {"WALLET_DATABASE_URL": "postgresql://wallet:p@h/wallet"}, "Set POSTGRES_ADMIN_URL"),
        (["create", "wallet"], {"WALLET_DATABASE_URL": "postgresql://risk:p@h/wallet"}, "must have the form"),
        (["create", "wallet"], {"WALLET_DATABASE_URL": "postgresql://wallet:p@h/risk"}, "must have the form"),
        (["create", "wallet"], {"WALLET_DATABASE_URL": "postgresql://wallet@h/wallet"}, "must have the form"),
        (["create", "wallet"], {"WALLET_DATABASE_URL": "hidden"}, "must have the form"),
        (["migrate", "wallet"], {"WALLET_DATABASE_URL": "postgresql://w:hidden@127.0.0.1:1/w"}, "PostgreSQL refused"),
        (["migrate", "nothing"], {"NOTHING_DATABASE_URL": "postgresql://w:hidden@127.0.0.1:1/w"}, "not installed"),
        (["migrate", "wallet"], {"WALLET_DATABASE_URL": "a", "WALLET_DATABASE_URL_FILE": "b"}, "are both set"),
    ],
)
def test_what_is_missing_or_wrong_is_said_in_one_sentence_without_secrets(
    arguments: list[str], variables: dict[str, str], said: str
) -> None:
    answer = main(arguments, variables)
    assert answer is not None
    assert said in answer
    assert "hidden" not in answer
