"""HTTP in Stripe's dialect: shapes, schemas and who may call. No rules, no SQL."""
