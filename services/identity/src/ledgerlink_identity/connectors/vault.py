"""The key-encryption key: what it encrypts and what is derived from it."""

import base64
import binascii
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ledgerlink_kit.errors import Defect

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class Vault:
    """Encrypts private signing keys at rest and derives the key of refresh tokens.

    One operator secret, two uses: each gets its own key by HKDF (RFC 5869), so that what is learned
    from one use is worth nothing in the other.
    """

    def __init__(self, key: bytes) -> None:
        """Take the 32-byte key-encryption key."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"the key-encryption key must have {KEY_BYTES} bytes, this one has {len(key)}")
        self._key = key
        self._cipher = AESGCM(self.derive("signing-keys"))

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key for one purpose."""
        return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"ledgerlink identity {purpose}".encode()).derive(self._key)

    def seal(self, plaintext: bytes, name: str) -> bytes:
        """Encrypt with AES-256-GCM; `name` is bound to the result, so that two secrets cannot be swapped."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, name.encode())

    def open(self, sealed: bytes, name: str) -> bytes:
        """Decrypt. Raises `Defect` when the key is another one, or the bytes were changed."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
        except InvalidTag:
            raise Defect(f"the secret {name} cannot be opened with this KEY_ENCRYPTION_KEY") from None


def read_key(text: str) -> bytes:
    """Read a key-encryption key as it stands in the settings: base64 of 32 bytes. Raises `ValueError`."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("KEY_ENCRYPTION_KEY is not base64") from None
    if len(key) != KEY_BYTES:
        raise ValueError(f"KEY_ENCRYPTION_KEY must be {KEY_BYTES} bytes in base64, this one has {len(key)}")
    return key
