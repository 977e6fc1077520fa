"""Proves that `make compose-check` runs beside a project that is up, and notices a process that is not scraped."""

import json
import re
from typing import Any

import pytest
from compose import CHECK, ROOT, TARGETS, TRACED, unscraped

from ledgerlink_stack.layout import SERVICES

ADDRESSES = [address for group in json.loads(TARGETS.read_text()) for address in group["targets"]]


def answer(*, down: str = "", without: str = "") -> Any:
    """Prometheus' answer about Compose's targets."""
    targets = [
        {
            "labels": {"instance": address},
            "health": "down" if address == down else "up",
            "lastError": "connection refused" if address == down else "",
        }
        for address in ADDRESSES
        if address != without
    ]
    return {"status": "success", "data": {"activeTargets": targets}}


def test_everything_that_is_published_has_a_port_of_its_own_in_the_check() -> None:
    published = dict(re.findall(r"127\.0\.0\.1:\$\{(\w+):-(\d+)\}:", (ROOT / "compose.yaml").read_text()))
    assert len(published) > 3
    assert published.keys() <= CHECK.keys()
    assert not set(published.values()) & set(CHECK.values())


def test_when_all_are_scraped_nothing_is_wrong() -> None:
    assert unscraped(answer()) == ""


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_process_that_is_down_or_forgotten_is_named(address: str) -> None:
    assert f"not up: {address}: connection refused" in unscraped(answer(down=address))
    assert f"{len(ADDRESSES) - 1} targets of {len(ADDRESSES)}" in unscraped(answer(without=address))


def test_traces_are_wanted_of_every_service() -> None:
    assert {service.name for service in SERVICES} == TRACED
