"""Proves the demo on a running LedgerLink: odd currencies, killed in the middle, run again, changing nothing."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.crash.own_stack import OwnStack
from tests.system.conftest import Journey

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("stack"), pytest.mark.timeout(600)]

ROWS = """\
date,card,merchant,amount,currency,billed,department,category
2017-01-02,0001,hotel in kyoto,15000,JPY,105.50,Travel,Hotels
2017-01-02,0001,souk in kuwait,12.345,KWD,32.10,Travel,Meals
2017-01-03,0002,stationer,66.15,GBP,66.15,Office,Paper
2017-01-04,0001,hotel in kyoto,-5000,JPY,-35.00,Travel,Hotels
2017-01-05,0002,stationer,-66.15,GBP,-66.15,Travel,Paper
2017-01-06,0002,unheard of,-9.25,GBP,-9.25,Office,Other
2017-02-01,0001,souk in kuwait,0.001,KWD,0.01,Travel,Meals
2017-02-02,0002,large order,60000.00,GBP,60000.00,Office,Machines
"""


def demo(stack: OwnStack, *arguments: str) -> dict[str, Any]:
    return json.loads(stack.ledgerlink("demo", "--json", *arguments))


def transfers(admin: Journey) -> int:
    return len(admin.get("/api/v1/transfers?limit=1000").json()["items"])


def test_currencies_with_no_and_three_decimals_come_out_to_the_last_unit(
    stack: OwnStack, admin: Journey, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    first = demo(stack, "--file", str(path))
    assert first["differences"] == []
    assert first["kinds"]["purchase"]["amounts"] == {"JPY": "15000", "KWD": "12.346", "GBP": "60066.15"}
    assert first["kinds"]["refund"]["amounts"] == {"JPY": "5000", "GBP": "66.15"}
    assert first["kinds"]["credit"]["amounts"] == {"GBP": "9.25"}
    assert first["kinds"]["purchase"]["reviewed"] == 1
    before = transfers(admin)
    again = demo(stack, "--file", str(path))
    assert (again["differences"], transfers(admin)) == ([], before)
    assert again["billed"] == first["billed"] == "60093.36"


def test_a_demo_killed_in_the_middle_ends_the_same_when_run_again(stack: OwnStack) -> None:
    command = [sys.executable, "-m", "ledgerlink_stack", "demo", "--json", "--rows", "60"]
    process = subprocess.Popen(
        command, env=stack.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    deadline = time.monotonic() + 120
    for line in process.stderr:
        if line.startswith("2017-01:") or time.monotonic() > deadline:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    outcome = demo(stack, "--rows", "60")
    assert outcome["differences"] == []
    assert outcome["kinds"]["purchase"]["count"] + outcome["kinds"].get("credit", {"count": 0})["count"] == 60


def test_a_file_that_is_none_of_ours_is_refused_in_one_sentence(stack: OwnStack, tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("a,b\n1,2\n")
    done = subprocess.run(
        [sys.executable, "-m", "ledgerlink_stack", "demo", "--file", str(path)],
        check=False, capture_output=True, text=True, env=stack.environment,
    )  # fmt: skip
    assert done.returncode == 1
    assert "is no file of card purchases" in done.stderr
    assert "Traceback" not in done.stderr
