"""Which services hear whose events: the one list from which consumers and relays are made."""

from collections.abc import Mapping
from typing import Final

READERS: Final[Mapping[str, tuple[str, ...]]] = {
    "identity": (),
    "wallet": (),
    "payments": (),
    "risk": ("payments",),
}
"""The readers of each service's stream. Events that nobody of us hears are told for those who come later."""


def heard_by(service: str) -> list[str]:
    """Give the services whose events ``service`` hears."""
    return [teller for teller, readers in READERS.items() if service in readers]
