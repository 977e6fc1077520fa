"""Prometheus and Grafana as code, tried.

``python tools/observability.py check``       promtool over configuration, rules and the rules' tests
``python tools/observability.py dashboards``  the dashboards against Grafana's own types, by TypeScript
``python tools/observability.py serve``       a Prometheus that scrapes the running local stack, until Ctrl-C
``python tools/observability.py live``        a Prometheus over the stack while `make demo SIZE=small` runs: targets,
                                              rules, panels, runbooks, three faults that raise alerts and end them
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from observing import live, typed
from observing.panels import DASHBOARDS
from observing.rules import FOLDER, ROOT

from ledgerlink_stack.home import Home, read_settings
from ledgerlink_stack.layout import choose_ports, quiet_ports, scrape_targets

LEDGERLINK = str(ROOT / ".venv" / "bin" / "ledgerlink")
INSTALL = "it comes with Debian's and Ubuntu's package `prometheus` (apt-get install prometheus)"


def check() -> int:
    """Run promtool; returns its exit code, and 1 with a word when it is not there: nothing was checked."""
    promtool = shutil.which("promtool")
    if promtool is None:
        print(f"observability-check: there is no promtool here, so nothing was checked: {INSTALL}.")
        return 1
    tests = sorted(str(file) for file in FOLDER.glob("tests/*.yml"))
    for arguments in (["check", "config", str(FOLDER / "prometheus.yml")], ["test", "rules", *tests]):
        code = subprocess.run([promtool, *arguments], check=False).returncode
        if code:
            return code
    return 0


def own_stack(folder: str) -> dict[str, str]:
    """The environment of a stack of our own: its home is ``folder``, its ports are free, nobody's data is touched."""
    chosen = quiet_ports(random.Random())  # noqa: S311 - ports are no secrets
    # The balances are checked every five seconds, so that a broken one is found, and a mended one seen, while we wait.
    return {**os.environ, **chosen, "LEDGERLINK_HOME": folder, "WALLET_BALANCES_EVERY_S": "5"}


def try_live() -> int:
    """Run the live check on a stack of our own, and leave nothing of it."""
    panels = [panel for board in DASHBOARDS for panel in board.panels()]
    with tempfile.TemporaryDirectory(prefix="ledgerlink-live-") as folder:
        environment = own_stack(folder)

        def ledgerlink(*arguments: str) -> None:
            subprocess.run([LEDGERLINK, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)

        try:
            live.program()
            ledgerlink("up")
            load = partial(ledgerlink, "demo", "--size", "small")
            live.check(Home(Path(folder)), environment, panels, load, partial(print, flush=True))
        except live.Failed as failed:
            print(f"observability-live: {failed}")
            return 1
        finally:
            ledgerlink("reset", "--yes")
    return 0


def serve() -> int:
    """Run Prometheus over the local stack until Ctrl-C."""
    home = Home.find(os.environ, Path.cwd())
    targets = scrape_targets(choose_ports({**read_settings(home), **os.environ}))
    try:
        prometheus = live.Prometheus(live.program(), home.path / "prometheus", targets, port=9090)
        with prometheus.running() as process:
            print(f"Prometheus scrapes the stack: {prometheus.url}/alerts (Ctrl-C ends it)")
            process.wait()
    except live.Failed as failed:
        print(f"prometheus: {failed}")
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=("check", "dashboards", "serve", "live"))
    verb: str = parser.parse_args(arguments).verb
    return {"check": check, "dashboards": typed.check, "serve": serve, "live": try_live}[verb]()


if __name__ == "__main__":
    sys.exit(main())
