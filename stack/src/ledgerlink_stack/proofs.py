"""`ledgerlink verify-receipt` and `verify-consistency`: proofs of the ledger, checked without stack or network."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from ledgerlink_contracts.wallet.receipts import (
    LEAF_CHARS_MAX,
    ConsistencyView,
    ReceiptView,
    Unproven,
    leaf_of,
    verify_consistency,
    verify_receipt,
)
from ledgerlink_kit.money import format_minor
from ledgerlink_kit.notes import InvalidNote, TreeHead, VerifierKey, open_checkpoint

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

FILE_BYTES_MAX = 4 * LEAF_CHARS_MAX
PROVEN, BROKEN, UNREADABLE = 0, 1, 2

View = TypeVar("View", bound=BaseModel)


class Unreadable(Exception):
    """What was given is no such file, no receipt, no key: nothing was verified. The message is one sentence."""


def receipt(arguments: argparse.Namespace, console: Console) -> int:
    """Verify a receipt; gives 0 when it holds, 1 when it does not, 2 when there is nothing to verify."""

    def work() -> tuple[dict[str, Any], list[str]]:
        found = _view(ReceiptView, arguments.file, "receipt")
        key, given = _key(arguments.key, found.key)
        head = verify_receipt(found, key)
        leaf = leaf_of(found)
        said = {"transfer": str(found.transfer), "leaf_index": found.leaf_index, **_head(head, key, given=given)}
        return said, [
            f"{found.transfer} stands in the ledger {head.origin}, as leaf {found.leaf_index} of {head.size}.",
            *_story(leaf),
            _whose(key, given=given),
        ]

    return _tell(work, arguments, console)


def consistency(arguments: argparse.Namespace, console: Console) -> int:
    """Verify that one checkpoint goes on from another; exit codes as for receipts."""

    def work() -> tuple[dict[str, Any], list[str]]:
        found = _view(ConsistencyView, arguments.file, "consistency proof")
        key, given = _key(arguments.key, found.key)
        older, newer = verify_consistency(found, key)
        if arguments.kept and _kept(arguments.kept, key) != older:
            raise Unproven("The older checkpoint is not the one that you kept.")
        said = {"older_size": older.size, **_head(newer, key, given=given)}
        sentence = (
            f"The ledger {newer.origin} at {newer.size} leaves goes on from its {older.size}: "
            "nothing was changed, removed or put in between."
        )
        return said, [sentence, _whose(key, given=given)]

    return _tell(work, arguments, console)


def _tell(work: Any, arguments: argparse.Namespace, console: Console) -> int:
    try:
        said, lines = work()
    except Unproven as reason:
        return _refuse(BROKEN, "NOT PROVEN", str(reason), arguments, console)
    except Unreadable as reason:
        return _refuse(UNREADABLE, "Nothing was verified", str(reason), arguments, console)
    if arguments.json:
        print(json.dumps({"proven": True, **said}))
    else:
        console.print("PROVEN", style="bold green", highlight=False)
        for line in lines:
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    return PROVEN


def _refuse(code: int, title: str, reason: str, arguments: argparse.Namespace, console: Console) -> int:
    if arguments.json:
        print(json.dumps({"proven": False, "verified": code == BROKEN, "reason": reason}))
    else:
        console.print(title, style="bold red", highlight=False)
        console.print(reason, highlight=False, markup=False, soft_wrap=True)
    return code


def _head(head: TreeHead, key: VerifierKey, *, given: bool) -> dict[str, Any]:
    return {"origin": head.origin, "tree_size": head.size, "root": head.root.hex(), "key": str(key), "key_given": given}


def _whose(key: VerifierKey, *, given: bool) -> str:
    if given:
        return f"Signed with the key that you gave: {key}"
    return f"Signed with the key that the file itself names: {key}\nCompare it with the one that the ledger publishes."


def _story(leaf: dict[str, Any]) -> list[str]:
    """Say what the transfer did, in lines."""
    try:
        moment = datetime.fromisoformat(leaf["recorded_at"])
        lines = [f"{leaf['kind']}, recorded {moment:%Y-%m-%d %H:%M:%S} UTC"]
        for posting in leaf["postings"]:
            amount = format_minor(posting["amount_minor"], posting["currency"])
            lines.append(f"  {posting['debit']} to {posting['credit']}: {amount} {posting['currency']}")
    except (KeyError, TypeError, ValueError, AttributeError):
        # With a key of the file's own naming, anybody's log can be proven, also one that is no ledger's.
        raise Unproven("What is proven is no transfer of LedgerLink's.") from None
    return lines


def _view(kind: type[View], name: str, what: str) -> View:
    """Read a view from a file, or from standard input when it is `-`. Raises `Unreadable`."""
    text = _text(name)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Unreadable(f"{name} is no {what}: {f'{place}: ' if place else ''}{first['msg']}.") from None


def _text(name: str) -> str:
    try:
        if name == "-":
            data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
        text = data.decode()
    except OSError as error:
        raise Unreadable(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise Unreadable(f"{name} is no text in UTF-8.") from None
    if len(data) > FILE_BYTES_MAX:
        raise Unreadable(f"{name} is larger than {FILE_BYTES_MAX} bytes.")
    return text


def _key(given: str | None, named: str) -> tuple[VerifierKey, bool]:
    """Give the key to believe, and whether the caller gave it: as a key, or as a file that holds one."""
    text = named
    if given:
        text = _text(given) if Path(given).is_file() else given
        if text.lstrip().startswith("{"):
            # What GET /checkpoints/key answers.
            try:
                text = str(json.loads(text)["key"])
            except (ValueError, KeyError, TypeError):
                raise Unreadable(f"{given} holds no verifier key.") from None
    try:
        return VerifierKey.parse(text), bool(given)
    except InvalidNote as reason:
        raise Unreadable(str(reason)) from None


def _kept(name: str, key: VerifierKey) -> TreeHead:
    """Read the checkpoint that somebody kept: the note, or the JSON of GET /checkpoints/{size}."""
    text = _text(name)
    if text.lstrip().startswith("{"):
        try:
            text = str(json.loads(text)["note"])
        except (ValueError, KeyError, TypeError):
            raise Unreadable(f"{name} holds no checkpoint.") from None
    try:
        return open_checkpoint(text, key)
    except InvalidNote as reason:
        raise Unproven(f"The checkpoint that you kept: {reason}") from None
