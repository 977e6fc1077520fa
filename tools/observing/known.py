"""Which metrics there are, with their labels: those of our code, of the client library, of Prometheus, of our rules."""

from collections.abc import Mapping
from typing import Final

from exporting import metrics

from observing.promql import OF_TARGETS, gives
from observing.rules import rules

# prometheus_client's process collector, and what Prometheus itself records.
_OF_OTHERS: Final[Mapping[str, frozenset[str]]] = {
    **{
        f"process_{name}": OF_TARGETS
        for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds", "start_time_seconds")
    },
    "up": OF_TARGETS,
    "ALERTS": OF_TARGETS | {"alertname", "alertstate", "severity"},
}
_OF_HISTOGRAMS: Final[Mapping[str, frozenset[str]]] = {
    "_bucket": frozenset({"le"}),
    "_sum": frozenset(),
    "_count": frozenset(),
}


def of_code() -> dict[str, frozenset[str]]:
    """The metrics of our own code, a histogram by its three series."""
    known: dict[str, frozenset[str]] = {}
    for each in metrics.found():
        labels = OF_TARGETS | set(each.labels)
        if each.kind == "histogram":
            known |= {each.name + suffix: labels | more for suffix, more in _OF_HISTOGRAMS.items()}
        else:
            known[each.name] = labels
    return known


def everything() -> dict[str, frozenset[str]]:
    """Every metric that an expression may name; a recorded one has the labels that its rule gives."""
    known = {**of_code(), **_OF_OTHERS}
    for rule in rules():
        if not rule.is_alert:
            known[rule.name] = gives(rule.expression, known.get)
    return known
