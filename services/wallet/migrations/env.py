"""Alembic's entrance; the kit does the work."""

from ledgerlink_kit.migrations import run_env
from ledgerlink_wallet.tables import METADATA

run_env(METADATA)
