"""Password hashes: Argon2id for new ones, bcrypt understood for imported ones.

Hashing costs about 30 ms of a core and 19 MiB, on purpose. It runs in a small pool of threads (the
C code lets go of the interpreter), so that signing in never stops the event loop, and the line
before the pool is bounded, so that a flood of sign-ins is told to come back instead of piling up.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

import argon2
import bcrypt
from argon2.exceptions import InvalidHashError, VerificationError

from ledgerlink_kit.errors import Unavailable

MEMORY_KIB: Final = 19_456
PASSES: Final = 2
LANES: Final = 1
"""m=19 MiB, t=2, p=1: the OWASP Password Storage Cheat Sheet's floor for Argon2id."""
THREADS: Final = 2
WAITING_MAX: Final = 256

_BCRYPT_PREFIXES: Final = ("$2a$", "$2b$", "$2y$")
_BCRYPT_BYTES_MAX: Final = 72
Result = TypeVar("Result")


class PasswordHasher(Protocol):
    """Makes and checks password hashes."""

    async def hash(self, password: str) -> str:
        """Return a new hash of the password. Raises `Unavailable` when too many are in line."""
        ...

    async def verify(self, stored: str | None, password: str) -> bool:
        """Return whether the password made the hash; no hash costs the same and is never right."""
        ...

    def is_outdated(self, stored: str) -> bool:
        """Return whether the hash should be made anew now that the password is at hand."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class Hasher:
    """Makes and checks password hashes off the event loop."""

    def __init__(self, *, threads: int = THREADS, waiting_max: int = WAITING_MAX, memory_kib: int = MEMORY_KIB) -> None:
        """Use `threads` threads; with more than `waiting_max` in line, refuse with `Unavailable`.

        `memory_kib` is for tests of what happens around the hashing: less of it is cheap, and too weak for passwords.
        """
        self._argon2 = argon2.PasswordHasher(
            time_cost=PASSES, memory_cost=memory_kib, parallelism=LANES, type=argon2.Type.ID
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="password-hash")
        self._waiting = 0
        self._waiting_max = waiting_max
        # What an unknown email is checked against, so that it costs the same as a known one.
        self._nobody = self._argon2.hash("the password of nobody")

    async def hash(self, password: str) -> str:
        """Return a new hash of the password. Raises `Unavailable` when too many are in line."""
        return await self._run(lambda: self._argon2.hash(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Return whether the password made the hash; no hash costs the same and is never right."""
        right = await self._run(lambda: self._check(stored or self._nobody, password))
        return right and stored is not None

    def is_outdated(self, stored: str) -> bool:
        """Return whether the hash should be made anew now that the password is at hand."""
        return stored.startswith(_BCRYPT_PREFIXES) or self._argon2.check_needs_rehash(stored)

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _check(self, stored: str, password: str) -> bool:
        if stored.startswith(_BCRYPT_PREFIXES):
            # bcrypt never saw more than 72 bytes; whoever made the hash cut the rest off as well.
            return bcrypt.checkpw(password.encode()[:_BCRYPT_BYTES_MAX], stored.encode())
        try:
            return self._argon2.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        if self._waiting >= self._waiting_max:
            raise Unavailable("sign-in-busy", "Too many passwords are being checked right now.", retry_after_s=2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1
