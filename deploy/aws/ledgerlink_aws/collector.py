"""The OTel collector beside each task: traces go to X-Ray, and the few metrics that alarms need to CloudWatch."""

import json
from typing import Final

NAMESPACE_PREFIX: Final = "LedgerLink"
WATCHED: Final = ("ledgerlink_outbox_lag_seconds", "ledgerlink_invariant_broken", "ledgerlink_inbox_dead_total")
"""Metrics of ours that CloudWatch is told; each costs, so the rest stays in `/metrics` for Prometheus."""


def namespace(environment: str) -> str:
    """Give the name under which CloudWatch shows an environment's own metrics."""
    return f"{NAMESPACE_PREFIX}/{environment}"


def collector_config(environment: str, process: str, port: int, log_group: str) -> str:
    """Give the collector's configuration; JSON is YAML too."""
    return json.dumps(
        {
            "receivers": {
                "otlp": {"protocols": {"http": {"endpoint": "127.0.0.1:4318"}}},
                "prometheus": {
                    "config": {
                        "scrape_configs": [
                            {
                                "job_name": process,
                                "scrape_interval": "30s",
                                "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": {"process": process}}],
                                "metric_relabel_configs": [
                                    {"source_labels": ["__name__"], "regex": "|".join(WATCHED), "action": "keep"}
                                ],
                            }
                        ]
                    }
                },
            },
            "processors": {"batch": {}},
            "exporters": {
                "awsxray": {},
                "awsemf": {
                    "namespace": namespace(environment),
                    "log_group_name": log_group,
                    "log_stream_name": process,
                    "dimension_rollup_option": "NoDimensionRollup",
                    "metric_declarations": [{"dimensions": [["process"]], "metric_name_selectors": list(WATCHED)}],
                },
            },
            "extensions": {"health_check": {"endpoint": "127.0.0.1:13133"}},
            "service": {
                "extensions": ["health_check"],
                "pipelines": {
                    "traces": {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["awsxray"]},
                    "metrics": {"receivers": ["prometheus"], "processors": ["batch"], "exporters": ["awsemf"]},
                },
            },
        }
    )
