"""Time zones by their IANA names, with the rules of the `tzdata` package that `requirements.lock` pins.

The system's own rules are not asked: two processes, or a server and a laptop, then agree on when nine o'clock is.
"""

from functools import cache
from importlib import resources
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from ledgerlink_kit.errors import Kind, Refused

NAME_CHARS_MAX: Final = 64


class UnknownZone(Refused):
    """The text is no name of the IANA time zone database."""

    def __init__(self, name: str) -> None:
        super().__init__(
            Kind.UNPROCESSABLE, "unknown-time-zone", f"{name[:40]!r} is not an IANA time zone such as 'Europe/London'."
        )


@cache
def names() -> frozenset[str]:
    """Give every name that is known, old ones that link to others too."""
    return frozenset((resources.files("tzdata") / "zones").read_text("ascii").split())


def zone(name: str) -> ZoneInfo:
    """Give the rules of the zone ``name``, letter by letter as IANA writes it. Raises `UnknownZone`."""
    if name not in names():
        raise UnknownZone(name)
    return _load(name)


@cache
def _load(name: str) -> ZoneInfo:
    with (resources.files("tzdata") / "zoneinfo" / name).open("rb") as rules:
        return ZoneInfo.from_file(rules, name)


def _known(name: str) -> str:
    try:
        zone(name)
    except UnknownZone as error:
        raise ValueError(error.detail) from None
    return name


ZoneName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=NAME_CHARS_MAX,
        description="A name of the IANA time zone database",
        examples=["Europe/London", "UTC"],
    ),
    AfterValidator(_known),
]
"""Pydantic type of a time zone: its IANA name, such as ``Europe/London``."""
