"""Signed notes (c2sp.org/signed-note) and the checkpoints of transparency logs (c2sp.org/tlog-checkpoint), by Ed25519.

A note is text that ends in a newline, an empty line, and signature lines ``— <name> <base64(key hash || signature)>``.
A checkpoint is a note of the log's origin, its size in leaves, its root in base64, and lines of its own making.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from ledgerlink_kit.merkle import HASH_BYTES, SIZE_MAX

ED25519: Final = b"\x01"
"""The signature type of Ed25519 in key hashes and verifier keys."""
SEED_BYTES: Final = 32
NOTE_CHARS_MAX: Final = 16_384
SIGNATURES_MAX: Final = 16
_KEY_HASH_BYTES: Final = 4
_SIGNATURE_BYTES: Final = 64
_NAME: Final = re.compile(r"[^\s+\x00-\x1f\x7f]{1,200}")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,15}")


class InvalidNote(ValueError):
    """A text is no note, checkpoint or key, or its signature does not hold; the message says which, in a sentence."""


def is_key_name(name: str) -> bool:
    """Say whether ``name`` may name a key and a log: not empty, no spaces, no plus."""
    return _NAME.fullmatch(name) is not None


def _key_hash(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + ED25519 + public).digest()[:_KEY_HASH_BYTES]


def _decoded(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InvalidNote(f"{what} is not base64.") from None


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """Whose signature is believed: a name and an Ed25519 public key of 32 bytes."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, text: str) -> "VerifierKey":
        """Read ``<name>+<key hash in hex>+<base64(0x01 || public key)>``. Raises `InvalidNote`."""
        name, _, rest = text.strip().partition("+")
        hexed, _, coded = rest.partition("+")
        if not is_key_name(name) or not coded:
            raise InvalidNote("A verifier key reads <name>+<hash>+<key>.")
        key = _decoded(coded, "The verifier key's last part")
        if key[:1] != ED25519 or len(key) != 1 + HASH_BYTES:
            raise InvalidNote("The verifier key is not an Ed25519 key.")
        found = cls(name, key[1:])
        if hexed != _key_hash(name, found.public).hex():
            raise InvalidNote("The verifier key's hash does not fit its name and key: a digit is wrong.")
        return found

    def __str__(self) -> str:
        return f"{self.name}+{self.hash.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @property
    def hash(self) -> bytes:
        """The first four bytes of SHA-256(name || newline || 0x01 || public key)."""
        return _key_hash(self.name, self.public)


class Signer:
    """Signs notes in a name, with an Ed25519 key."""

    def __init__(self, name: str, seed: bytes) -> None:
        """Take the key's ``seed``, 32 secret bytes."""
        if not is_key_name(name) or len(seed) != SEED_BYTES:
            raise ValueError("A signer needs a name without spaces or plus, and a seed of 32 bytes.")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.key = VerifierKey(name, self._private.public_key().public_bytes_raw())

    def sign(self, text: str) -> str:
        """Give ``text``, which must end in a newline and hold no empty line at its end, as a signed note."""
        if not text.endswith("\n") or text.endswith("\n\n"):
            raise ValueError("A note's text ends in one newline.")
        signature = base64.b64encode(self.key.hash + self._private.sign(text.encode())).decode()
        return f"{text}\n\u2014 {self.key.name} {signature}\n"


def open_note(note: str, key: VerifierKey) -> str:
    """Give the text of ``note`` once ``key``'s signature on it holds. Raises `InvalidNote`."""
    text, signatures = _parts(note)
    ours = [signature for name, hash_, signature in signatures if (name, hash_) == (key.name, key.hash)]
    if not ours:
        raise InvalidNote(f"The note is not signed by {key.name} with this key.")
    for signature in ours:
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
        except (InvalidSignature, ValueError):
            raise InvalidNote(f"The signature of {key.name} does not hold: the note or the key was changed.") from None
    return text


def _parts(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """Split a note into its text and its signatures: name, key hash, signature."""
    text, gap, block = note.rpartition("\n\n")
    if len(note) > NOTE_CHARS_MAX or not gap or not block.endswith("\n"):
        raise InvalidNote("This is no signed note: text, an empty line, and signature lines.")
    lines = block[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise InvalidNote(f"The note has more than {SIGNATURES_MAX} signatures.")
    found: list[tuple[str, bytes, bytes]] = []
    for line in lines:
        dash, name, coded = (*line.split(" "), "", "", "")[:3]
        if dash != "\u2014" or not is_key_name(name) or line.count(" ") != 2:
            raise InvalidNote("The note has a line among its signatures that is none.")
        signed = _decoded(coded, "The note's signature")
        if len(signed) <= _KEY_HASH_BYTES:
            raise InvalidNote("The note's signature is too short.")
        found.append((name, signed[:_KEY_HASH_BYTES], signed[_KEY_HASH_BYTES:]))
    return f"{text}\n", found


@dataclass(frozen=True, slots=True)
class TreeHead:
    """What a checkpoint says: the log's origin, its size in leaves, and the root over them."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, text: str) -> "TreeHead":
        """Read the text of a checkpoint; lines after the third are allowed and not read. Raises `InvalidNote`."""
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or "" in lines[:-1]:
            raise InvalidNote("A checkpoint has three lines at least: origin, size, root.")
        origin, size, root = lines[:3]
        if _SIZE.fullmatch(size) is None or int(size) > SIZE_MAX:
            raise InvalidNote("The checkpoint's size is no decimal number without leading zeros.")
        head = cls(origin, int(size), _decoded(root, "The checkpoint's root"))
        if len(head.root) != HASH_BYTES:
            raise InvalidNote("The checkpoint's root is not 32 bytes long.")
        return head

    def __str__(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def open_checkpoint(note: str, key: VerifierKey) -> TreeHead:
    """Give what a signed checkpoint says once ``key``'s signature holds. Raises `InvalidNote`.

    The origin must be the key's name, as c2sp.org/tlog-checkpoint recommends: a key speaks for one log.
    """
    head = TreeHead.parse(open_note(note, key))
    if head.origin != key.name:
        raise InvalidNote(f"The checkpoint is of {head.origin}, the key speaks for {key.name}.")
    return head
