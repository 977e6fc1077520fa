"""What other services know of risk: the decision order and its answer, cases, events, a client and a fake."""
