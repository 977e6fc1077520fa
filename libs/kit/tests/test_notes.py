"""Proves signed notes and checkpoints: what is signed opens, what was changed does not, strange text is refused."""

import base64
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgerlink_kit.notes import InvalidNote, Signer, TreeHead, VerifierKey, open_checkpoint, open_note

SIGNER = Signer("ledger.example/books", bytes(range(32)))
HEAD = TreeHead("ledger.example/books", 7, sha256(b"root").digest())
NOTE = SIGNER.sign(str(HEAD))


def test_the_key_of_the_specifications_example_is_read_and_its_note_opens() -> None:
    # From golang.org/x/mod/sumdb/note, where signed notes come from.
    key = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )  # fmt: skip
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    note = f"{text}\n\u2014 PeterNeumann {signature}\n"

    assert open_note(note, key) == text
    assert str(key) == "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_a_checkpoint_reads_as_the_specification_says_and_opens_with_its_key() -> None:
    origin, size, root, gap, signature, end = NOTE.split("\n")

    assert (origin, size, base64.b64decode(root)) == (HEAD.origin, "7", HEAD.root)
    assert (gap, end) == ("", "")
    assert signature.startswith("\u2014 ledger.example/books ")
    assert base64.b64decode(signature.split(" ")[2])[:4] == SIGNER.key.hash
    assert open_checkpoint(NOTE, VerifierKey.parse(str(SIGNER.key))) == HEAD


@given(st.integers(0, len(NOTE) - 1), st.sampled_from("0Aa/\n \u2014"))
def test_a_note_with_one_character_changed_does_not_open(place: int, character: str) -> None:
    changed = NOTE[:place] + character + NOTE[place + 1 :]
    if changed != NOTE:
        with pytest.raises(InvalidNote):
            open_checkpoint(changed, SIGNER.key)


@given(st.text(max_size=200))
def test_any_text_is_refused_in_a_sentence(text: str) -> None:
    for read in (lambda: open_note(text, SIGNER.key), lambda: VerifierKey.parse(text), lambda: TreeHead.parse(text)):
        with pytest.raises(InvalidNote, match=r"\.$"):
            read()


def test_another_key_another_log_and_another_signer_are_told_apart() -> None:
    stranger = Signer("ledger.example/books", bytes(32))
    other_log = SIGNER.sign(str(TreeHead("another.example", 7, HEAD.root)))
    witnessed = NOTE + stranger.sign(str(HEAD)).rpartition("\n\n")[2]

    with pytest.raises(InvalidNote, match="not signed by"):
        open_note(NOTE, stranger.key)
    with pytest.raises(InvalidNote, match="speaks for"):
        open_checkpoint(other_log, SIGNER.key)
    assert open_checkpoint(witnessed, SIGNER.key) == open_checkpoint(witnessed, stranger.key) == HEAD


@pytest.mark.parametrize(
    "text",
    [f"o\n07\n{'A' * 43}=\n", "o\n7\nAAAA\n", "o\n7\n", "o\n-1\nAAAA\n", "o\n7\nno base64\n", f"o\n{'9' * 17}\nAA==\n"],
)
def test_a_checkpoint_with_a_bad_line_is_refused(text: str) -> None:
    with pytest.raises(InvalidNote):
        TreeHead.parse(text)


@pytest.mark.parametrize(
    ("name", "seed"), [("with space", bytes(32)), ("plus+", bytes(32)), ("", bytes(32)), ("a", b"")]
)
def test_a_signer_needs_a_name_and_a_seed(name: str, seed: bytes) -> None:
    with pytest.raises(ValueError, match="signer needs"):
        Signer(name, seed)


@pytest.mark.parametrize("text", ["no newline", "two newlines\n\n"])
def test_a_text_that_could_not_be_read_back_is_not_signed(text: str) -> None:
    with pytest.raises(ValueError, match="newline"):
        SIGNER.sign(text)
