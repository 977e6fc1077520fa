"""The double-entry ledger and the wallets on it; the only code that moves money."""
