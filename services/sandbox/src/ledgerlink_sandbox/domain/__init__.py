"""The law of the stand-in provider: cards, authorizations, refunds, payouts, faults. Pure; no I/O, no clock."""
