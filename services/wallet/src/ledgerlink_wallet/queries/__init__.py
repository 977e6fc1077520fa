"""Reads: SQL straight to the wire's views. No locks, no decisions."""
