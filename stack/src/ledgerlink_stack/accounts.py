"""Which operating-system account the embedded servers run as.

PostgreSQL refuses to run as root. Started by root we therefore give its process, and the folders that it must own, to
an unprivileged account; started by anyone else there is nothing to drop, and everything stays with that user.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from ledgerlink_stack.trouble import Trouble

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CHOICE = "LEDGERLINK_SERVER_USER"
DEFAULT_ACCOUNT = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged account that root drops to: its name and its numeric user and group."""

    name: str
    uid: int
    gid: int


def server_account(environment: Mapping[str, str], effective_uid: int | None = None) -> Account | None:
    """Return the account for the embedded servers, or None when the current user is not root and simply keeps them.

    `LEDGERLINK_SERVER_USER` names another account than `nobody`. Raises `Trouble` when it does not exist or is root.
    """
    if (os.geteuid() if effective_uid is None else effective_uid) != 0:
        return None
    name = environment.get(CHOICE, DEFAULT_ACCOUNT)
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise Trouble(
            f"PostgreSQL must not run as root, and the account {name!r} to run it as does not exist.",
            f"Set {CHOICE} to an unprivileged account, or run ledgerlink as an ordinary user.",
        ) from None
    if entry.pw_uid == 0:
        raise Trouble(
            f"{CHOICE} names {name!r}, which is root, and PostgreSQL must not run as root.",
            "Choose an unprivileged account.",
        )
    return Account(name, entry.pw_uid, entry.pw_gid)


def give(path: Path, account: Account | None) -> None:
    """Make `account` the owner of `path` (not of what is in it); nothing happens without an account."""
    if account is not None:
        os.chown(path, account.uid, account.gid)


def can_run(command: Sequence[str], account: Account | None) -> bool:
    """Say whether `account` can start `command` and it ends well.

    Trying is the only honest test: mode bits, access lists, read-only and noexec mounts all answer in one go.
    """
    try:
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd="/",
            timeout=20,
            **identity(account),
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


class Identity(TypedDict, total=False):
    """The keyword arguments of `subprocess` that choose who a process runs as."""

    user: int
    group: int
    extra_groups: list[int]


def identity(account: Account | None) -> Identity:
    """Return the keyword arguments that make `subprocess` start a process as `account`."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}
