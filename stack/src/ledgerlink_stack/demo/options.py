"""What the demo can be told on the command line; light, since every `ledgerlink` command reads it."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

JANUARY: Final = Path(__file__).parent / "data" / "purchase-cards-2017-01.csv.gz"
SIZES: Final[Mapping[str, int | None]] = {"small": 300, "full": None}
"""How many rows each size replays; none is all of them."""


@dataclass(frozen=True, slots=True)
class Access:
    """How the demo reaches the stack: the gateway, the admin, a secret for its people, a folder for its books."""

    gateway_url: str
    admin_email: str
    admin_password: str
    secret: str
    folder: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the options."""
    parser.add_argument("--file", type=Path, default=JANUARY, help="CSV file, plain or gzipped (January 2017)")
    parser.add_argument("--size", choices=SIZES, default="full", help="small replays the first 300 rows")
    parser.add_argument("--rows", type=int, metavar="N", help="replay the first N rows only")
    parser.add_argument("--width", type=int, default=16, metavar="N", help="requests at a time (16)")
    parser.add_argument("--json", action="store_true", help="for programs")
