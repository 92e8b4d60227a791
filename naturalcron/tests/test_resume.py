"""Going on from a start long ago comes to what going through all occurrences comes to, and soon.

Both are tried with random expressions. How soon is counted in calls of functions, as time depends on the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from types import FrameType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from naturalcron import Expression, parse, try_parse

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


# Random expressions

WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
DAYS = ["1st", "15th", "31st", "LastDay", "2ndTue", "LastFri"]
SHORT_COUNTS = [1, 1, 2, 3, 5, 7, 13, 17, 25, 40, 61, 97, 997, 10007]


def two_of(values: Sequence[Any], form: str) -> st.SearchStrategy[str]:
    places = st.tuples(*[st.integers(0, len(values) - 1)] * 2).map(sorted)
    return places.map(lambda two: form.format(values[two[0]], values[two[1]]))


def some_of(values: Sequence[Any], form: str, most: int) -> st.SearchStrategy[str]:
    chosen = st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True)
    return chosen.map(lambda some: form.format(", ".join(map(str, some))))


clocks = [f"{hour:02}:{minute:02}" for hour in range(24) for minute in (0, 1, 17, 30, 59)]
windows = st.one_of(
    two_of(range(60), "between sec {} and {}"),
    two_of(range(60), "between min {} and {}"),
    two_of(range(24), "between hour {} and {}"),
    two_of(clocks, "between {} and {}"),
    two_of(WEEKDAYS, "between {} and {}"),
    two_of(range(1, 32), "between day {} and {}"),
    two_of(MONTHS, "between {} and {}"),
    st.tuples(two_of(range(60), "sec {} and {}"), two_of(range(60), "sec {} and {}")).map(
        lambda two: f"between [{two[0]}, {two[1]}]"
    ),
    st.just("between mon 9:00 and fri 17:30"),
    some_of(WEEKDAYS, "on [{}]", 4),
    st.sampled_from(WEEKDAYS).map("on {}".format),
    some_of(DAYS, "on [{}]", 3),
    some_of(MONTHS, "in [{}]", 6),
    some_of(clocks, "at [{}]", 5),
    st.sampled_from(clocks).map("at {}".format),
    some_of(range(60), "at min [{}]", 5),
    st.integers(0, 59).map("at sec {}".format),
)


@st.composite
def intervals(draw: st.DrawFn) -> str:
    unit = draw(
        st.sampled_from(
            ["second", "second", "minute", "minute", "hour", "hour", "day", "day", "week", "month", "year"]
        )
    )
    count = draw(
        st.sampled_from(SHORT_COUNTS if unit in ("second", "minute") else [1, 1, 2, 3, 5, 7, 13, 17, 30])
    )
    places = {
        "second": (0, 59),
        "minute": (0, 59),
        "hour": (0, 23),
        "day": (1, 31),
        "week": (1, 7),
        "month": (1, 12),
    }
    anchor = draw(st.integers(*places.get(unit, (2009, 2013)))) if draw(st.integers(0, 4)) == 0 else None
    return f"every {count} {unit}" + ("" if anchor is None else f" anchoredOn {anchor}")


@st.composite
def expressions(draw: st.DrawFn) -> Expression:
    parts = [draw(intervals()), *draw(st.lists(windows, max_size=3))]
    expression, _ = try_parse(" ".join(parts[1 if draw(st.integers(0, 9)) == 0 else 0 :]))
    assume(expression is not None)
    assert expression is not None
    return expression


def utc(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC) if moment and moment.tzinfo else moment


def later(moment: datetime, seconds: int) -> datetime:
    passed = timedelta(seconds=seconds)
    return (moment.astimezone(UTC) + passed).astimezone(moment.tzinfo) if moment.tzinfo else moment + passed


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    expressions(),
    st.sampled_from([*ZONES, "Africa/Casablanca", None]),
    moments,
    st.integers(0, 90),
    st.randoms(),
)
def test_no_leap_leaves_anything_out(
    expression: Expression, zone: str | None, start: datetime, count: int, chance: Any
) -> None:
    clock: tzinfo | None = ZoneInfo(zone) if zone else None
    start = later(start.replace(tzinfo=clock), 0)
    found = [start, *expression.upcoming(count + 1, start)]
    before, following = (found[-2], found[-1]) if len(found) > count + 1 else (found[-1], None)
    room = int((utc(following) - utc(before)).total_seconds()) if following else 0  # type: ignore[operator]

    for after in (before, later(before, chance.randrange(room) if room else 0)):
        assert utc(expression.resume(start, after)) == utc(following)


OLD = [
    "every 7 seconds",
    "every 7 minutes between 9:00 and 17:00",
    "every 25 minutes between min 0 and 50",
    "every 7 minutes between min 10 and 25",
    "every 13 seconds between sec 10 and 20",
    "every 997 seconds between sec 0 and 58",
    "every 40 seconds between jun and dec between 12:38 and 23:06 between [sec 6 and 11, sec 33 and 45]",
    "every 3 minutes anchoredAt 1 between sec 6 and 19",
    "every 2 seconds on [mon, wed] between 1st and 30th",
    "every 17 days on mon",
    "every 13 months",
    "every 5 weeks between 9:00 and 10:00",
    "every 2 days at hour [0, 6, 12, 18, 23] at min [0, 1, 2, 30, 31, 59] at sec [0, 1, 2, 3, 4, 5, 6, 58, 59]",
    "every 7 minutes at sec [0, 15, 30, 45] between 9:00 and 17:00",
    "every 7 seconds between 2:10 and 2:20 in mar on LastSun",
]


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions are called while something is done."""
    calls = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return calls


YEAR_CALLS, TEN_YEARS_CALLS = 100_000, 500_000
"""A search over 400 years in which nothing is found takes some 50,000; going through all takes millions."""


def check_soon(expression: Expression, zone: str, years: int, seconds: int) -> None:
    after = datetime(2026, 11, 30, 17, tzinfo=ZoneInfo(zone))
    start = later(after.replace(year=2026 - years), seconds)

    calls = calls_of(lambda: expression.resume(start, after))

    assert calls < (YEAR_CALLS if years == 1 else TEN_YEARS_CALLS), expression.text


@pytest.mark.parametrize("years", [1, 10])
@pytest.mark.parametrize("text", OLD)
def test_old_starts_are_no_burden(text: str, years: int) -> None:
    check_soon(parse(text), "Europe/Paris", years, 3)


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(expressions(), st.sampled_from(ZONES), st.sampled_from([1, 10]), st.integers(0, 86399))
def test_old_starts_are_no_burden_whatever_the_words(
    expression: Expression, zone: str, years: int, seconds: int
) -> None:
    check_soon(expression, zone, years, seconds)
