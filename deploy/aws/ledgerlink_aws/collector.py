"""The OTel collector beside each task: traces go to X-Ray, and the few metrics that alarms need to CloudWatch."""

import json
from collections.abc import Sequence
from typing import Any, Final

NAMESPACE_PREFIX: Final = "LedgerLink"
MEMORY_MIB: Final = 192
"""What the collector may take of its task's memory; it refuses before it is there, and ends alone when it passes it."""


def namespace(environment: str) -> str:
    """Give the name under which CloudWatch shows an environment's own metrics."""
    return f"{NAMESPACE_PREFIX}/{environment}"


def collector_config(environment: str, process: str, port: int, watched: Sequence[str], log_group: str) -> str:
    """Give the collector's configuration; JSON is YAML too. A process without ``watched`` metrics is not scraped.

    Each metric costs, so only those that alarms watch are told; the rest stays in `/metrics` for Prometheus.
    """
    configuration: dict[str, Any] = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": "127.0.0.1:4318"}}}},
        "processors": {
            # First in each pipeline, as its manual asks.
            "memory_limiter": {
                "check_interval": "1s",
                "limit_mib": MEMORY_MIB * 3 // 4,
                "spike_limit_mib": MEMORY_MIB // 4,
            },
            "batch": {},
        },
        "exporters": {"awsxray": {}},
        "service": {"pipelines": {"traces": _pipeline("otlp", "awsxray")}},
    }
    if watched:
        configuration["receivers"]["prometheus"] = _scrape(process, port, watched)
        configuration["exporters"]["awsemf"] = {
            "namespace": namespace(environment),
            "log_group_name": log_group,
            "log_stream_name": process,
            "dimension_rollup_option": "NoDimensionRollup",
            # A counter with labels begins with its first event: taken as a base line, that one would never be told.
            "retain_initial_value_of_delta_metric": True,
            "metric_declarations": [
                {"dimensions": [["process"]], "metric_name_selectors": [f"^{each}$" for each in watched]}
            ],
        }
        configuration["service"]["pipelines"]["metrics"] = _pipeline("prometheus", "awsemf")
    return json.dumps(configuration)


def _pipeline(receiver: str, exporter: str) -> dict[str, list[str]]:
    return {"receivers": [receiver], "processors": ["memory_limiter", "batch"], "exporters": [exporter]}


def _scrape(process: str, port: int, watched: Sequence[str]) -> dict[str, Any]:
    """Ask the process beside us for its metrics, and keep those that are watched."""
    return {
        "config": {
            "scrape_configs": [
                {
                    "job_name": process,
                    "scrape_interval": "30s",
                    "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"process": process}}],
                    "metric_relabel_configs": [
                        {"source_labels": ["__name__"], "regex": "|".join(watched), "action": "keep"}
                    ],
                }
            ]
        }
    }
