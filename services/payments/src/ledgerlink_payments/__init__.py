"""Payments: from an intent to settled money, through any provider, without losing or doubling a cent."""

__version__ = "0.1.0"
