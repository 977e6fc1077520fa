"""The proof: the ledger read back through the API, its totals, its books, and what beancount makes of them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from ledgerlink_kit.money import format_minor
from ledgerlink_stack.demo.books import Journals, compare, entry_of, recompute
from ledgerlink_stack.demo.gateway import Gateway
from ledgerlink_stack.demo.replay import Replay
from ledgerlink_stack.demo.rows import BILLING, Row, Totals
from ledgerlink_stack.demo.world import World

PAGE: Final = 1000
SHOWN_MAX: Final = 20


@dataclass
class Proof:
    """What the ledger says of the replay, and every difference found; no difference is the goal."""

    transfers: int = 0
    totals: Totals = field(default_factory=Totals)
    trial_balance: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    audit: Mapping[str, Any] = field(default_factory=dict[str, Any])
    accounts: int = 0
    differences: list[str] = field(default_factory=list[str])


async def prove(world: World, replay: Replay, expected: Totals, folder: Path) -> Proof:
    """Read the whole ledger back, write its books to ``folder``, and compare everything that can be compared."""
    proof = Proof()
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    await _read_journal(world, replay, proof, folder)
    refused = _totals_of_rows(replay.refused_rows)
    proof.differences += _differences(expected, proof.totals, refused)
    gateway, admin = world.gateway, world.admin
    trial = await gateway.done("GET", "/api/v1/trial-balance", kind="read back", token=admin)
    proof.trial_balance = trial["totals"]
    proof.differences += [
        f"The trial balance of {line['currency']} does not balance."
        for line in proof.trial_balance
        if line["debits_posted_minor"] != line["credits_posted_minor"]
    ]
    proof.audit = await gateway.done("GET", "/api/v1/audit", kind="read back", token=admin)
    proof.differences += [f"audit: {found}" for found in audit_differences(proof.audit)]
    balances = [
        (
            account["wallet"] or account["code"],
            account["currency"],
            account["debits_posted_minor"] - account["credits_posted_minor"],
        )
        async for account in pages(gateway, "/api/v1/accounts", world)
    ]
    proof.accounts = len(balances)
    theirs, complaints = recompute(folder / "ledgerlink.beancount")
    proof.differences += [f"beancount: {complaint}" for complaint in complaints]
    proof.differences += [f"beancount: {difference}" for difference in compare(balances, theirs)]
    return proof


async def pages(gateway: Gateway, path: str, world: World) -> AsyncIterator[dict[str, Any]]:
    """Give every item of a paged list."""
    cursor = ""
    while True:
        query = f"?limit={PAGE}" + (f"&cursor={cursor}" if cursor else "")
        page = await gateway.done("GET", path + query, kind="read back", token=world.admin)
        for item in page["items"]:
            yield item
        cursor = page["next_cursor"]
        if not cursor:
            return


async def _read_journal(world: World, replay: Replay, proof: Proof, folder: Path) -> None:
    """Stream all transfers into both journals and add up those that belong to this replay's rows."""
    merchants = {identifier: name for name, identifier in world.merchants.items()}
    with (
        (folder / "ledgerlink.beancount").open("w") as beancount,
        (folder / "ledgerlink.journal").open("w") as hledger,
    ):
        journals = Journals(beancount, hledger)
        async for transfer in pages(world.gateway, "/api/v1/transfers", world):
            proof.transfers += 1
            journals.write(entry_of(transfer))
            row = replay.rows_by_reference.get(transfer["id"]) or replay.rows_by_reference.get(transfer["reference"])
            if row is not None:
                _add(proof, merchants, row, transfer["postings"])


def _add(proof: Proof, merchants: Mapping[str, str], row: Row, postings: Sequence[Mapping[str, Any]]) -> None:
    """Add one row as the ledger booked it: the merchant's side is what was charged, the wallet's what was billed."""
    charged: dict[tuple[str, str], int] = defaultdict(int)
    billed = 0
    for posting in postings:
        amount, currency = posting["amount_minor"], posting["currency"]
        for party, sign in ((posting["credit"], 1), (posting["debit"], -1)):
            if party.startswith("merchant:"):
                charged[merchants.get(party.split(":")[1], party), currency] += sign * amount
            elif party.startswith("wal"):
                billed -= sign * amount
    for (merchant, currency), minor in charged.items():
        proof.totals.add(
            merchant,
            row.department,
            currency,
            Decimal(format_minor(minor, currency)),
            Decimal(format_minor(billed, BILLING)),
        )


def _totals_of_rows(rows: Sequence[Row]) -> Totals:
    totals = Totals()
    for row in rows:
        charged = Decimal(format_minor(row.amount_minor, row.currency))
        billed = Decimal(format_minor(row.billed_minor, BILLING))
        totals.add(row.merchant, row.department, row.currency, charged, billed)
    return totals


def _differences(expected: Totals, booked: Totals, refused: Totals) -> list[str]:
    """List where the file's totals are not what was booked and what was refused together."""
    found: list[str] = []
    if expected.rows != booked.rows + refused.rows:
        found.append(f"The file has {expected.rows} rows; booked {booked.rows}, refused {refused.rows}.")
    if expected.billed != booked.billed + refused.billed:
        found.append(f"Billed: {expected.billed} in the file, {booked.billed} booked, {refused.billed} refused.")
    for name in ("by_currency", "by_department", "by_merchant"):
        want, have, less = (getattr(totals, name) for totals in (expected, booked, refused))
        found += [
            f"{name} {key}: {want.get(key, 0)} in the file, {have.get(key, 0)} booked."
            for key in sorted(want.keys() | have.keys(), key=str)
            if want.get(key, 0) != have.get(key, 0) + less.get(key, 0)
        ]
    return found


def audit_differences(report: Mapping[str, Any]) -> list[str]:
    """List what the ledger's own audit found."""
    found = [f"{check['name']}: {difference}" for check in report["checks"] for difference in check["differences"]]
    return found if report["clean"] or found else ["not clean"]
