"""The provider's HTTP interface: one module per noun. JSON only; every answer that is an error is a problem."""
