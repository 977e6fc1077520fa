"""Adapters to the outside: upstream services over HTTP/1.1, and Redis for the rate limits."""
