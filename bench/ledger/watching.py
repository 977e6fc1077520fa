"""What goes on beside an audit: a writer that commits one transfer after the other, and the memory of its backends."""

import asyncio
import threading
import time
from functools import partial
from typing import Any, Self

import psutil
import psycopg

from ledgerlink_contracts.ids import TransferId
from ledgerlink_contracts.wallet.models import TransferOrder
from ledgerlink_kit.clock import SystemClock
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.commands.ledger import transfer_from
from ledgerlink_wallet.runtime import Owners
from ledgerlink_wallet.store import open_pool

_EVERY_S = 0.1
_SAMPLE_S = 0.25


class Writer:
    """Commits ten transfers a second over two accounts of its own, in a thread of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._write()))
        self._took: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _write(self) -> None:
        committer = Committer(
            partial(open_pool, self._url, application_name="bench-writer", size=2), SystemClock(), Owners()
        )
        await committer.start()
        while not self._stop.is_set():
            posting = {"debit": "merchant:w0", "credit": "merchant:w1", "amount_minor": 1, "currency": "GBP"}
            order = TransferOrder.model_validate({"kind": "bench.meanwhile", "postings": [posting]})
            started = time.monotonic()
            answer = await committer.submit(
                transfer_from(order, TransferId.derive("meanwhile", str(len(self._took))), None)
            )
            assert answer.refusal is None, answer.body
            self._took.append(time.monotonic() - started)
            await asyncio.sleep(_EVERY_S)
        await committer.stop()

    def said(self) -> dict[str, Any]:
        """Give how many commits there were, and how long they took."""
        took = sorted(self._took)
        return {
            "commits": len(took),
            "p50_ms": round(took[len(took) // 2] * 1e3, 1),
            "slowest_ms": round(took[-1] * 1e3, 1),
        }


class Memory:
    """The most memory that the audit's backend had, and what it wrote to temporary files meanwhile."""

    def __init__(self, superuser: str) -> None:
        self._superuser = superuser
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._peak = 0
        self._temp = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        with psycopg.connect(self._superuser, autocommit=True) as connection:
            before = self._temp_bytes(connection)
            while not self._stop.wait(_SAMPLE_S):
                pids = connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'ledgerlink-audit'"
                ).fetchall()
                for (pid,) in pids:
                    try:
                        self._peak = max(self._peak, psutil.Process(pid).memory_info().rss)
                    except psutil.NoSuchProcess:
                        continue
            self._temp = self._temp_bytes(connection) - before

    @staticmethod
    def _temp_bytes(connection: psycopg.Connection[Any]) -> int:
        found = connection.execute(
            "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
        assert found is not None
        return int(found[0])

    def said(self) -> dict[str, int]:
        """Give both in MiB; resident memory counts the shared buffers that the backend has touched."""
        return {"backend_rss_mib": round(self._peak / 2**20), "temp_mib": round(self._temp / 2**20)}
