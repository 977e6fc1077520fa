"""`ledgerlink trace`: a payment's way through all processes, received by OTLP and shown as a tree."""
