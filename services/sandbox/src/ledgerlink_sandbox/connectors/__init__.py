"""Adapters to the outside: the listener whom the provider tells its events."""
