"""Intents, attempts, refunds, payouts, connectors and webhooks."""
