"""Proves that every house rule finds its breach, passes the neighbor that keeps it, and bends only for a reason."""

from dataclasses import dataclass

import pytest

from ledgerlink_tidy.cli import inspect
from ledgerlink_tidy.rules import RULES
from ledgerlink_tidy.source import Source

SERVICE = "services/wallet/src/ledgerlink_wallet/commands.py"
DOMAIN = "services/wallet/src/ledgerlink_wallet/domain/apply.py"
API = "services/wallet/src/ledgerlink_wallet/api/wallets.py"
MIGRATION = "services/wallet/migrations/versions/0001_ledger.py"
TEST = "services/wallet/tests/domain/test_apply.py"
LONG_BODY = "    x = 1\n" * 69
PEM = "-----BEGIN PRIVATE" + " KEY-----\nMIIEvQIBADANBgkqhkiG9w0B"  # in two pieces, so that this file is clean
DOC = '"""Proves it."""\n'


@dataclass(frozen=True)
class Case:
    """One rule with a text that breaks it at ``line`` and one that keeps it."""

    rule: str
    path: str
    breaks: str
    keeps: str
    line: int = 1
    kept_at: str = ""


CASES = [
    Case("long-function", SERVICE, f"def post():\n{LONG_BODY}", f"def post():\n{LONG_BODY[10:]}"),
    Case("long-function", TEST, DOC + f"async def feed():\n{LONG_BODY}", DOC, line=2),
    Case("long-function", SERVICE, f"def post():\n{LONG_BODY}", f"def upgrade():\n{LONG_BODY}", kept_at=MIGRATION),
    Case("long-file", SERVICE, "x = f()\n" * 500, "x = f()\n" * 499),
    Case("long-file", SERVICE, "x = f()\n" * 500, "TABLE = {\n" + "    1: 'a',\n" * 600 + "}\n"),
    Case("vague-name", "services/wallet/src/ledgerlink_wallet/utils.py", "", "", kept_at=SERVICE),
    Case("vague-name", "services/wallet/src/ledgerlink_wallet/common/x.py", "", "", kept_at="x/database.py"),
    Case("vague-name", "libs/kit/src/ledgerlink_kit/test_helpers.py", "", "", kept_at="x/basement.py"),
    Case("float-money", SERVICE, "def f(amount: float): ...", "def f(amount: int): ..."),
    Case(
        "float-money", SERVICE, "class A:\n    fee_minor: float | None", "class A:\n    fee_minor: int | None", line=2
    ),
    Case("float-money", SERVICE, "x = float(row.amount_minor)", "x = float(seconds)"),
    Case("float-money", SERVICE, "x = balance / 2", "x = balance // 2"),
    Case("float-money", SERVICE, "x = amount_minor * 1.2", "x = amount_minor * 12"),
    Case("impure-domain", DOMAIN, "import random", "import decimal"),
    Case("impure-domain", DOMAIN, "x = datetime.now(UTC)", "x = now"),
    Case("impure-domain", DOMAIN, "x = dt.datetime.now(UTC)", "x = datetime(2026, 1, 1)"),
    Case("impure-domain", DOMAIN, "x = uuid4()", "x = UUID(int=1)"),
    Case("impure-domain", DOMAIN, "async def f(): ...", "def f(): ..."),
    Case("impure-domain", DOMAIN, "import time", "import time", kept_at=SERVICE),
    Case("stray-depends", SERVICE, "from fastapi import Depends", "from fastapi import Depends", kept_at=API),
    Case(
        "resource-at-import",
        SERVICE,
        "engine = create_async_engine(url)",
        "def f():\n    return create_async_engine(url)",
    ),
    Case(
        "resource-at-import",
        SERVICE,
        "class A:\n    r = redis.Redis()",
        "if __name__ == '__main__':\n    create_app()",
        line=2,
    ),
    Case("stray-http", SERVICE, "import httpx", "from ledgerlink_kit.http_client import HttpClient"),
    Case(
        "stray-http",
        SERVICE,
        "from requests import get",
        "import httpx",
        kept_at=SERVICE.replace("commands", "connectors/card"),
    ),
    Case(
        "swallowed-error",
        SERVICE,
        "try:\n    f()\nexcept Exception:\n    pass",
        "try:\n    f()\nexcept KeyError:\n    pass",
        line=3,
    ),
    Case(
        "swallowed-error",
        SERVICE,
        "try:\n    f()\nexcept:\n    ...",
        "try:\n    f()\nexcept Exception:\n    log()\n    raise",
        line=3,
    ),
    Case("swallowed-error", SERVICE, "with suppress(Exception):\n    f()", "with suppress(KeyError):\n    f()"),
    Case("silent-test-file", TEST, "x = 1", DOC),
    Case(
        "terse-test-name",
        TEST,
        DOC + "def test_debit():\n    assert f()",
        DOC + "def test_a_debit_is_refused():\n    assert f()",
        line=2,
    ),
    Case(
        "test-without-assert",
        TEST,
        DOC + "def test_a_debit_is_refused():\n    f()",
        DOC + "def test_a_debit_is_refused():\n    assert f()",
        line=2,
    ),
    Case(
        "test-without-assert",
        TEST,
        DOC + "async def test_a_debit_is_refused():\n    f()",
        DOC + "def test_a_debit_is_refused():\n    assert_refused(f)",
        line=2,
    ),
    Case(
        "test-without-assert",
        TEST,
        DOC + "def test_a_debit_is_refused():\n    f()",
        DOC + "def f():\n    assert 1\ndef test_a_debit_is_refused():\n    f()",
        line=2,
    ),
    Case(
        "test-without-assert",
        TEST,
        DOC + "def test_a_debit_is_refused():\n    f()",
        DOC + "def test_a_debit_is_refused():\n    with pytest.raises(X):\n        f()",
        line=2,
    ),
    Case("patched-code", TEST, DOC + "from unittest.mock import patch", DOC, line=2),
    Case("patched-code", TEST, DOC + "monkeypatch.setattr(a, 'b', 1)", DOC + "monkeypatch.setenv('A', '1')", line=2),
    Case("package-host", "Makefile", "pip install -i https://pypi" + ".org/simple x", "pip install x"),
    Case("package-host", "package-lock.json", "https://registry.npmjs" + ".org/x.tgz", "x"),
    Case("machine-path", "README.md", "cd /wo" + "rk/thing", "cd work/thing"),
    Case("machine-path", "docs/x.md", "see /home" + "/anna/ledgerlink", "see /home/app/x and $HOME/anna/x"),
    Case("tracked-secret", "notes.txt", PEM, "-----BEGIN PUBLIC KEY-----"),
    Case("tracked-secret", "x.py", "KEY = 'AKIA" + "ABCDEFGHIJKLMNOP'", "KEY = 'AKIA'"),
    Case("tracked-secret", ".env", "A=1", "", kept_at=".env.example"),
    Case("tracked-secret", ".env.example", "WALLET_CLIENT_SECRET=hunter2", "WALLET_CLIENT_SECRET="),
]


