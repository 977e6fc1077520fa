"""The templates, made once for all tests of this folder, and a client for what stands in them."""

import json
from pathlib import Path
from typing import Any

import pytest

from app import synthesize

Resources = dict[str, dict[str, Any]]


class Template:
    """One stack's template: its resources by type."""

    def __init__(self, text: str) -> None:
        """Read the JSON."""
        self.content: dict[str, Any] = json.loads(text)
        self.resources: Resources = self.content["Resources"]

    def of(self, kind: str) -> Resources:
        """Give the properties of every resource of one type."""
        return {name: each["Properties"] for name, each in self.resources.items() if each["Type"] == kind}


@pytest.fixture(scope="session")
def findings_and_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    folder = tmp_path_factory.mktemp("templates")
    return synthesize(str(folder)), folder


@pytest.fixture(scope="session")
def findings(findings_and_folder: tuple[list[str], Path]) -> list[str]:
    return findings_and_folder[0]


@pytest.fixture(scope="session")
def templates(findings_and_folder: tuple[list[str], Path]) -> dict[str, Template]:
    folder = findings_and_folder[1]
    return {
        name: Template((folder / f"ledgerlink-{name}.template.json").read_text())
        for name in ("registry", "dev", "prod")
    }


@pytest.fixture(scope="session", params=["dev", "prod"])
def template(request: pytest.FixtureRequest, templates: dict[str, Template]) -> Template:
    return templates[request.param]
