"""The wallet's own counters; the committer has those of the ledger."""

from prometheus_client import Counter, Gauge

credits_posted = Counter("ledgerlink_wallet_credits_total", "Credits posted to wallets by their owners", ["currency"])
debits_posted = Counter("ledgerlink_wallet_debits_total", "Debits posted to wallets by their owners", ["currency"])
import_lines = Counter("ledgerlink_wallet_import_lines_total", "Lines of imports that were dealt with", ["outcome"])
scheduled_occurrences = Counter(
    "ledgerlink_wallet_scheduled_occurrences_total",
    "Scheduled transfers by what came of a try: executed, retried, failed, skipped",
    ["outcome"],
)
schedules_lag = Gauge(
    "ledgerlink_wallet_schedules_lag_seconds", "Age of the oldest scheduled transfer that is due and not tried"
)
