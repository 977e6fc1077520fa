"""What risk shows: SQL straight to response rows. No locks, no decisions."""
