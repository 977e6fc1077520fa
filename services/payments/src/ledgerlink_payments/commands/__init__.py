"""Writes, one function per verb: load, decide, store, record the event. Commands own their transactions."""
