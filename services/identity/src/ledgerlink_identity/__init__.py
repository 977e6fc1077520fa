"""Users, credentials, tokens, sessions, roles."""
