"""Proves that the list of metrics holds every metric, also one whose kind was imported under another name."""

from pathlib import Path

from exporting import metrics
from exporting.workspace import load
from prometheus_client import REGISTRY

ROOT = Path(__file__).resolve().parent.parent.parent


def test_every_metric_that_a_process_registers_is_in_the_list() -> None:
    for module in sorted({each.module for each in metrics.found()} | {"ledgerlink_wallet.commands.committer"}):
        load(module)
    registered = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in REGISTRY.collect()
        if family.name.startswith(("ledgerlink_", "sandbox_"))
    }
    assert registered == {each.name for each in metrics.found()}
