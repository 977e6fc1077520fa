"""Alembic's environment of the sandbox."""

from ledgerlink_kit.migrations import run_env
from ledgerlink_sandbox.tables import metadata

run_env(metadata)
