"""Proves through the gateway what the ledger gives beyond payments: imports that are cut and gone on with, exchange at
a quote, receipts that an outsider verifies without us, and the live stream of an account.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.crash.own_stack import OwnStack
from tests.system.conftest import Journey
from tests.system.test_journeys import until

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("stack"), pytest.mark.timeout(300)]

LINES = 400


def line(number: int, debit: str, credit: str) -> bytes:
    posting = {"debit": debit, "credit": credit, "amount_minor": number + 1, "currency": "GBP"}
    return json.dumps({"kind": "system.import", "reference": f"line {number}", "postings": [posting]}).encode() + b"\n"


def send(admin: Journey, path: str, lines: Iterator[bytes] | list[bytes], from_line: int) -> httpx.Response:
    headers = {"Content-Type": "application/x-ndjson"}
    return admin.http.post(f"{path}/lines?from_line={from_line}", content=iter(lines), headers=headers)


def test_an_import_that_is_cut_goes_on_from_its_cursor_and_posts_each_line_once(ada: Journey, admin: Journey) -> None:
    payer, payee = ada.wallet(LINES * LINES), ada.wallet()
    lines = [line(number, payer, payee) for number in range(LINES)]
    lines[7] = b"{half a line\n"
    opened = admin.post("/api/v1/imports", json={"label": "system", "total_lines": LINES})
    assert opened.status_code == 201, opened.text
    path = f"/api/v1/imports/{opened.json()['id']}"

    def cut() -> Iterator[bytes]:
        yield b"".join(lines[:250])
        yield lines[250][:20]
        raise httpx.WriteError("the sender is gone")

    with pytest.raises(httpx.WriteError):
        send(admin, path, cut(), 0)
    stands = until(lambda: admin.get(path).json(), lambda found: not found["uploading"])["next_line"]
    assert stands <= 250, "half a line is no line"

    gap = send(admin, path, lines[251:], 251)
    assert (gap.status_code, gap.json()["code"], gap.json()["next_line"]) == (409, "import-gap", stands)
    done = send(admin, path, lines[max(0, stands - 30) :], max(0, stands - 30))
    assert done.status_code == 200, done.text
    told = {what: done.json()[what] for what in ("next_line", "posted", "refused", "malformed")}
    assert told == {"next_line": LINES, "posted": LINES - 1, "refused": 0, "malformed": 1}
    problems = admin.get(f"{path}/problems").json()["items"]
    assert [(one["line"], one["outcome"]) for one in problems] == [(7, "malformed")]
    assert ada.available(payee) == LINES * (LINES + 1) // 2 - 8
    assert admin.http.post(f"{path}/close").json()["state"] == "closed"
    late = send(admin, path, lines[:1], LINES)
    assert (late.status_code, late.json()["code"]) == (409, "import-closed")


def test_an_exchange_is_what_its_quote_said_and_happens_once(ada: Journey, admin: Journey, anybody: Journey) -> None:
    rate = {
        "base": "GBP",
        "quote": "JPY",
        "mid": "190.25",
        "spread_bp": 100,
        "source": "system test",
        "valid_until": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
    }
    assert admin.http.put("/api/v1/exchange/rates", json={"items": [rate]}).status_code == 200
    wallet = ada.wallet(10_000)
    asked = {"wallet": wallet, "sell_currency": "GBP", "buy_currency": "JPY", "sell_minor": 5_000}
    quote = ada.post("/api/v1/exchange/quotes", json=asked)
    # 50.00 GBP at 190.25 less one percent: 9,417.375 yen, rounded down; a yen has no minor unit.
    assert (quote.status_code, quote.json()["buy_minor"]) == (201, 9_417), quote.text
    path = f"/api/v1/exchange/quotes/{quote.json()['id']}/accept"
    assert anybody.newcomer().http.post(path).status_code == 404, "somebody else's quote is unknown"
    first, again = ada.http.post(path), ada.http.post(path)
    assert (first.status_code, again.status_code, again.content) == (201, 201, first.content), first.text
    assert (ada.available(wallet), ada.available(wallet, "JPY")) == (5_000, 9_417)
    dear = ada.post("/api/v1/exchange/quotes", json={**asked, "sell_minor": 5_001})
    refused = ada.http.post(f"/api/v1/exchange/quotes/{dear.json()['id']}/accept")
    assert (refused.status_code, refused.json()["code"]) == (409, "insufficient-funds")


def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the verifier as a stranger would: no stack, no settings, nothing but the file and the key."""
    command = [sys.executable, "-m", "ledgerlink_stack", "verify-receipt", *arguments]
    environment = {"PATH": "", "LEDGERLINK_HOME": "/nonexistent"}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)