def findings_of(rule: str, path: str, text: str) -> list[int]:
    """Lines at which one rule fires."""
    return [finding.line for finding in inspect([Source(path, text)]) if finding.rule == rule]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.rule}-{CASES.index(case)}")
def test_the_rule_finds_its_breach_and_leaves_the_clean_neighbor_alone(case: Case) -> None:
    assert findings_of(case.rule, case.path, case.breaks) == [case.line]
    assert findings_of(case.rule, case.kept_at or case.path, case.keeps) == []


def test_every_rule_has_a_case_that_shows_it_failing() -> None:
    assert {case.rule for case in CASES} == {rule.name for rule in RULES}


def test_a_breach_is_allowed_where_it_stands_only_with_a_reason() -> None:
    breach = "x = balance / 2  # tidy: allow float-money"
    assert findings_of("float-money", SERVICE, breach) == [1]
    assert findings_of("float-money", SERVICE, f"{breach} -- a ratio for a gauge, never stored") == []
    assert findings_of("float-money", SERVICE, "x = balance / 2  # tidy: allow long-file -- a ratio for a gauge") == [1]


def test_a_file_that_is_no_python_is_reported_by_its_line() -> None:
    (finding,) = inspect([Source("a.py", "x = 1\ndef (")])
    assert str(finding) == "a.py:2 syntax this is no Python"


def test_fakes_and_numbers_in_tests_may_use_floats_as_bad_input() -> None:
    assert findings_of("float-money", TEST, f"{DOC}x = amount * 1.5") == []
