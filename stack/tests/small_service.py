"""A service small enough to start in an instant: ready at once, and as ill-behaved as its arguments ask for.

    python small_service.py PORT [--stubborn] [--exit-with CODE]      (or the port in SMALL_PORT)

`--stubborn` ignores SIGTERM; `--exit-with` says its last words and ends at once.
"""

from __future__ import annotations

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers 200 to everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def end(_number: int, _frame: object) -> None:
    sys.stdout.write("ending in order\n")
    sys.exit(0)


if "--exit-with" in sys.argv:
    sys.stdout.write("the flux compensator is missing\n")
    sys.exit(int(sys.argv[sys.argv.index("--exit-with") + 1]))
signal.signal(signal.SIGTERM, signal.SIG_IGN if "--stubborn" in sys.argv else end)
HTTPServer(("127.0.0.1", int(os.environ.get("SMALL_PORT") or sys.argv[1])), Handler).serve_forever()
