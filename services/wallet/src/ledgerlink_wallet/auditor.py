"""The audit as a task that ends (`python -m ledgerlink_wallet.auditor`), for a database that nothing works on.

It writes nothing. It prints its report as JSON; its exit code is 0 when the books are whole and 1 when they are not.
"""

import asyncio
import sys
from typing import Final

from ledgerlink_contracts.wallet.reports import AuditView
from ledgerlink_kit.clock import SystemClock
from ledgerlink_kit.db import Database
from ledgerlink_wallet.queries.audit import audit, checks_for
from ledgerlink_wallet.runtime import WalletSettings

WHOLE: Final = 0
BROKEN: Final = 1


async def look(settings: WalletSettings) -> AuditView:
    """Make every check, the checkpoints' signatures included, on the database that ``settings`` name."""
    db = Database(settings.database_url.get_secret_value(), application_name="wallet-auditor", pool_size=2)
    try:
        return await audit(db, SystemClock(), checks_for(settings.signer().key))
    finally:
        await db.close()


def tell(view: AuditView) -> int:
    """Print the report; gives the exit code."""
    sys.stdout.write(f"{view.model_dump_json(indent=1)}\n")
    return WHOLE if view.clean else BROKEN


if __name__ == "__main__":
    settings = WalletSettings()  # pyright: ignore[reportCallIssue] - the environment gives the rest
    sys.exit(tell(asyncio.run(look(settings))))
