"""Proves that an index serves every filter of every list: no plan reads a table of facts from end to end. And that a
page of a statement costs the same wherever in a long history it lies.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from services.wallet.tests.conftest import Service
from sqlalchemy import event

from ledgerlink_contracts.ids import ScheduleId
from ledgerlink_kit.clock import SystemClock
from ledgerlink_wallet.commands.occurrences import carry_out_due
from ledgerlink_wallet.queries.due import schedules_lag_s

FILL = """
INSERT INTO wallets SELECT gen_random_uuid(), 'usr_' || n % 500, 'GBP', NULL, now() - n * interval '1 second'
FROM generate_series(1, 10000) n;
INSERT INTO accounts
SELECT gen_random_uuid(), 'merchant:m' || n, (ARRAY['GBP', 'EUR', 'JPY'])[n % 3 + 1], 'credit', true, NULL,
       CASE WHEN n % 100 = 0 THEN 'frozen' ELSE 'open' END, 0, 0, 0, 0, 0, now()
FROM generate_series(1, 10000) n;
INSERT INTO transfers
SELECT gen_random_uuid(), 'kind' || n % 5, (SELECT postings FROM transfers LIMIT 1),
       NULL, CASE WHEN n % 2 = 0 THEN 'r' || n % 1000 END,
       CASE WHEN n % 2 = 0 THEN jsonb_build_object('order', 'o' || n) ELSE '{}' END,
       CASE WHEN n % 50 = 0 THEN gen_random_uuid() END, NULL,
       CASE WHEN n % 10 = 0 THEN now() - n * interval '1 hour' ELSE now() - n * interval '1 minute' END,
       now() - n * interval '1 minute'
FROM generate_series(1, 20000) n;
INSERT INTO holds
SELECT gen_random_uuid(), (SELECT id FROM accounts WHERE wallet_id IS NOT NULL LIMIT 1),
       CASE WHEN n % 10 = 0 THEN 'placed' ELSE 'released' END, 5, 0, CASE WHEN n % 10 = 0 THEN 5 ELSE 0 END,
       now() + n * interval '1 minute', NULL, NULL, now() - n * interval '1 minute'
FROM generate_series(1, 20000) n;
INSERT INTO entries
SELECT (SELECT id FROM accounts WHERE wallet_id IS NOT NULL LIMIT 1), n, 'credit', 'posted', 1, 0, n, 0, 0,
       gen_random_uuid(), NULL, CASE WHEN n % 10 = 0 THEN now() - n * interval '1 hour' ELSE at END, at
FROM generate_series(2, 20000) n, LATERAL (SELECT now() + n * interval '1 second' AS at) moment;
INSERT INTO dated_sums
SELECT a.id, level, 0, 5, 1, 1, 0, 0 FROM accounts a, generate_series(0, 14) level;
UPDATE accounts SET version = 20000, credits_posted = 20000 WHERE wallet_id IS NOT NULL;
INSERT INTO scheduled_transfers
SELECT CASE WHEN n = 1 THEN uuid '00000000-0000-0000-0000-000000000001' ELSE gen_random_uuid() END,
       CASE WHEN n % 200 = 0 THEN (SELECT id FROM wallets WHERE owner LIKE 'usr_0%' LIMIT 1) ELSE gen_random_uuid() END,
       gen_random_uuid(), 'x', 5, 'GBP', NULL, '{}', now(), 1, 'day', 'UTC', NULL, NULL, 'x', now(),
       CASE WHEN n % 10 = 0 THEN 'active' ELSE 'canceled' END, n,
       CASE WHEN n % 10 = 0 THEN now() + n * interval '1 minute' END,
       CASE WHEN n % 10 = 0 THEN now() + n * interval '1 minute' END, 0, NULL, NULL, now()
FROM generate_series(1, 20000) n;
INSERT INTO occurrences
SELECT CASE WHEN n % 20 = 0 THEN uuid '00000000-0000-0000-0000-000000000001' ELSE gen_random_uuid() END,
       n, n, now(), 'executed', 1, gen_random_uuid(), NULL, NULL, now()
