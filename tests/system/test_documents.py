"""Proves that README's first payment and the tutorial do what they say: every block is run, every output compared."""

import os
import shutil
from pathlib import Path

import pytest
from documents.blocks import Step, execute, steps
from documents.markdown import read
from documents.tree import ROOT

from tests.crash.own_stack import OwnStack

NEEDED = ("bash", "curl", "openssl", "make")
USUAL = "http://localhost:8080"
# What a `make test ARGS=…` around us would tell the `make up` of the tutorial.
OF_MAKE = {"MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL", "ARGS"}

pytestmark = [
    pytest.mark.system,
    pytest.mark.xdist_group("stack"),
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        any(shutil.which(name) is None for name in NEEDED), reason=f"the documents' reader has {', '.join(NEEDED)}"
    ),
]


def run(stack: OwnStack, every: list[Step]) -> int:
    """Run blocks against the stack of all journeys, in the repository's folder, as a reader does."""
    python = Path(ROOT / ".venv" / "bin" / "python").parent
    environment = {name: value for name, value in stack.environment.items() if name not in OF_MAKE}
    environment["PATH"] = f"{os.environ['PATH']}{os.pathsep}{python}"
    return execute(every, ROOT, environment, {USUAL: stack.url}, seconds=400)


def test_the_first_payment_of_the_readme_is_what_it_shows(stack: OwnStack) -> None:
    text = (ROOT / "README.md").read_text()
    lines = text.splitlines()
    section = lines.index("## The first payment") + 1, lines.index("## What there is") + 1
    every = steps(read(text), *section)
    assert len(every) == 2
    assert run(stack, every) == 2


def test_the_tutorial_is_what_it_shows(stack: OwnStack) -> None:
    every = steps(read((ROOT / "docs" / "tutorial.md").read_text()))
    assert len(every) >= 20
    assert run(stack, every) >= 15
