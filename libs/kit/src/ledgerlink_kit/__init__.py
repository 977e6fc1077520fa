"""Mechanisms without business words: money, ids, errors, database, events, HTTP."""
