"""The wallet's own counters; the committer has those of the ledger."""

from prometheus_client import Counter

credits_posted = Counter("ledgerlink_wallet_credits_total", "Credits posted to wallets by their owners", ["currency"])
debits_posted = Counter("ledgerlink_wallet_debits_total", "Debits posted to wallets by their owners", ["currency"])
import_lines = Counter("ledgerlink_wallet_import_lines_total", "Lines of imports that were dealt with", ["outcome"])
