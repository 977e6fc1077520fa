"""The runbooks' own commands, tried: blocks marked ``sh`` are run, blocks marked ``sql`` are asked of their database.

Blocks with another mark, or none, mend something and are only read.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, LiteralString, cast

import psycopg

from ledgerlink_stack.home import Home, load_secrets
from ledgerlink_stack.layout import CLIENTS, DATABASES, SERVICES, Ports, settings_of
from observing.rules import ROOT

FOLDER: Final = ROOT / "docs" / "runbooks"
TIMEOUT_S: Final = 60
_BLOCK: Final = re.compile(r"^```(sh|sql)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DATABASE: Final = re.compile(r"\A-- database: ([a-z]+)\n")


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """The mark and the text of every block of a page that is to be tried."""
    for found in _BLOCK.finditer(page.read_text()):
        yield found[1], found[2]


def database_of(text: str) -> str | None:
    """The service whose database a block of SQL asks, by its first line."""
    found = _DATABASE.match(text)
    return found[1] if found else None


def try_all(home: Home, given: Mapping[str, str], ports: Ports) -> tuple[int, list[str]]:
    """Try every block on the running stack; gives how many there were, and what went wrong."""
    tried, broken = 0, list[str]()
    done: set[str] = set()
    for page in sorted(FOLDER.glob("*.md")):
        for mark, text in blocks(page):
            tried += 1
            if text in done:
                continue
            done.add(text)
            fault = _run(_with_ports(text, ports), given) if mark == "sh" else _ask(text, home, given, ports)
            if fault:
                broken.append(f"{page.name}: {fault}")
    return tried, broken


def _with_ports(text: str, ports: Ports) -> str:
    """Put the ports in use where a page names the usual ones."""
    for service in SERVICES:
        text = text.replace(f"localhost:{service.port}/", f"localhost:{ports.services[service.name]}/")
        if service.worker_port is not None:
            text = text.replace(f"localhost:{service.worker_port}/", f"localhost:{ports.workers[service.name]}/")
    return text


def _run(text: str, given: Mapping[str, str]) -> str:
    """Run a block in the stack's environment, as a person would; gives what went wrong."""
    environment = {**given, "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{given['PATH']}"}
    try:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"did not end within {TIMEOUT_S} s: {text.strip()}"
    return "" if done.returncode == 0 else f"ended in {done.returncode}: {text.strip()}: {done.stderr.strip()[-300:]}"


def _ask(text: str, home: Home, given: Mapping[str, str], ports: Ports) -> str:
    """Ask a database, as the service's own role and without writing; gives what went wrong."""
    name = database_of(text)
    service = next((each for each in SERVICES if each.name == name), None)
    if service is None:
        return f"names no database in its first line: {text.strip()}"
    settings = settings_of(service, home, load_secrets(home, DATABASES, CLIENTS), ports, given)
    with psycopg.connect(settings[f"{service.prefix}DATABASE_URL"]) as connection:
        connection.read_only = True
        try:
            connection.execute(cast("LiteralString", text))
        except psycopg.Error as error:
            return f"{error}: {text.strip()}"
    return ""
