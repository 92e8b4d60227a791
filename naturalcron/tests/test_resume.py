"""Going on from a start long ago comes to what going through all occurrences comes to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naturalcron import parse

COUNTED = [
    "every 7 minutes",
    "every 50 seconds",
    "every 5 hours",
    "every 25 minutes between 10:00 and 11:00",
    "every 7 minutes between mon and fri",
    "every 40 minutes between mon 9:00 and fri 17:30",
    "every 90 minutes on sat",
    "every 3 hours in [mar, oct] on LastSun",
    "every 2 days at [02:30, 11:10]",
    "every 2 weeks on [thu, sun]",
    "every 3 months on LastDay at 9:00",
    "every hour",
    "every day",
]
FIXED = [
    "every day at 18:00",
    "every 15 minutes anchoredAt 0 at sec 0",
    "on [1st, 15th] at 9:00",
    "every second",
]
ZONES = ["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]
moments = st.datetimes(datetime(2011, 12, 1), datetime(2012, 4, 10)).map(lambda at: at.replace(microsecond=0))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(COUNTED), st.sampled_from(ZONES), moments, st.integers(0, 40 * 86400))
def test_counting_on_leaves_nothing_out(text: str, zone: str, start: datetime, seconds: int) -> None:
    begun = start.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC).astimezone(ZoneInfo(zone))
    after = (begun.astimezone(UTC) + timedelta(seconds=seconds)).astimezone(ZoneInfo(zone))
    expression = parse(text)

    walked = expression.next(begun)
    while walked is not None and walked.astimezone(UTC) <= after.astimezone(UTC):
        walked = expression.next(walked)

    assert expression.resume(begun, after) == walked


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(COUNTED), moments, st.integers(-86400, 20 * 86400))
def test_naive_moments_count_on_too(text: str, start: datetime, seconds: int) -> None:
    after, expression = start + timedelta(seconds=seconds), parse(text)

    walked = expression.next(start)
    while walked is not None and walked <= after:
        walked = expression.next(walked)

    assert expression.resume(start, after) == walked


@pytest.mark.parametrize("text", COUNTED)
def test_what_counts_from_the_start_is_known(text: str) -> None:
    assert parse(text).counts_from_start


@pytest.mark.parametrize("text", FIXED)
def test_what_does_not_depend_on_the_start_is_known(text: str) -> None:
    expression = parse(text)
    start, after = datetime(2001, 2, 3, 4, 5, 6), datetime(2024, 5, 6, 7, 8, 9)

    assert not expression.counts_from_start
    assert expression.resume(start, after) == expression.next(after)


def test_years_of_seconds_are_leapt_over() -> None:
    expression = parse("every 7 seconds between mon and fri")
    start, after = datetime(2014, 1, 6, tzinfo=UTC), datetime(2024, 1, 1, tzinfo=UTC)

    assert expression.resume(start, after) == datetime(2024, 1, 1, 0, 0, 7, tzinfo=UTC)


def test_naive_and_aware_moments_do_not_mix() -> None:
    with pytest.raises(TypeError):
        parse("every 2 days").resume(datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("text", "moment", "lets_through"),
    [
        ("every 25 minutes between 10:00 and 11:00", datetime(2024, 1, 1, 10, 10), True),
        ("every 25 minutes between 10:00 and 11:00", datetime(2024, 1, 1, 11, 1), False),
        ("every day at 18:00 tz Europe/Paris", datetime(2024, 1, 1, 17, tzinfo=UTC), True),
        ("every day at 18:00 tz Europe/Paris", datetime(2024, 1, 1, 18, tzinfo=UTC), False),
        ("every day at 18:00", datetime(2024, 1, 1, 18, 0, 0, 999), True),
    ],
)
def test_matches(text: str, moment: datetime, lets_through: bool) -> None:
    assert parse(text).matches(moment) is lets_through
