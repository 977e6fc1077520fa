"""What the gateway counts beside requests (the kit counts those by route): refusals, its upstreams, its limits."""

from typing import Final

from prometheus_client import Counter, Gauge

REFUSALS: Final = Counter(
    "ledgerlink_gateway_refusals_total", "Requests that the gateway itself refused or lost", ["route", "reason"]
)
REPEATS: Final = Counter(
    "ledgerlink_gateway_upstream_repeats_total", "Requests sent again after a dead pooled connection", ["upstream"]
)
IN_FLIGHT: Final = Gauge("ledgerlink_gateway_upstream_in_flight", "Requests in flight to a service", ["upstream"])
CIRCUIT: Final = Gauge(
    "ledgerlink_gateway_upstream_circuit", "A service's circuit: 0 closed, 1 half-open, 2 open", ["upstream"]
)
LIMITS_WITHOUT_REDIS: Final = Counter(
    "ledgerlink_gateway_limits_without_redis_total", "Requests whose limits were decided without Redis"
)
