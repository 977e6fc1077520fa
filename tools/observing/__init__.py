"""Prometheus and Grafana as code: what rules and panels name, and how they are tried on a running stack."""
