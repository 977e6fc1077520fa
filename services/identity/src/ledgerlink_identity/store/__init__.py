"""SQL for commands: plain functions that take the transaction first, one file per noun."""
