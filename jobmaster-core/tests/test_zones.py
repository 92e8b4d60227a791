"""Names of time zones, and what is said of those that are none."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster import ConfigurationError
from jobmaster.recurrence import zone_of
from jobmaster.recurrence.zones import ZONES_OF_NO_PLACE, remark_on
from naturalcron.zones import ABBREVIATIONS, COUNTRIES


def problem(name: object) -> str:
    with pytest.raises(ConfigurationError) as refused:
        zone_of(name)  # type: ignore[arg-type]  # anything may be given
    said = str(refused.value)
    start = f"time_zone: {name!r} is not a known time zone; use an IANA name such as 'Europe/Paris' or 'UTC'"
    assert said.startswith(start)
    return said.removeprefix(start)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Berlin", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("America/New York", "America/New_York"),
        ("US/Pacfic", "US/Pacific"),
        ("Europe/Pairs", "Europe/Paris"),
        ("Asia/Paris", "Europe/Paris"),
        ("Moskow", "Europe/Moscow"),
        ("Tokio", "Asia/Tokyo"),
        ("Z", "UTC"),
        ("GMT+0:00", "UTC"),
        ("UTC0", "UTC"),
        ("Germany", "Europe/Berlin"),
        ("united kingdom", "Europe/London"),
    ],
)
def test_a_place_is_recognised(name: str, meant: str) -> None:
    assert problem(name) == f"; did you mean {meant!r}?"


@pytest.mark.parametrize("name", ABBREVIATIONS)
def test_an_abbreviation_is_told_places_that_have_its_offset(name: str) -> None:
    hours, places = ABBREVIATIONS[name]
    year = [datetime(2026, month, 15, tzinfo=UTC) for month in range(1, 13)]

    said = problem(name.lower())

    assert said.startswith(
        ". An abbreviation stands for an offset, and often for several: name the place, such as "
    )
    for place in places:
        assert repr(place) in said
        assert timedelta(hours=hours) in {zone_of(place).utcoffset(moment) for moment in year}


@pytest.mark.parametrize("name", sorted(available_timezones() & ABBREVIATIONS.keys()) or [None])
def test_no_abbreviation_is_a_zone(name: str | None) -> None:
    assert name is None


@pytest.mark.parametrize("name", COUNTRIES)
def test_a_country_that_is_no_zone_is_told_the_zones_of_its_places(name: str) -> None:
    said = problem(name.title().replace("_", " "))

    for place in COUNTRIES[name]:
        assert repr(place) in said
        assert place in available_timezones()


def test_a_zone_that_is_named_like_an_abbreviation_is_taken_and_remarked_on() -> None:
    named = {name for name in available_timezones() if name.isupper() and "/" not in name and len(name) > 2}
    others = {"GMT", "UTC", "UCT", "GMT0", "GMT+0", "GMT-0", "PRC", "ROC", "ROK", "W-SU", "NZ-CHAT"}

    assert named - others == set(ZONES_OF_NO_PLACE) & available_timezones()
    for name, places in ZONES_OF_NO_PLACE.items():
        remark = remark_on(zone_of(name.lower()))
        assert remark.startswith(f"time zone {name!r} is named like an abbreviation")
        assert all(repr(zone_of(place).key) in remark for place in places)
    assert [remark_on(zone_of(name)) for name in ("UTC", "America/New_York", "Etc/GMT-2")] == ["", "", ""]


@pytest.mark.parametrize(
    "name", ["UTC+2", "UTC2", "gmt 2", "UTC02:00", "GMT+2", "+02:00", "+2", "utc +2", "Etc/UTC+2"]
)
def test_an_offset_is_told_the_zone_that_is_one(name: str) -> None:
    assert problem(name) == ". For a fixed offset of +2 h, on which no clock is changed, write 'Etc/GMT-2'"
    assert zone_of("Etc/GMT-2").utcoffset(datetime.now(UTC)) == timedelta(hours=2)


@pytest.mark.parametrize("name", ["UTC+05:30", "GMT+15", "-13"])
def test_an_offset_that_no_zone_is_says_so(name: str) -> None:
    assert problem(name) == ". An offset is not a zone: name a place that has it"


def test_a_name_of_windows_says_no_place() -> None:
    assert problem("W. Europe Standard Time") == ". That is a Windows name, which does not name a place"


@pytest.mark.parametrize("name", ["XYZ", "CESTT", "UTCC", "Mars/Base", "", "x" * 500, 2, None, ["UTC"]])
def test_what_is_like_no_place_is_told_none(name: object) -> None:
    assert problem(name) == ""


@given(st.text(max_size=40))
def test_any_text_is_a_zone_or_refused(name: str) -> None:
    with suppress(ConfigurationError):
        assert zone_of(name).key.lower() == name.lower()
