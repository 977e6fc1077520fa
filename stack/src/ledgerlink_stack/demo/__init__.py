"""The demo: real card purchases, replayed through the gateway, and books that an outsider recomputes."""
