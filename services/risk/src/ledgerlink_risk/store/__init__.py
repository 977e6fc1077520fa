"""SQL for commands: plain functions on an open transaction, one module per noun."""
