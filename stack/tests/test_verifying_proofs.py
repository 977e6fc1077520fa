"""Proves `verify-receipt` and `verify-consistency`: offline, in clear sentences, with exit codes 0, 1 and 2."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from ledgerlink_kit.merkle import Frontier, leaf_hash, node_hash
from ledgerlink_kit.notes import Signer, TreeHead
from ledgerlink_stack.cli import main

SIGNER = Signer("ledger.example/test", bytes(range(32)))
STRANGER = Signer("ledger.example/test", bytes(32))
LEAF = json.dumps(
    {
        "form": "ledgerlink.transfer.v1",
        "id": "tr_00000000000000000000000001",
        "kind": "rent",
        "postings": [{"amount_minor": 1250, "credit": "acc_b", "currency": "GBP", "debit": "acc_a"}],
        "recorded_at": "2026-01-31T12:00:00.000000Z",
    },
    sort_keys=True,
    separators=(",", ":"),
)
OTHER = leaf_hash(b"another leaf")


def text(hash_: bytes) -> str:
    return base64.b64encode(hash_).decode()


def note(*leaves: bytes, origin: str = SIGNER.key.name) -> str:
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf)
    return SIGNER.sign(str(TreeHead(origin, tree.size, tree.root())))


OLDER, NEWER = note(leaf_hash(LEAF.encode())), note(leaf_hash(LEAF.encode()), OTHER)
RECEIPT: dict[str, Any] = {
    "form": "ledgerlink.receipt.v1",
    "transfer": "tr_00000000000000000000000001",
    "leaf": LEAF,
    "leaf_index": 0,
    "tree_size": 2,
    "proof": [text(OTHER)],
    "checkpoint": NEWER,
    "key": str(SIGNER.key),
}
PASSAGE: dict[str, Any] = {
    "form": "ledgerlink.consistency.v1",
    "older": OLDER,
    "newer": NEWER,
    "proof": [text(OTHER)],
    "key": str(SIGNER.key),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEDGERLINK_HOME", str(tmp_path / "home"))
    return tmp_path


def written(folder: Path, name: str, content: object) -> str:
    file = folder / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(file)


def test_a_receipt_that_holds_is_proven_and_told_in_words(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["verify-receipt", written(home, "r.json", RECEIPT), "--key", str(SIGNER.key)])
    said = capsys.readouterr().out

    assert code == 0
    for words in ("PROVEN", "leaf 0 of 2", "rent, recorded 2026-01-31 12:00:00 UTC", "12.50 GBP", "key that you gave"):
        assert words in said
    assert not (home / "home").exists()


def test_a_program_is_told_the_same_as_json(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["verify-receipt", written(home, "r.json", RECEIPT), "--json"])
    said = json.loads(capsys.readouterr().out)

    assert (code, said["proven"], said["key_given"], said["tree_size"]) == (0, True, False, 2)
    assert bytes.fromhex(said["root"]) == node_hash(leaf_hash(LEAF.encode()), OTHER)


@pytest.mark.parametrize(
    "key", [str(SIGNER.key), {"origin": "ledger.example/test", "key": str(SIGNER.key)}], ids=["key", "answer"]
)
def test_the_key_may_stand_in_a_file(home: Path, key: object) -> None:
    assert main(["verify-receipt", written(home, "r.json", RECEIPT), "--key", written(home, "key", key)]) == 0


@pytest.mark.parametrize(
    ("change", "key", "code", "words"),
    [
        ({"leaf": LEAF.replace("1250", "1251")}, "", 1, "was changed"),
        ({"leaf_index": 1}, "", 1, "was changed"),
        ({"checkpoint": OLDER}, "", 1, "speaks of 2 leaves"),
        ({}, str(STRANGER.key), 1, "not signed by"),
        ({"key": str(STRANGER.key)}, "", 1, "not signed by"),
        ({"form": "something else"}, "", 2, "is no receipt: form"),
        ({"proof": ["x"]}, "", 2, "is no receipt: proof"),
        ({}, "no key", 2, "verifier key reads"),
    ],
)
def test_what_does_not_hold_is_named(
    home: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], key: str, code: int, words: str
) -> None:
    file = written(home, "r.json", RECEIPT | change)
    chosen = ["--key", key] if key else []
    plain = main(["verify-receipt", file, *chosen])
    told = capsys.readouterr().out
    coded = main(["verify-receipt", file, *chosen, "--json"])
    said = json.loads(capsys.readouterr().out)

    assert (plain, coded) == (code, code)
    assert words in told
    assert said["proven"] is False
    assert words in said["reason"]


@pytest.mark.parametrize("content", ["", "[]", "{", '{"form": 1}'])
def test_a_file_that_is_no_receipt_is_refused(home: Path, content: str) -> None:
    assert main(["verify-receipt", written(home, "r.json", content)]) == 2
    assert main(["verify-receipt", str(home / "absent")]) == 2
    assert main(["verify-receipt", str(home)]) == 2


def test_a_history_that_goes_on_is_proven_also_from_a_checkpoint_that_was_kept(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(home, "c.json", PASSAGE)

    assert main(["verify-consistency", file, "--key", str(SIGNER.key)]) == 0
    assert "goes on from its 1" in capsys.readouterr().out
    assert main(["verify-consistency", file, "--kept", written(home, "note", OLDER)]) == 0
    assert main(["verify-consistency", file, "--kept", written(home, "note", {"note": OLDER})]) == 0
    assert main(["verify-consistency", file, "--kept", written(home, "note", note(OTHER))]) == 1
    assert main(["verify-consistency", file, "--kept", written(home, "note", "{}")]) == 2


@pytest.mark.parametrize(
    "change", [{"older": note(OTHER)}, {"proof": []}, {"newer": note(OTHER, OTHER)}, {"older": NEWER, "newer": OLDER}]
)
def test_a_history_that_was_changed_is_not_proven(home: Path, change: dict[str, Any]) -> None:
    assert main(["verify-consistency", written(home, "c.json", PASSAGE | change)]) == 1
