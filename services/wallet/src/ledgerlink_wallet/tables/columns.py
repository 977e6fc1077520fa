"""What the tables are made of."""

from typing import Final

import sqlalchemy as sa

from ledgerlink_kit.migrations import kit_tables, metadata_for_service
from ledgerlink_kit.money import MAX_MINOR

METADATA: Final = metadata_for_service()
kit_tables(METADATA)

MOMENT: Final = sa.DateTime(timezone=True)


def amount(column: str, least: int = 0) -> sa.CheckConstraint:
    """Hold ``column`` between ``least`` and the largest amount, in minor units."""
    return sa.CheckConstraint(f"{column} BETWEEN {least} AND {MAX_MINOR}", name=column)
