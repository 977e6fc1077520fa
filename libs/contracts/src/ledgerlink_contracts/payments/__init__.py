"""What other services know of payments: its events."""
