"""Risk over HTTP: one module per noun. No rules and no SQL here."""
