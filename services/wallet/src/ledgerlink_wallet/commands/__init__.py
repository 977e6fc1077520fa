"""Writes: from the wire's orders to the ledger's commands, through the committer, to answers."""
