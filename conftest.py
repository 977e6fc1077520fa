"""Every test of the repository sees the throw-away servers and the kit's test fixtures."""

pytest_plugins = ["ledgerlink_stack.pytest_plugin", "ledgerlink_kit.testing.plugin"]
