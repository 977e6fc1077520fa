"""What a trace looks like, as `ledgerlink_stack.traces.tree.outline` writes it: a payment, a declined one, a review."""

PAID = """
gateway · server · POST /v1 · 200
  gateway · client · EVALSHA
  gateway · client · POST · 200 · payments
    payments · server · POST /v1/payment_intents · 200
      payments · internal · create_intent
        payments · client · GET · 200 · wallet
          wallet · server · GET /wallets/{wallet} · 200
            wallet · client · SELECT wallets
            wallet · client · SELECT accounts
        payments · client · INSERT idempotency_keys
        payments · client · INSERT intents
        payments · client · INSERT attempts
        payments · client · COMMIT
        payments · client · POST · 201 · risk
          risk · server · POST /decisions · 201
            risk · internal · decide
              risk · client · SELECT
              risk · client · SELECT policies
              risk · client · INSERT events
              risk · client · COMMIT
        payments · client · UPDATE attempts
        payments · client · COMMIT
        payments · client · POST · 201 · sandbox
          sandbox · server · POST /authorizations · 201
            sandbox · client · INSERT authorizations
            sandbox · client · INSERT events
            sandbox · client · COMMIT
            sandbox · internal · send_event
              sandbox · client · POST · 200 · listener
                payments · server · POST /v1/connectors/{connector}/webhook · 200
                  payments · internal · hear_provider
                    payments · client · UPDATE attempts
                    payments · client · SELECT attempts
                    payments · client · INSERT provider_events
                    payments · client · COMMIT
        payments · client · POST · 201 · wallet
          wallet · server · POST /transfers · 201
            wallet · internal · post_transfer
              wallet · internal · await commit
                wallet · internal · commit batch
                  wallet · client · SELECT accounts
                  wallet · client · UPDATE accounts
                  wallet · client · COMMIT
                wallet-worker · producer · send events:wallet · wallet.transfer.posted
        payments · client · UPDATE intents
        payments · client · UPDATE attempts
        payments · client · INSERT events
        payments · client · INSERT outbox
        payments · client · UPDATE idempotency_keys
        payments · client · COMMIT
        payments-worker · internal · deliver_webhook
          payments-worker · client · POST · 200 · webhook endpoint
          payments-worker · client · UPDATE webhook_endpoints
          payments-worker · client · UPDATE webhook_deliveries
          payments-worker · client · INSERT webhook_tries
          payments-worker · client · COMMIT
        payments-worker · producer · send events:payments · payments.intent.succeeded
"""

DECLINED = """
gateway · server · POST /v1 · 402
  gateway · client · EVALSHA
  gateway · client · POST · 402 · payments · ERROR
    payments · server · POST /v1/payment_intents · 402
      payments · internal · create_intent
        payments · client · GET · 200 · wallet
          wallet · server · GET /wallets/{wallet} · 200
            wallet · client · SELECT wallets
            wallet · client · SELECT accounts
        payments · client · INSERT idempotency_keys
        payments · client · INSERT intents
        payments · client · INSERT attempts
        payments · client · COMMIT
        payments · client · POST · 201 · risk
          risk · server · POST /decisions · 201
            risk · internal · decide
              risk · client · SELECT
              risk · client · SELECT policies
              risk · client · INSERT events
              risk · client · COMMIT
        payments · client · UPDATE attempts
        payments · client · COMMIT
        payments · client · POST · 201 · sandbox
          sandbox · server · POST /authorizations · 201
            sandbox · client · INSERT authorizations
            sandbox · client · INSERT events
            sandbox · client · COMMIT
            sandbox · internal · send_event
              sandbox · client · POST · 200 · listener
                payments · server · POST /v1/connectors/{connector}/webhook · 200
                  payments · internal · hear_provider
                    payments · client · UPDATE attempts
                    payments · client · SELECT attempts
                    payments · client · INSERT provider_events
                    payments · client · COMMIT
        payments · client · UPDATE intents
        payments · client · UPDATE attempts
        payments · client · INSERT events
        payments · client · INSERT outbox
        payments · client · UPDATE idempotency_keys
        payments · client · COMMIT
        payments-worker · internal · deliver_webhook
          payments-worker · client · POST · 200 · webhook endpoint
          payments-worker · client · UPDATE webhook_endpoints
          payments-worker · client · UPDATE webhook_deliveries
          payments-worker · client · INSERT webhook_tries
          payments-worker · client · COMMIT
        payments-worker · producer · send events:payments · payments.intent.failed
"""

RESOLVED = """
gateway · server · POST /api/v1/risk/cases · 200
  gateway · client · EVALSHA
  gateway · client · POST · 200 · risk
    risk · server · POST /cases/{case}/resolve · 200
      risk · internal · resolve case
        risk · client · INSERT idempotency_keys
        risk · client · SAVEPOINT
        risk · client · SELECT cases
        risk · client · UPDATE cases
        risk · client · INSERT outbox
        risk · client · RELEASE
        risk · client · UPDATE idempotency_keys
        risk · client · COMMIT
        risk-worker · producer · send events:risk · risk.case.resolved
          payments-worker · consumer · process events:risk · risk.case.resolved
            payments-worker · client · INSERT inbox
            payments-worker · client · UPDATE attempts
            payments-worker · client · COMMIT
"""
