"""Proves that a time zone is what the pinned database says, under its exact name, and nothing else on the machine."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import TypeAdapter, ValidationError

from ledgerlink_kit.zones import UnknownZone, ZoneName, names, zone


def test_every_name_has_rules_and_is_read_once() -> None:
    moment = datetime(2026, 7, 1, tzinfo=UTC)

    assert len(names()) > 500
    assert all(abs(moment.astimezone(zone(name)).utcoffset() or timedelta()) < timedelta(hours=15) for name in names())
    assert zone("Europe/London") is zone("Europe/London")


def test_summer_time_goes_on_where_the_file_of_rules_ends() -> None:
    london = zone("Europe/London")

    assert datetime(2090, 7, 1, 9, tzinfo=london).utcoffset() == timedelta(hours=1)
    assert datetime(2090, 1, 1, 9, tzinfo=london).utcoffset() == timedelta(0)


def test_the_rules_are_the_packages_own_and_not_the_machines() -> None:
    assert zone("Europe/London") is not ZoneInfo("Europe/London")
    assert zone("Europe/London").key == "Europe/London"


@pytest.mark.parametrize(
    "name", ["", "europe/london", "Europe", "Europe/", "../zones", "/etc/localtime", "localtime", "Europe/London\x00"]
)
def test_anything_else_is_no_time_zone(name: str) -> None:
    with pytest.raises(UnknownZone, match="IANA"):
        zone(name)
    with pytest.raises(ValidationError):
        TypeAdapter(ZoneName).validate_python(name)
