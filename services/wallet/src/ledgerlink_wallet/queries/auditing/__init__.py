"""What the audit looks at, one module per part of the books; `ledgerlink_wallet.queries.audit` runs them."""
