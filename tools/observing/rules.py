"""The rules and the tests of the rules, as they lie in deploy/observability/prometheus."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "deploy" / "observability" / "prometheus"
RUNBOOK_ADDRESS = "https://ledgerlink.dev/runbooks/"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a recording (``severity`` is empty) or an alert."""

    name: str
    expression: str
    is_alert: bool
    severity: str
    annotations: dict[str, str]

    @property
    def runbook(self) -> Path:
        """The page that the alert leads to."""
        return ROOT / "docs" / "runbooks" / f"{self.annotations['runbook_url'].removeprefix(RUNBOOK_ADDRESS)}.md"


def rules() -> Iterator[Rule]:
    """Every rule, in the order of the files."""
    for file in sorted(FOLDER.glob("rules/*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                yield Rule(
                    name=rule.get("alert") or rule["record"],
                    expression=rule["expr"],
                    is_alert="alert" in rule,
                    severity=rule.get("labels", {}).get("severity", ""),
                    annotations=rule.get("annotations", {}),
                )


def alert_tests() -> Iterator[tuple[str, bool]]:
    """Each alert that a rule test asks for, and whether the test expects it to fire."""
    for test in _tests():
        for expected in test["alert_rule_test"]:
            yield expected["alertname"], bool(expected.get("exp_alerts"))


def series_of_tests() -> Iterator[str]:
    """Each series that a rule test makes up."""
    for test in _tests():
        for series in test["input_series"]:
            yield series["series"]


def _tests() -> Iterator[dict[str, Any]]:
    for file in sorted(FOLDER.glob("tests/*.yml")):
        yield from yaml.safe_load(file.read_text())["tests"]
