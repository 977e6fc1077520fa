"""The law of the ledger: what a command does to the books. No I/O, no clock, no randomness, integers only."""