def test_a_receipt_is_verified_by_a_stranger_and_a_forged_one_is_not(
    ada: Journey, anybody: Journey, tmp_path: Path
) -> None:
    wallet = ada.wallet(900)
    paid = ada.post(f"/api/v1/wallets/{wallet}/debit", json={"amount_minor": 123, "currency": "GBP"})
    transfer = str(paid.json()["transfer"]["id"])
    answer = until(
        lambda: ada.get(f"/api/v1/transfers/{transfer}/receipt"), lambda found: found.status_code != 409, seconds=30
    )
    assert answer.status_code == 200, answer.text
    assert anybody.newcomer().get(f"/api/v1/transfers/{transfer}/receipt").status_code == 404
    key = anybody.get("/api/v1/checkpoints/key").json()["key"]
    receipt, forged = tmp_path / "receipt.json", tmp_path / "forged.json"
    receipt.write_text(answer.text)
    forged.write_text(answer.text.replace("123", "124", 1))
    assert forged.read_text() != receipt.read_text()

    proven = verify(str(receipt), "--key", key, "--json")
    assert proven.returncode == 0, proven.stdout + proven.stderr
    assert json.loads(proven.stdout)["transfer"] == transfer
    assert verify(str(forged), "--key", key).returncode == 1
    assert verify(str(tmp_path / "none.json"), "--key", key).returncode == 2


class Listener(threading.Thread):
    """Listens to an account's live stream until it has heard `wanted` entries."""

    def __init__(self, who: Journey, path: str, wanted: int, last_event_id: int | None = None) -> None:
        super().__init__(daemon=True)
        self._who, self._path, self._wanted = who, path, wanted
        self._headers = {"Accept": "text/event-stream"}
        if last_event_id is not None:
            self._headers["Last-Event-ID"] = str(last_event_id)
        self.listening = threading.Event()
        self.media_type = ""
        self.heard: list[tuple[int, dict[str, Any]]] = []

    def run(self) -> None:
        with self._who.http.stream("GET", self._path, headers=self._headers) as stream:
            self.media_type = stream.headers["content-type"].partition(";")[0]
            version = 0
            for said in stream.iter_lines():
                self.listening.set()
                name, _, value = said.partition(": ")
                if name == "id":
                    version = int(value)
                elif name == "data":
                    self.heard.append((version, json.loads(value)))
                    if len(self.heard) == self._wanted:
                        return


def test_an_owner_hears_each_entry_of_their_account_while_it_happens(
    ada: Journey, anybody: Journey, stack: OwnStack
) -> None:
    wallet = ada.wallet(1_000)
    first = ada.get(f"/api/v1/transfers?account={wallet}&currency=GBP").json()["items"][0]["id"]
    entries = ada.get(f"/api/v1/transfers/{first}").json()["entries"]
    (account,) = [entry["account"] for entry in entries if entry["party"] == wallet]
    path = f"/api/v1/accounts/{account}/events"
    assert anybody.newcomer().get(path).status_code == 404, "somebody else's account is unknown"

    live = Listener(ada, path, 4)
    live.start()
    assert live.listening.wait(20), "the stream says something at once"
    for amount in (11, 22, 33):
        body = {"amount_minor": amount, "currency": "GBP"}
        assert ada.post(f"/api/v1/wallets/{wallet}/debit", json=body, key=uuid4().hex).status_code == 201
    live.join(30)
    assert live.media_type == "text/event-stream"
    assert [version for version, _ in live.heard] == [1, 2, 3, 4], "no gap, nothing twice"
    assert [entry["amount_minor"] for _, entry in live.heard] == [1_000, 11, 22, 33]

    # Whoever was cut comes back with the last version that they know, and misses nothing.
    back = Listener(ada, path, 2, last_event_id=2)
    back.start()
    back.join(30)
    assert back.heard == live.heard[2:]
