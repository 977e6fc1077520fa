"""Log files of the stack: every process appends to its own; the supervisor keeps them from growing without end."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

LIMIT_BYTES = 10 * 1024 * 1024
KEPT = 3
TAIL_BYTES = 64 * 1024
LINES_ASKED = 20
WORDS_LENGTH = 300


def rotate(file: Path, limit_bytes: int = LIMIT_BYTES) -> bool:
    """Move the content of a file that passed the limit to `file.1`, and older ones further; say whether it did.

    The content is copied and the file emptied in place, since its writers hold it open in append mode. Lines written
    in the instant between are lost: acceptable for a local log, and the price of children that outlive us.
    """
    try:
        if file.stat().st_size <= limit_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(KEPT, 1, -1):
        with suppress(FileNotFoundError):
            _numbered(file, number - 1).replace(_numbered(file, number))
    shutil.copyfile(file, _numbered(file, 1))
    with file.open("r+") as content:
        content.truncate(0)
    return True


def _numbered(file: Path, number: int) -> Path:
    """Return the name of an older log."""
    return file.with_name(f"{file.name}.{number}")


def tail(file: Path, lines: int) -> list[str]:
    """Return the last lines of `file`, at most those within its last 64 KiB; nothing when there is no file."""
    try:
        with file.open("rb") as content:
            size = content.seek(0, 2)
            content.seek(max(0, size - TAIL_BYTES))
            found = content.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return found[-lines:] if lines > 0 else []


def last_words(file: Path) -> str:
    """Return the line that most likely says why a process ended: PostgreSQL's own word for it, else the last line."""
    lines = [line.strip() for line in tail(file, LINES_ASKED) if line.strip()]
    named = [line for line in lines if any(word in line for word in (" FATAL: ", " PANIC: ", "No space left"))]
    return (named or lines or [""])[-1][:WORDS_LENGTH]
