"""Every test of the repository sees the throw-away servers and the kit's test fixtures."""

from __future__ import annotations

from importlib import util

pytest_plugins = ["ledgerlink_stack.pytest_plugin"]
if util.find_spec("ledgerlink_kit.testing"):
    pytest_plugins += ["ledgerlink_kit.testing.plugin"]
