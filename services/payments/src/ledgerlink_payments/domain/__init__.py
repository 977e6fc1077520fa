"""The law of payments: frozen dataclasses, enums and pure functions. No I/O, no clock, no randomness, no await."""
