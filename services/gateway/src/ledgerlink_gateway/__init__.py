"""The edge: tokens, limits, routing, aggregation."""
