"""Alembic's entry into the payments service's migrations."""

from ledgerlink_kit.migrations import run_env
from ledgerlink_payments.tables import metadata

run_env(metadata)
