"""Writes: one function per verb. Each opens and closes its own transaction."""
