"""A stand-in card provider: its own process, its own store, published test tokens."""
