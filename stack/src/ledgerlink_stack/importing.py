"""`ledgerlink import`: a file of transfers into the running stack, in piles, going on by itself after a cut."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import sys
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ledgerlink_contracts.ids import ImportId
from ledgerlink_contracts.wallet.imports import LINE_BYTES_MAX, NDJSON
from ledgerlink_kit.ids import InvalidId
from ledgerlink_stack.trouble import Trouble

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Generator, Iterator, Mapping

PILE_LINES_MAX: Final = 5_000
PILE_BYTES_MAX: Final = 4 * 1024 * 1024
"""What one request carries: enough that requests cost nothing, little enough that a cut is cheap."""

PATIENCE_S: Final = 120.0
"""How long the import goes on trying without any progress."""

SHOWN_PROBLEMS: Final = 20
SHORT_OF_INPUT: Final = 2
_PAUSE_S: Final = 0.5
_PAUSE_S_MAX: Final = 10.0
_SAY_EVERY_S: Final = 5.0
_RENEW_BEFORE_S: Final = 60.0
_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_API: Final = "/api/v1/imports"


class Unusable(Exception):
    """What was given to import cannot be: the text says why."""


@dataclass(frozen=True, slots=True)
class Door:
    """How the stack is reached: the gateway and whoever imports."""

    gateway_url: str
    email: str
    password: str


@dataclass(frozen=True, slots=True)
class Pile:
    """Whole lines that are sent together; ``start`` is the number of the first, from 0."""

    start: int
    lines: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """An import at its end: its view, its first problems, and how long this run took."""

    view: Mapping[str, Any]
    problems: list[Mapping[str, Any]]
    seconds: float


@contextmanager
def source_of(name: str) -> Generator[BinaryIO]:
    """Open a file, or the standard input for ``-``; gzip is seen by its first bytes. Raises `Unusable`."""
    try:
        raw = sys.stdin.buffer if name == "-" else Path(name).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise Unusable(f"{name} cannot be read: {error.strerror}.") from None
    with raw:
        start = raw.peek(2)[:2]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]
        if not start:
            raise Unusable(f"There is nothing in {name}.")
        if start == b"\x1f\x8b":  # RFC 1952, section 2.3.1
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield unpacked  # pyright: ignore[reportReturnType]
        else:
            yield raw


def lines_of(source: BinaryIO) -> Iterator[bytes]:
    """Give the lines, each with its end; of one that is too long just so much that the wallet sees that it is.

    Raises `Unusable` where the input breaks off.
    """
    most = LINE_BYTES_MAX + 2
    try:
        while line := source.readline(most):
            part = line
            while len(part) == most and not part.endswith(b"\n"):
                part = source.readline(most)
            yield line if line.endswith(b"\n") else line + b"\n"
    except (gzip.BadGzipFile, EOFError, zlib.error, OSError) as error:
        raise Unusable(f"The input breaks off: {error}.") from None


def piles_of(source: BinaryIO, done: int) -> Iterator[Pile]:
    """Give the lines from number ``done`` on in piles. Raises `Unusable` when there are not even so many."""
    number, held, size = 0, list[bytes](), 0
    for line in lines_of(source):
        number += 1
        if number <= done:
            continue
        held.append(line)
        size += len(line)
        if len(held) == PILE_LINES_MAX or size >= PILE_BYTES_MAX:
            yield Pile(number - len(held), len(held), b"".join(held))
            held, size = [], 0
    if number < done:
        raise Unusable(f"The import stands at line {done + 1}, but the input has {number} lines: is it another file?")
    if held:
        yield Pile(number - len(held), len(held), b"".join(held))


def survey(name: str, label: str | None) -> tuple[int | None, str]:
    """Read a file once: how many lines it has, and the key of its import. A pipe is read once only, and its key is new.

    The key is made of the lines and the label, so that the same file is the same import: run again it goes on, or
    changes nothing. Under another label it is another import.
    """
    if not Path(name).is_file():
        return None, uuid4().hex
    digest, lines = hashlib.sha256((label or "").encode() + b"\n"), 0
    with source_of(name) as source:
        for line in lines_of(source):
            digest.update(line)
            lines += 1
    return lines, f"ledgerlink import {digest.hexdigest()}"


class Link:
    """The conversation with the stack: logs in, and repeats what was not answered."""

    def __init__(self, door: Door, session: aiohttp.ClientSession, patience_s: float = PATIENCE_S) -> None:
        """Speak through ``session``."""
        self._door = door
        self._session = session
        self._patience_s = patience_s
        self._token = ""
        self._until = 0.0

    async def ask(
        self, method: str, path: str, *, body: bytes | None = None, media: str = "application/json", key: str = ""
    ) -> Any:
        """Send a request until it is answered with success. Raises `Unusable` when it is refused, else `Trouble`."""
        deadline, pause = time.monotonic() + self._patience_s, _PAUSE_S
        while True:
            headers = {"Content-Type": media} if body is not None else {}
            headers |= {"Idempotency-Key": key} if key else {}
            status, answer, wait_s = await self._try(method, path, body, headers)
            if status < HTTPStatus.BAD_REQUEST:
                return answer
            code = answer.get("code", "")
            if status == HTTPStatus.UNAUTHORIZED:
                self._until = 0.0
            elif status not in _AGAIN and code not in {"import-busy", "idempotency-in-flight"}:
                raise Unusable(f"The wallet refuses it ({code}): {answer.get('detail', status)}")
            if time.monotonic() > deadline:
                raise Trouble(
                    f"{self._door.gateway_url} does not answer for {self._patience_s:.0f} s ({code}).",
                    "`ledgerlink status` tells what runs, `ledgerlink up` starts or mends it.",
                )
            await asyncio.sleep(wait_s or pause)
            pause = min(2 * pause, _PAUSE_S_MAX)

    async def _try(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, Any, float | None]:
        try:
            if time.monotonic() > self._until:
                login = {"grant_type": "password", "username": self._door.email, "password": self._door.password}
                form = {"Content-Type": "application/x-www-form-urlencoded"}
                status, answer, wait_s = await self._send("POST", "/api/v1/auth/token", urlencode(login).encode(), form)
                if status in _AGAIN:
                    return status, answer, wait_s
                if status >= HTTPStatus.BAD_REQUEST:
                    raise Trouble(
                        f"{self._door.email} cannot log in ({answer.get('code')}).",
                        "The admin of this home imports; was the password changed, or is it another stack?",
                    )
                self._token = answer["access_token"]
                self._until = time.monotonic() + float(answer["expires_in"]) - _RENEW_BEFORE_S
            return await self._send(method, path, body, {**headers, "Authorization": f"Bearer {self._token}"})
        except (aiohttp.ClientError, TimeoutError, OSError, json.JSONDecodeError) as error:
            return HTTPStatus.SERVICE_UNAVAILABLE, {"code": type(error).__name__}, None

    async def _send(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, Any, float | None]:
        url = self._door.gateway_url + path
        async with self._session.request(method, url, data=body, headers=headers) as answer:
            content = await answer.read()
            wait = answer.headers.get("Retry-After", "")
            wait_s = min(float(wait), _PAUSE_S_MAX) if wait.isdigit() else None
            return answer.status, json.loads(content) if content else {}, wait_s


async def carry(
    link: Link, source: BinaryIO, import_: str, done: int, show: Callable[[Mapping[str, Any]], None]
) -> Any:
    """Send the lines from number ``done`` on, one pile after the other; gives the import's view, closed.

    A pile that was cut is sent again as it is: the wallet passes over the lines that it has done.
    """
    for pile in piles_of(source, done):
        show(await link.ask("POST", f"{_API}/{import_}/lines?from_line={pile.start}", body=pile.body, media=NDJSON))
    return await link.ask("POST", f"{_API}/{import_}/close")


async def open_or_find(link: Link, resume: str | None, label: str | None, total: int | None, key: str) -> Any:
    """Give the import that is to go on, or the one of ``key``. Raises `Unusable` when ``resume`` cannot go on."""
    if resume is None:
        order = {"label": label, "total_lines": total}
        body = json.dumps({name: value for name, value in order.items() if value is not None}).encode()
        opened = await link.ask("POST", _API, body=body, key=key)
        # The same key again is answered with the import as it was opened; it may have come far since.
        return await link.ask("GET", f"{_API}/{opened['id']}")
    try:
        ImportId.parse(resume)
    except InvalidId as error:
        raise Unusable(error.detail) from None
    view = await link.ask("GET", f"{_API}/{resume}")
    if view["state"] != "open":
        raise Unusable(f"{resume} is closed: all of its lines were sent.")
    return view


async def bring(arguments: argparse.Namespace, door: Door, console: Console) -> Outcome:
    """Import what ``arguments`` name and tell ``console`` how it goes. Raises `Unusable` and `Trouble`."""
    total, key = survey(arguments.file, arguments.label)
    begun = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=90)
    with source_of(arguments.file) as source:
        async with aiohttp.ClientSession(timeout=timeout) as session:
            link = Link(door, session)
            view = await open_or_find(link, arguments.resume, arguments.label, total, key)
            import_ = view["id"]
            if view["state"] != "open":
                console.print("This file was imported before; another --label imports it again.", highlight=False)
                page = await link.ask("GET", f"{_API}/{import_}/problems?limit={SHOWN_PROBLEMS}")
                return Outcome(view, page["items"], time.monotonic() - begun)
            try:
                with _Bar(console, view, total) as bar:
                    view = await carry(link, source, import_, view["next_line"], bar.show)
            except BaseException:
                go_on = f"ledgerlink import {arguments.file} --resume {import_}"
                console.print(f"The import stands; go on with: {go_on}", highlight=False, markup=False, soft_wrap=True)
                raise
            page = await link.ask("GET", f"{_API}/{import_}/problems?limit={SHOWN_PROBLEMS}")
    return Outcome(view, page["items"], time.monotonic() - begun)


class _Bar:
    """A progress bar on a terminal, a line now and then elsewhere."""

    def __init__(self, console: Console, view: Mapping[str, Any], total: int | None) -> None:
        self._console = console
        self._begun = self._said = time.monotonic()
        self._first = view["next_line"]
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(), console=console,
        )  # fmt: skip
        self._task = self._progress.add_task("lines", total=total, completed=self._first, note="")

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def show(self, view: Mapping[str, Any]) -> None:
        """Show how far the import is."""
        now = time.monotonic()
        rate = (view["next_line"] - self._first) / max(now - self._begun, 0.001)
        note = f"{rate:,.0f} lines/s, {view['refused'] + view['malformed']} problems"
        self._progress.update(self._task, completed=view["next_line"], note=note)
        if not self._console.is_terminal and now - self._said >= _SAY_EVERY_S:
            self._said = now
            self._console.print(f"{view['next_line']} lines, {note}", highlight=False, soft_wrap=True)


def run(arguments: argparse.Namespace, door: Door) -> int:
    """Import and report; 0 when every line was posted, 1 when some were not, 2 when there was nothing to work with."""
    console = Console(stderr=True) if arguments.json else Console()
    try:
        outcome = asyncio.run(bring(arguments, door, console))
    except Unusable as unusable:
        Console(stderr=True).print(escape(str(unusable)), style="bold red", highlight=False, soft_wrap=True)
        return SHORT_OF_INPUT
    if arguments.json:
        plain = {"import": outcome.view, "problems": outcome.problems, "seconds": round(outcome.seconds, 2)}
        print(json.dumps(plain))
    else:
        report(outcome, console)
    return 1 if outcome.view["refused"] + outcome.view["malformed"] else 0


def report(outcome: Outcome, console: Console) -> None:
    """Print what became of the lines, and the first that were not posted; lines are numbered from 1, as editors do."""
    view = outcome.view
    table = Table(title=f"Import {view['id']}", title_justify="left")
    for column in ("lines", "posted", "of them known before", "refused", "malformed", "blank", "seconds", "lines/s"):
        table.add_column(column, justify="right")
    names = ("next_line", "posted", "replayed", "refused", "malformed", "blank")
    table.add_row(*(f"{view[name]:,}" for name in names), f"{outcome.seconds:.1f}", f"{view['lines_per_s'] or 0:,}")
    console.print(table)
    if not outcome.problems:
        return
    count = view["refused"] + view["malformed"]
    table = Table(title=f"Not posted: the first {len(outcome.problems)} of {count:,}", title_justify="left")
    for column in ("line", "why", "detail"):
        table.add_column(column, justify="right" if column == "line" else "left", overflow="fold")
    for problem in outcome.problems:
        table.add_row(str(problem["line"] + 1), problem["code"], escape(str(problem["problem"].get("detail", ""))))
    console.print(table)
    if count > len(outcome.problems):
        console.print(f"All of them: GET {_API}/{view['id']}/problems", highlight=False, soft_wrap=True)
