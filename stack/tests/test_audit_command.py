"""Proves `ledgerlink audit` on a wallet's database: whole books, broken books, and databases that are none."""

import asyncio
import json
import os

import psycopg
import pytest

from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.notes import Signer
from ledgerlink_kit.testing.plugin import Templates
from ledgerlink_stack.cli import main
from ledgerlink_wallet.commands.sealing import seal

SIGNER = Signer("ledger.example/test", bytes(range(32)))
TRANSFER = """
WITH w AS (SELECT gen_random_uuid() AS id) INSERT INTO wallets (id, owner, currency, opened_at)
SELECT id, 'usr_x', 'GBP', now() FROM w;
INSERT INTO unsealed (recorded_at, transfers, wallet_id) SELECT opened_at, 0, id FROM wallets;
"""


@pytest.fixture
def books(database_templates: Templates) -> str:
    """The address of a wallet's database with one sealed wallet in it."""
    url = database_templates.address(database_templates.clone("ledgerlink_wallet"))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TRANSFER.encode())

    async def sealed() -> None:
        db = Database(url, application_name="test")
        await seal(db, SIGNER, SystemClock())
        await db.close()

    asyncio.run(sealed())
    return url


def test_whole_books_end_in_zero_and_say_how_fast_they_were_read(
    books: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "--database-url", books]) == 0
    said = capsys.readouterr().out
    assert "The books are whole." in said
    assert "entries/s" in said
    assert "signatures were not looked at" in said
    assert main(["audit", "--database-url", books, "--key", str(SIGNER.key), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["clean"], told["signatures_verified"]) == (True, True)
    assert told["rss_mib"] > 0


@pytest.mark.parametrize(("columns", "explained"), [(80, False), (160, True)])
def test_the_names_of_checks_are_whole_at_any_width(
    books: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, explained: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["audit", "--database-url", books]) == 0
    said = capsys.readouterr().out
    assert "accounts_equal_their_entries" in said
    assert ("what must hold" in said) is explained
    assert max(len(line) for line in said.splitlines()) <= columns


def test_broken_books_end_in_one_and_name_the_row(books: str, capsys: pytest.CaptureFixture[str]) -> None:
    with psycopg.connect(books, autocommit=True) as connection:
        connection.execute(b"UPDATE wallets SET owner = 'usr_y'")
    assert main(["audit", "--database-url", books]) == 1
    said = capsys.readouterr().out
    assert "The books are NOT whole." in said
    assert "is not what was sealed (leaf 0)" in said
    assert main(["audit", "--database-url", books, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["clean"] is False


def test_one_check_alone_says_that_it_was_not_all_and_an_unknown_one_lists_them(
    books: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(books, autocommit=True) as connection:
        connection.execute(b"UPDATE wallets SET owner = 'usr_y'")
    assert main(["audit", "--database-url", books, "--check", "promises_kept", "--check", "trial_balance"]) == 0
    said = capsys.readouterr().out
    assert "What was looked at is whole; the other checks were not made." in said
    assert "The books are whole." not in said
    assert "trial_balance" in said
    assert "entries_chain" not in said
    assert main(["audit", "--database-url", books, "--json", "--check", "tree_matches_what_is_stored"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["clean"], told["whole"], len(told["checks"])) == (False, False, 1)
    assert main(["audit", "--database-url", books, "--check", "?"]) == 1
    assert "--check takes one of: trial_balance," in capsys.readouterr().err


def test_a_stranger_s_signature_is_a_difference(books: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "--database-url", books, "--key", str(Signer("ledger.example/test", bytes(32)).key)]) == 1
    assert "not signed by" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--database-url", "postgresql://127.0.0.1:1/nothing"], "did not get to its end"),
        (["--database-url", "no address"], "no wallet's database"),
        (["--key", "no key", "--database-url", "postgresql://127.0.0.1:1/x"], "verifier key reads"),
    ],
)
def test_what_cannot_be_audited_is_said_in_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["audit", *arguments]) == 1
    assert words in capsys.readouterr().err


def test_an_empty_database_and_an_absent_stack_are_told_apart(
    database_templates: Templates,
    tmp_path: os.PathLike[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    empty = database_templates.address(database_templates.clone(None))
    assert main(["audit", "--database-url", empty]) == 1
    assert "no wallet's database" in capsys.readouterr().err
    monkeypatch.setenv("LEDGERLINK_HOME", os.fspath(tmp_path))
    assert main(["audit"]) == 1
    assert "There is no stack here." in capsys.readouterr().err
