"""Proves that the workflows keep the house's laws, that each law can be broken, and that docs/pipelines.md has all."""

import re
from pathlib import Path

import pytest
import yaml
from workflows import FOLDER, ROOT, broken_laws, disagreements, findings, read, stand_ins, targets

PIN = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
GOOD = f"""
permissions: {{}}
concurrency: one
jobs:
  check:
    timeout-minutes: 5
    permissions:
      contents: read
    steps:
      - uses: {PIN}
        with:
          persist-credentials: false
      - run: make check
      - run: make test QUICK=1
  again:
    permissions:
      contents: read
    uses: $/.github/workflows/deploy.yml
"""


def complaints(text: str) -> list[str]:
    """What the laws say about a workflow, in a house with two targets and one workflow to call."""
    return list(findings("a.yml", text, {"check", "test"}, {"deploy.yml"}))


def test_the_workflows_of_this_repository_keep_every_law() -> None:
    assert broken_laws() == []


def test_there_are_workflows_to_hold_to_the_laws() -> None:
    assert {"ci.yml", "nightly.yml", "docs.yml", "release.yml", "deploy.yml", "codeql.yml"} == set(read())


def test_a_good_workflow_breaks_no_law() -> None:
    assert complaints(GOOD) == []


@pytest.mark.parametrize(
    ("good", "bad", "says"),
    [
        ("make check", "make chekc", "no target chekc"),
        ("make check", "make check test lint", "no target lint"),
        ("make check", "make check && curl example.org", "no make target"),
        ("make check", "echo hello", "no make target"),
        ("make check", "make check ARGS='$(id)'", "no make target"),
        ("make check", "make check SUITE=${{ matrix.suite }}", "no make target"),
        ("make check", "|\n          make check\n          make test", "no make target"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "pin the action"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@3d3c42e5aac5ba80 # v7.0.1", "pin the action"),
        (" # v7.0.1", "", "pin the action"),
        ("    timeout-minutes: 5\n", "", "timeout-minutes"),
        ("timeout-minutes: 5", "timeout-minutes: 999", "timeout-minutes"),
        ("    permissions:\n      contents: read\n    steps", "    steps", "by `permissions`"),
        ("permissions: {}", "permissions: read-all", "must be {}"),
        ("concurrency: one", "", "concurrency"),
        ("persist-credentials: false", "fetch-depth: 0", "persist-credentials"),
        ("workflows/deploy.yml", "workflows/gone.yml", "no workflow of ours"),
    ],
)
def test_each_law_can_be_broken(good: str, bad: str, says: str) -> None:
    assert good in GOOD
    found = complaints(GOOD.replace(good, bad, 1))
    assert len(found) == 1, found
    assert says in found[0]


def test_one_action_at_two_commits_is_noticed() -> None:
    other = PIN.replace("3d3c", "aaaa")
    texts = {"a.yml": f"uses: {PIN}", "b.yml": f"uses: {other}", "c.yml": f"uses: {PIN}"}
    (found,) = disagreements(texts)
    assert found.startswith("actions/checkout is pinned to 3d3c")
    assert list(disagreements({"a.yml": f"uses: {PIN}", "c.yml": f"uses: {PIN}"})) == []


def test_targets_are_those_that_make_knows() -> None:
    known = targets("SHELL := /bin/sh\n.PHONY: a\na: b ## text\n\t@c: d\ne-f:\n")
    assert known == {"a", "e-f"}


def test_a_rehearsal_takes_an_empty_action_for_each_of_others(tmp_path: Path) -> None:
    text = f"uses: {PIN}\nuses: {PIN.replace('checkout@', 'checkout/sub@')}\nuses: $/.github/workflows/deploy.yml\n"
    arguments = stand_ins(tmp_path, text)
    place = tmp_path / "actions-checkout"
    assert set(arguments) == {"--local-repository", f"actions/checkout@{PIN[17:57]}={place}"}
    for file in (place / "action.yml", place / "sub" / "action.yml"):
        assert yaml.safe_load(file.read_text())["runs"]["steps"] == [{"run": "true", "shell": "sh"}]


def test_the_page_about_pipelines_names_every_workflow_and_every_make_line() -> None:
    page = (ROOT / "docs" / "pipelines.md").read_text()
    for name, text in read().items():
        assert f"`{name}`" in page, name
        for line in re.findall(r"run: (make [^#\n]*)", text):
            assert f"`{line.strip()}`" in page, f"{name}: {line}"


def test_a_person_can_run_every_step_of_the_whole_proof_by_the_ci_too() -> None:
    proof = re.findall(r"(?m)^step (\S+)", (ROOT / ".ci" / "run").read_text())
    ci = (FOLDER / "ci.yml").read_text()
    missing = [target for target in proof if target != "bootstrap" and f"make {target}" not in ci]
    assert proof
    assert missing == []
