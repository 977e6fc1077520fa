"""The law of identity: pure decisions on users, passwords, sessions, keys and the audit chain."""
