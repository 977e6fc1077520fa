"""What other services know of the ledger: its orders and views, its chart of accounts, its refusals and its events."""
