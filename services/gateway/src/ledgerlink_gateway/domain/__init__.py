"""The edge's law: routes, limits, header rules and card data. Pure functions; no I/O, no clock, no await."""
