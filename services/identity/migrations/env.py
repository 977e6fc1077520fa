"""Alembic's entrance; the kit does the work."""

from ledgerlink_identity.tables import METADATA
from ledgerlink_kit.migrations import run_env

run_env(METADATA)
