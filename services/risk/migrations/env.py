"""Alembic's entrance; the kit does the work."""

from ledgerlink_kit.migrations import run_env
from ledgerlink_risk.tables import metadata

run_env(metadata)
