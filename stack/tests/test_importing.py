"""Proves `ledgerlink import`: piles of lines, a cut waited out, exit codes, and plain words for what is unusable."""

from __future__ import annotations

import argparse
import asyncio
import gzip
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from rich.console import Console

from ledgerlink_contracts.ids import ImportId
from ledgerlink_contracts.wallet.imports import LINE_BYTES_MAX
from ledgerlink_stack.importing import (
    PILE_BYTES_MAX,
    PILE_LINES_MAX,
    Door,
    Link,
    Outcome,
    Unusable,
    bring,
    carry,
    lines_of,
    piles_of,
    report,
    run,
    source_of,
    survey,
)
from ledgerlink_stack.ports import free_port
from ledgerlink_stack.trouble import Trouble

IMPORT = str(ImportId.derive("test"))


class Wallet:
    """An import as the wallet keeps it, behind real HTTP; it can cut connections and refuse."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.state = "open"
        self.cuts = 0
        self.answers: list[tuple[int, str]] = []
        self.logins = 0
        self.order: dict[str, Any] = {}
        self.pieces: list[int] = []
        self.keys: list[str] = []
        self.url = ""

    def view(self) -> dict[str, Any]:
        bad = sum(line == b"bad" for line in self.lines)
        counts = {"posted": len(self.lines) - bad, "replayed": 0, "refused": 0, "malformed": bad, "blank": 0}
        return {"id": IMPORT, "state": self.state, "next_line": len(self.lines), "lines_per_s": 7, **counts}

    async def login(self, request: web.Request) -> web.Response:
        self.logins += 1
        if (await request.post())["password"] != "pw":
            return web.json_response({"code": "credentials-wrong"}, status=401)
        return web.json_response({"access_token": "t", "expires_in": 600})

    async def opened(self, request: web.Request) -> web.Response:
        self.order = await request.json()
        self.keys.append(request.headers["Idempotency-Key"])
        return web.json_response(self.view(), status=201)

    async def told(self, request: web.Request) -> web.Response:
        if request.match_info["id"] != IMPORT:
            return web.json_response({"code": "import-not-found", "detail": "There is none."}, status=404)
        return web.json_response(self.view())

    async def closed(self, _request: web.Request) -> web.Response:
        self.state = "closed"
        return web.json_response(self.view())

    async def problems(self, _request: web.Request) -> web.Response:
        bad = [number for number, line in enumerate(self.lines) if line == b"bad"]
        items = [{"line": n, "code": "malformed-line", "problem": {"detail": "No [JSON]."}} for n in bad]
        return web.json_response({"items": items, "next_cursor": None})

    async def taken(self, request: web.Request) -> web.Response:
        if self.answers:
            status, code = self.answers.pop(0)
            return web.json_response({"code": code, "detail": "Said so."}, status=status, headers={"Retry-After": "0"})
        given = (await request.read()).removesuffix(b"\n").split(b"\n")
        self.pieces.append(len(given))
        new = given[len(self.lines) - int(request.query["from_line"]) :]
        if self.cuts:
            self.cuts -= 1
            self.lines += new[: len(new) // 2]
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        self.lines += new
        return web.json_response(self.view())


@pytest.fixture
async def wallet() -> AsyncIterator[Wallet]:
    made = Wallet()
    app = web.Application(client_max_size=2**30)
    app.router.add_post("/api/v1/auth/token", made.login)
    app.router.add_post("/api/v1/imports", made.opened)
    app.router.add_get("/api/v1/imports/{id}", made.told)
    app.router.add_post("/api/v1/imports/{id}/lines", made.taken)
    app.router.add_get("/api/v1/imports/{id}/problems", made.problems)
    app.router.add_post("/api/v1/imports/{id}/close", made.closed)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    made.url = f"http://127.0.0.1:{port}"
    yield made
    await runner.cleanup()


def asked(file: Path, resume: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(file=str(file), resume=resume, label="a name", json=False)


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def door(wallet: Wallet, password: str = "pw") -> Door:
    return Door(wallet.url, "admin@example.com", password)


@pytest.mark.parametrize("packed", [False, True])
async def test_a_file_arrives_line_by_line_and_the_import_is_closed(
    tmp_path: Path, wallet: Wallet, packed: bool
) -> None:
    file = tmp_path / "rows"
    lines = [b'{"n":%d}' % number for number in range(12_000)]
    body = b"\n".join(lines)
    file.write_bytes(gzip.compress(body) if packed else body)

    outcome = await bring(asked(file), door(wallet), quiet())

    assert wallet.lines == lines
    assert wallet.pieces == [PILE_LINES_MAX, PILE_LINES_MAX, 2_000]
    assert wallet.order == {"label": "a name", "total_lines": 12_000}
    assert (outcome.view["state"], outcome.problems, wallet.logins) == ("closed", [], 1)


async def test_a_broken_connection_is_waited_out_and_no_line_is_lost_or_sent_twice(
    tmp_path: Path, wallet: Wallet
) -> None:
    file = tmp_path / "rows"
    lines = [b"%d" % number for number in range(8_000)]
    file.write_bytes(b"\n".join(lines))
    wallet.cuts = 2
    wallet.answers = [(503, "ledger-busy"), (409, "import-busy"), (429, "rate-limited"), (401, "token-expired")]

    await bring(asked(file), door(wallet), quiet())

    assert wallet.lines == lines
    assert wallet.logins == 2


async def test_an_import_goes_on_where_it_stands(tmp_path: Path, wallet: Wallet) -> None:
    file = tmp_path / "rows"
    lines = [b"%d" % number for number in range(10)]
    file.write_bytes(b"\n".join(lines))
    wallet.lines = lines[:7]

    await bring(asked(file, IMPORT), door(wallet), quiet())

    assert (wallet.lines, wallet.pieces, wallet.order) == (lines, [3], {})


async def test_the_same_file_under_the_same_label_is_the_same_import(tmp_path: Path, wallet: Wallet) -> None:
    file, copy, other = tmp_path / "rows", tmp_path / "copy.gz", tmp_path / "other"
    file.write_bytes(b"1\nbad\n")
    copy.write_bytes(gzip.compress(b"1\nbad\n"))
    other.write_bytes(b"1\nbad\n2\n")

    await bring(asked(file), door(wallet), quiet())
    shown = io.StringIO()
    again = await bring(asked(copy), door(wallet), Console(file=shown, width=200))

    assert wallet.pieces == [2]
    assert len(again.problems) == 1
    assert "imported before" in shown.getvalue()
    assert wallet.keys[0] == wallet.keys[1]
    keys = [survey(str(file), None)[1], survey(str(file), "b")[1], survey(str(other), "b")[1], survey("-", "b")[1]]
    assert len({*keys, *wallet.keys}) == 5


async def test_what_cannot_be_imported_is_said(tmp_path: Path, wallet: Wallet) -> None:
    good, empty, broken = tmp_path / "good", tmp_path / "empty", tmp_path / "broken"
    good.write_bytes(b"1\n2\n")
    empty.write_bytes(b"")
    broken.write_bytes(gzip.compress(bytes(range(256)) * 400)[:-20])
    wallet.lines = [b"x"] * 5
    for arguments, sentence in (
        (asked(tmp_path / "absent"), "cannot be read"),
        (asked(tmp_path), "cannot be read"),
        (asked(empty), "nothing in"),
        (asked(broken), "breaks off"),
        (asked(good, "imp_1"), "is not an id of this kind"),
        (asked(good, str(ImportId.derive("another"))), "import-not-found"),
        (asked(good, IMPORT), "another file"),
    ):
        with pytest.raises(Unusable, match=sentence):
            await bring(arguments, door(wallet), quiet())
    wallet.state = "closed"
    with pytest.raises(Unusable, match="is closed"):
        await bring(asked(good, IMPORT), door(wallet), quiet())


async def test_a_refusal_in_the_middle_tells_how_to_go_on(tmp_path: Path, wallet: Wallet) -> None:
    file = tmp_path / "rows"
    file.write_bytes(b"1\n")
    wallet.answers = [(409, "import-problems-max")]
    shown = io.StringIO()
    console = Console(file=shown, width=300)
    with pytest.raises(Unusable, match="import-problems-max"):
        await bring(asked(file), door(wallet), console)

    assert f"ledgerlink import {file} --resume {IMPORT}" in shown.getvalue()


async def test_a_stack_that_stays_away_and_a_wrong_password_are_trouble(wallet: Wallet) -> None:
    async with aiohttp.ClientSession() as session:
        away = Link(Door(f"http://127.0.0.1:{free_port()}", "a", "pw"), session, patience_s=0)
        with pytest.raises(Trouble, match="does not answer"):
            await away.ask("GET", "/")
        with pytest.raises(Trouble, match="cannot log in"):
            await Link(door(wallet, "other"), session).ask("GET", "/")


async def test_progress_is_told_pile_by_pile(wallet: Wallet) -> None:
    seen: list[int] = []
    async with aiohttp.ClientSession() as session:
        source = io.BytesIO(b"1\n" * (PILE_LINES_MAX + 1))
        await carry(Link(door(wallet), session), source, IMPORT, 0, lambda view: seen.append(view["next_line"]))

    assert seen == [PILE_LINES_MAX, PILE_LINES_MAX + 1]


def test_piles_end_at_their_bytes_and_a_line_too_long_is_cut_to_what_shows_that_it_is() -> None:
    long = b"x" * (3 * LINE_BYTES_MAX)
    lines = list(lines_of(io.BytesIO(b"a\n" + long + b"\nb")))
    assert [len(line) for line in lines] == [2, LINE_BYTES_MAX + 3, 2]
    assert lines[2] == b"b\n"

    piles = list(piles_of(io.BytesIO((b"y" * 60_000 + b"\n") * 150), 0))
    assert max(len(pile.body) for pile in piles) < PILE_BYTES_MAX + 60_001
    assert [pile.start for pile in piles] == [0, 70, 140]
    assert sum(pile.lines for pile in piles) == 150


def test_lines_are_counted_whatever_they_are_packed_in(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    file.write_bytes(gzip.compress(b"1\n\n2"))
    assert survey(str(file), None)[0] == 3
    assert survey("-", None)[0] is None
    with source_of(str(file)) as source:
        assert source.read() == b"1\n\n2"


async def test_the_report_numbers_lines_as_an_editor_does(wallet: Wallet) -> None:
    wallet.lines = [b"1", b"bad"]
    shown = io.StringIO()
    console = Console(file=shown, width=160)
    problem = {"line": 1, "code": "malformed-line", "problem": {"detail": "No [JSON]."}}
    report(Outcome(wallet.view(), [problem], 1.5), console)

    assert "2 │ malformed-line │ No [JSON]." in shown.getvalue()


@pytest.mark.parametrize(("content", "code"), [(b"1\n2\n", 0), (b"1\nbad\n", 1), (b"", 2)])
async def test_the_exit_code_says_whether_every_line_was_posted(
    tmp_path: Path, wallet: Wallet, capsys: pytest.CaptureFixture[str], content: bytes, code: int
) -> None:
    file = tmp_path / "rows"
    file.write_bytes(content)
    arguments = argparse.Namespace(file=str(file), resume=None, label=None, json=True)

    assert await asyncio.to_thread(run, arguments, door(wallet)) == code
    said = capsys.readouterr().out
    if code < 2:
        told = json.loads(said)
        assert (told["import"]["next_line"], len(told["problems"])) == (2, code)
