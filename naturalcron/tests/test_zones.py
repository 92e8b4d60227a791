"""Time zones, and what happens when their clocks change: against a program that looks at every minute."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naturalcron import parse

NEW_YORK = ZoneInfo("America/New_York")
CHANGES = {
    "America/New_York": (datetime(2025, 3, 9, 7), datetime(2025, 11, 2, 6)),
    "Europe/Lisbon": (datetime(2025, 3, 30, 1), datetime(2025, 10, 26, 1)),
    "Australia/Lord_Howe": (datetime(2025, 4, 5, 15), datetime(2025, 10, 4, 15, 30)),
    "America/Santiago": (datetime(2025, 4, 6, 3), datetime(2025, 9, 7, 4)),
    "Africa/Casablanca": (datetime(2025, 2, 23, 2), datetime(2025, 4, 6, 2)),
}
"""When clocks change, in UTC: forward and back, by an hour or by half of one, at night and at midnight."""

MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def texts(found: list[datetime]) -> list[str]:
    return [moment.isoformat() for moment in found]


# What comes in and goes out


def test_naive_in_naive_out() -> None:
    assert parse("daily at 14:00").next(datetime(2024, 1, 1)) == datetime(2024, 1, 1, 14)


def test_a_naive_start_is_a_time_on_the_clock_of_the_expression() -> None:
    found = parse("daily at 09:00 tz Asia/Tokyo").next(datetime(2024, 1, 1, 10))

    assert found == datetime(2024, 1, 2, 9)


@pytest.mark.parametrize("zone", [UTC, NEW_YORK, timezone(timedelta(hours=5, minutes=45))])
def test_results_come_in_the_zone_of_the_start(zone: tzinfo) -> None:
    start = datetime(2024, 1, 1, tzinfo=zone)

    for text in ("daily at 09:00", "daily at 09:00 tz Asia/Tokyo", "every 90 minutes tz UTC"):
        found = parse(text).upcoming(3, start)
        assert all(moment.tzinfo is zone for moment in found)


def test_fractions_of_a_second_are_cut_off() -> None:
    found = parse("every 5 seconds").next(datetime(2024, 1, 1, 0, 0, 7, 999_999))

    assert found == datetime(2024, 1, 1, 0, 0, 12)


def test_the_limit_is_exclusive_and_compared_in_real_time() -> None:
    daily = parse("daily at 14:00")
    start = datetime(2024, 1, 1, tzinfo=UTC)

    assert daily.next(start, until=datetime(2024, 1, 1, 14, tzinfo=UTC)) is None
    assert daily.next(start, until=datetime(2024, 1, 1, 9, 1, tzinfo=NEW_YORK)) is not None
    # 01:30 comes twice that night: the limit is the second time, so the first is within it.
    late = datetime(2025, 11, 2, 1, 0, tzinfo=NEW_YORK, fold=1)
    night = parse("at 01:30 tz America/New_York")
    assert night.next(datetime(2025, 11, 2, tzinfo=NEW_YORK), until=late) is not None


def test_a_limit_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError):
        parse("daily").next(datetime(2024, 1, 1), until=datetime(2025, 1, 1, tzinfo=UTC))


def test_the_ends_of_the_calendar() -> None:
    assert parse("every day tz America/New_York").next(datetime.max.replace(tzinfo=UTC)) is None
    assert parse("every day").next(datetime(9999, 12, 31)) is None
    first = parse("daily at 09:00 tz America/New_York").next(datetime.min.replace(tzinfo=UTC))
    assert first is not None
    assert first.year == 1


# The policy


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        # A skipped time moves forward by what is skipped.
        ("every day at 02:30", "2025-03-08 12:00", ["2025-03-09T07:30", "2025-03-10T06:30"]),
        # An interval of days keeps its phase, although one occurrence was moved.
        ("every 2 days at 02:30", "2025-03-07 07:30", ["2025-03-09T07:30", "2025-03-11T06:30"]),
        # The moved one does not swallow another.
        ("at [2:30, 3:15]", "2025-03-09 06:00", ["2025-03-09T07:15", "2025-03-09T07:30", "2025-03-10T06:30"]),
        # Two times that become one moment happen once.
        ("at [2:30, 3:30]", "2025-03-09 06:00", ["2025-03-09T07:30", "2025-03-10T06:30"]),
        # A time that comes twice counts once, at the first.
        ("every day at 01:30", "2025-11-01 12:00", ["2025-11-02T05:30", "2025-11-03T06:30"]),
        ("every day at 01:30", "2025-11-02 05:45", ["2025-11-03T06:30"]),
        # Intervals below a day count real time, through both.
        ("every 30 minutes", "2025-03-09 06:30", ["2025-03-09T07:00", "2025-03-09T07:30"]),
        ("every 30 minutes", "2025-11-02 05:00", ["2025-11-02T05:30", "2025-11-02T06:00", "2025-11-02T06:30"]),
        ("every 2 hours anchoredAt 0", "2025-11-02 04:00", ["2025-11-02T07:00", "2025-11-02T09:00"]),
        # A window in the repeated hour is entered twice; one in the skipped hour never.
        ("every 20 minutes between 1:00 and 1:30", "2025-11-02 04:00",
         ["2025-11-02T05:00", "2025-11-02T05:20", "2025-11-02T06:00", "2025-11-02T06:20", "2025-11-03T06:00"]),
        ("every 20 minutes between 2:00 and 2:30", "2025-03-09 05:00", ["2025-03-10T06:00", "2025-03-10T06:20"]),
        # With a time unit set it is a time on the clock again: once.
        ("every hour at min 15", "2025-11-02 05:15", ["2025-11-02T07:15"]),
        ("every day at 12:00", "2025-03-08 17:00", ["2025-03-09T16:00", "2025-03-10T16:00"]),
    ],
)  # fmt: skip
def test_changes_in_new_york(text: str, start: str, expected: list[str]) -> None:
    found = parse(f"{text} tz America/New_York").upcoming(len(expected), utc(start))

    assert texts(found) == [f"{moment}:00+00:00" for moment in expected]


def test_the_policy_holds_for_the_zone_of_the_start_too() -> None:
    start = datetime(2025, 3, 8, 12, tzinfo=NEW_YORK)

    assert texts(parse("daily at 02:30").upcoming(2, start)) == [
        "2025-03-09T03:30:00-04:00",
        "2025-03-10T02:30:00-04:00",
    ]


# Against every minute


def minutes(start: datetime, hours: int) -> Iterator[datetime]:
    return (start + n * MINUTE for n in range(1, hours * 60))


def wall(instant: datetime, zone: tzinfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


zones_and_changes = st.sampled_from(
    [(name, change) for name, changes in CHANGES.items() for change in changes]
)
clock_times = st.builds(time, st.integers(0, 4), st.sampled_from([0, 10, 15, 30, 45, 59]))


@settings(max_examples=120, deadline=None)
@given(zones_and_changes, st.lists(clock_times, min_size=1, max_size=5, unique=True), st.integers(0, 60 * 20))
def test_times_of_day_are_neither_lost_nor_doubled(
    place: tuple[str, datetime], times: list[time], before: int
) -> None:
    name, change = place
    zone = ZoneInfo(name)
    start = change.replace(tzinfo=UTC) - before * MINUTE
    days = [wall(start, zone).date() + timedelta(days=n) for n in range(-2, 4)]
    # The policy in one line: every day, each time once, in the first of two passes, moved forward out of a gap.
    instants = {datetime.combine(day, one, zone).astimezone(UTC) for day in days for one in times}
    expected = sorted(instant for instant in instants if start < instant < start + timedelta(days=2))
    listed = ", ".join(f"{one:%H:%M}" for one in times)

    found = parse(f"at [{listed}] tz {name}").upcoming(len(expected), start)

    assert found == expected


@settings(max_examples=60, deadline=None)
@given(
    zones_and_changes,
    st.sampled_from([1, 7, 20, 30, 45, 60, 90, 240]),
    st.none() | st.tuples(clock_times, clock_times),
    st.integers(0, 60 * 6),
)
def test_real_time_goes_on(
    place: tuple[str, datetime], step: int, window: tuple[time, time] | None, before: int
) -> None:
    name, change = place
    zone = ZoneInfo(name)
    start = change.replace(tzinfo=UTC) - before * MINUTE
    low, high = sorted(window) if window else (time(0), time(23, 59))

    def accepts(instant: datetime) -> bool:
        return low <= wall(instant, zone).time() <= high

    expected, last = [], start
    for instant in minutes(start, 30):
        waits = last is not None and accepts(last) and instant < last + step * MINUTE
        if not waits and accepts(instant):
            expected.append(instant)
            last = instant
    text = f"every {step} minutes tz {name}" + (f" between {low:%H:%M} and {high:%H:%M}" if window else "")

    assert parse(text).upcoming(len(expected), start) == expected


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize(
    "text",
    ["every 40 minutes", "hourly", "every day", "daily at 02:30", "every hour at min 30", "every minute at hour 1",
     "every 3 hours anchoredAt 1", "every 25 minutes between 1:10 and 3:40", "every 15 minutes at sec 30"],
)  # fmt: skip
def test_occurrences_increase_in_real_time(name: str, text: str) -> None:
    expression = parse(f"{text} tz {name}")
    for change in CHANGES[name]:
        found = expression.upcoming(60, change.replace(tzinfo=UTC) - timedelta(hours=20))
        assert all(before < after for before, after in pairwise(found))
