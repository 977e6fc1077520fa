"""Users, credentials, tokens, sessions, roles."""

__version__ = "0.1.0"
