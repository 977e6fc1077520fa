"""A process of its own that carries out scheduled transfers, a few at a time, and tells each step on a line.

``python -m services.wallet.tests.command.scheduling URL MOMENT`` works until nothing is due by MOMENT (ISO 8601).
"""

import asyncio
import sys
from datetime import datetime
from functools import partial

from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_kit.testing import ManualClock
from ledgerlink_wallet.commands.committer import Committer
from ledgerlink_wallet.commands.occurrences import carry_out_due
from ledgerlink_wallet.runtime import Owners
from ledgerlink_wallet.store import open_pool

AT_ONCE = 7


async def main(url: str, moment: str) -> None:
    db = Database(url, application_name="scheduling")
    committer = Committer(partial(open_pool, url, application_name="scheduling", size=2), SystemClock(), Owners())
    await committer.start()
    while done := await carry_out_due(db, committer, ManualClock(datetime.fromisoformat(moment)), AT_ONCE):
        sys.stdout.write(f"done {done}\n")
        sys.stdout.flush()
    await committer.stop()
    await db.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
