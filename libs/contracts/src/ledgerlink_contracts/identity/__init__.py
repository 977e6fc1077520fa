"""What the others know of identity."""
