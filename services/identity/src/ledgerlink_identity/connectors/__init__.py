"""Adapters: password hashing, encryption, token signing and mail."""
