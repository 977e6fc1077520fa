"""What risk counts beside the requests."""

from typing import Final

from prometheus_client import Counter, Histogram

decisions: Final = Counter("ledgerlink_risk_decisions_total", "Decisions made", ["kind", "verdict"])
degraded: Final = Counter("ledgerlink_risk_degraded_total", "Decisions made without a part that was late", ["part"])
resolved: Final = Counter("ledgerlink_risk_cases_resolved_total", "Cases resolved", ["resolution"])
seconds: Final = Histogram(
    "ledgerlink_risk_decide_seconds",
    "Time of one decision, its transaction included",
    buckets=(0.001, 0.002, 0.004, 0.008, 0.016, 0.035, 0.07, 0.15, 0.3, 1, 5),
)
