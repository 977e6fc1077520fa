"""HTTP: one module per noun. No rules, no SQL."""
