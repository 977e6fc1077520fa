"""What every verb of `ledgerlink` works with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ledgerlink_stack.accounts import server_account
from ledgerlink_stack.home import Home, load_secrets, read_settings, trouble_with_files
from ledgerlink_stack.layout import CLIENTS, DATABASES, build_plan, choose_ports

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import Console

    from ledgerlink_stack.home import Secrets
    from ledgerlink_stack.layout import Ports
    from ledgerlink_stack.plan import Plan


class Desk:
    """What every verb is given: the home, the operator's environment, and where to print."""

    def __init__(self, environment: Mapping[str, str], folder: Path, console: Console) -> None:
        """Find the home and read its settings; the environment wins over the file."""
        self.home = Home.find(environment, folder)
        self.console = console
        self.given: dict[str, str] = {**read_settings(self.home), **environment}
        self.account = server_account(self.given)

    def plan(self) -> tuple[Plan, Secrets, Ports]:
        """Return what is to run, creating home and secrets when they are not there yet."""
        self.home.create()
        known = load_secrets(self.home, DATABASES, CLIENTS)
        ports = choose_ports(self.given)
        with trouble_with_files(self.home.path):
            return build_plan(self.home, known, ports, self.given, self.account), known, ports

    def say(self, text: str) -> None:
        """Print one line."""
        self.console.print(text, highlight=False, soft_wrap=True)