FROM generate_series(1, 20000) n;
"""
SCHEDULE = ScheduleId(UUID(int=1))
PATHS = (
    "/transfers?",
    "/transfers?kind=kind1",
    "/transfers?reference=r8",
    "/transfers?metadata=order:o8",
    "/transfers?reverses=tr_01jd3w9n2qf7h8r0s1t2v3w4x5",
    "/transfers?recorded_from=2020-01-01T00:00:00Z",
    "/transfers?recorded_to=2020-01-01T00:00:00Z",
    "/transfers?effective_from=2020-01-01T00:00:00Z",
    "/transfers?effective_to=2020-01-01T00:00:00Z&kind=kind1",
    "/transfers?reference=r8&effective_from=2020-01-01T00:00:00Z",
    "/transfers?account={account}&recorded_from=2020-01-01T00:00:00Z",
    "/accounts?",
    "/accounts?code=merchant",
    "/accounts?code=merchant:m77",
    "/accounts?currency=EUR",
    "/accounts?state=frozen",
    "/accounts?state=open",
    "/accounts?wallet={wallet}",
    "/accounts/{account}/entries?",
    "/accounts/{account}/entries?layer=posted&side=debit",
    "/accounts/{account}/entries?recorded_from=2020-01-01T00:00:00Z",
    "/accounts/{account}/statement?",
    "/accounts/{account}/statement?by=effective",
    "/accounts/{account}/statement?by=effective&from=2026-01-01T00:00:00Z",
    "/accounts/{account}/balance?effective_at=2026-01-01T00:00:00Z&recorded_at=2026-01-01T00:00:00Z",
    "/holds?",
    "/holds?state=released",
    "/holds?wallet={wallet}",
    "/holds?expires_before=2999-01-01T00:00:00Z",
    "/wallets?owner={alice}",
    "/wallets?owner={alice}&currency=GBP",
    "/wallets/{wallet}/scheduled-transfers?",
    "/wallets/{wallet}/scheduled-transfers?state=active",
    "/scheduled-transfers/{schedule}?",
    "/scheduled-transfers/{schedule}/occurrences?",
)


def scans(plan: dict[str, Any]) -> list[str]:
    """List the tables that ``plan`` reads from end to end."""
    mine = [plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" else []
    return mine + [table for inner in plan.get("Plans", []) for table in scans(inner)]


async def watched(service: Service, ask: Callable[[], Awaitable[Any]]) -> list[tuple[str, tuple[Any, ...]]]:
    """Give the statements, with their values, that the service's database is asked while ``ask`` runs."""
    seen: list[tuple[str, tuple[Any, ...]]] = []

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_rest: Any) -> None:
        seen.append((statement, tuple(values)))

    engine = service.app.state.runtime.db.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        await ask()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return [one for one in seen if one[0].lstrip().startswith(("SELECT", "WITH"))]


async def test_no_filter_reads_a_table_from_end_to_end(service: Service, alice: str) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    account = (await service.call("GET", f"/accounts?wallet={wallet}")).json()["items"][0]["id"]
    connection: Any = await asyncpg.connect(service.db.url)
    await connection.execute(FILL)
    await connection.execute("VACUUM ANALYZE")
    found: list[tuple[str, list[str], str]] = []
    for path in PATHS:
        asked = path.format(wallet=wallet, account=account, alice=alice, schedule=SCHEDULE) + "&limit=25"

        async def ask(asked: str = asked) -> Any:
            return await service.call("GET", asked)

        statements = await watched(service, ask)
        assert statements, path
        for statement, values in statements:
            row = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *values)
            read = scans(orjson.loads(row)[0]["Plan"])
            if read:
                found.append((path, read, statement[:400]))

    async def worker() -> None:
        ledger = service.app.state.runtime.ledger
        await carry_out_due(service.app.state.runtime.db, ledger, SystemClock(), 10)
        async with service.app.state.runtime.db.reading() as view:
            await schedules_lag_s(view, datetime.now(UTC))

    looked = await watched(service, worker)
    assert [one for one, _ in looked if "SKIP LOCKED" in one]
    for statement, values in looked:
        row = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *values)
        if scans(orjson.loads(row)[0]["Plan"]):
            found.append(("worker", [], statement[:400]))
    await connection.close()

    assert found == []


HISTORY = """
INSERT INTO transfers
SELECT md5(n::text)::uuid, 'kind', jsonb_build_array(jsonb_build_array(w.id, n, a.id, n, 1, 'GBP', NULL)),
       NULL, NULL, '{}',
       NULL, NULL, at, at
FROM accounts a, accounts w, generate_series(2, 30000) n,
     LATERAL (SELECT timestamptz '2026-01-01 00:00Z' + n * interval '1 minute' AS at) moment
WHERE a.wallet_id IS NOT NULL AND w.code = 'world';
INSERT INTO entries
SELECT a.id, n, 'credit', 'posted', 1, 0, 999 + n, 0, 0, md5(n::text)::uuid, NULL, at, at
FROM accounts a, generate_series(2, 30000) n,
     LATERAL (SELECT timestamptz '2026-01-01 00:00Z' + n * interval '1 minute' AS at) moment
WHERE a.wallet_id IS NOT NULL;
UPDATE accounts SET version = 30000, credits_posted = 30999 WHERE wallet_id IS NOT NULL;
"""


def pages(plan: dict[str, Any]) -> int:
    """Give how many pages of the database ``plan`` looked at."""
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"])


async def test_a_page_of_a_statement_costs_the_same_at_the_beginning_in_the_middle_and_at_the_end(
    service: Service, alice: str
) -> None:
    wallet = await service.wallet(alice, funds=1_000)
    connection: Any = await asyncpg.connect(service.db.url)
    await connection.execute(HISTORY)
    await connection.execute("VACUUM ANALYZE")
    for by in ("recorded", "effective"):
        costs: list[int] = []
        for until in ("2026-01-01T02:00:00Z", "2026-01-11T00:00:00Z", "2027-01-01T00:00:00Z"):
            path = f"/wallets/{wallet}/statement?by={by}&limit=50&to={until}"

            async def ask(path: str = path) -> Any:
                answer = await service.call("GET", path)
                assert len(answer.json()["lines"]) == 50

            cost = 0
            for statement, values in await watched(service, ask):
                row = await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", *values)
                cost += pages(orjson.loads(row)[0]["Plan"])
            costs.append(cost)

        assert max(costs) <= 1.5 * min(costs), (by, costs)
    await connection.close()
