"""Where clocks change: the stated rule of each kind, in several zones and years, half hours and a lost day included.

Cron lines are also held against a slow and simple program that looks at one minute after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from jobmaster import Cron
from jobmaster.plugins import Plugins
from jobmaster.recurrence import upcoming
from naturalcron import ConversionError, from_cron

KINDS = Plugins().kinds
MINUTE = timedelta(minutes=1)


def shown(expression: Any, zone: str, since: str, count: int) -> list[str]:
    """Return what the zone's clock shows at the next times, with its offset from UTC."""
    clock = ZoneInfo(zone)
    start = datetime.fromisoformat(since).replace(tzinfo=clock)
    found = upcoming(KINDS.compile(expression, None, clock), start, start, count)
    return [f"{time.astimezone(clock):%d %H:%M%z}" for time in found]


def test_intervals_are_elapsed_time() -> None:
    assert shown(timedelta(hours=1), "Europe/Paris", "2025-03-30T00:30", 3) == [
        "30 01:30+0100",
        "30 03:30+0200",
        "30 04:30+0200",
    ]
    assert shown(timedelta(days=1), "Europe/Paris", "2025-10-25T12:00", 2) == [
        "26 11:00+0100",
        "27 11:00+0100",
    ]
    assert shown(timedelta(days=1), "Pacific/Apia", "2011-12-28T09:00", 2) == [
        "29 09:00-1000",
        "31 09:00+1400",
    ]


SKIPPED = [
    ("Europe/Paris", "2025-03-30", "02:30", "30 03:00+0200", "30 03:30+0200"),
    ("Europe/Paris", "2012-03-25", "02:30", "25 03:00+0200", "25 03:30+0200"),
    ("America/New_York", "2007-03-11", "02:30", "11 03:00-0400", "11 03:30-0400"),
    ("America/Sao_Paulo", "2018-11-04", "00:30", "04 01:00-0200", "04 01:30-0200"),
    ("Australia/Lord_Howe", "2025-10-05", "02:15", "05 02:30+1100", "05 02:45+1100"),
    ("Australia/Lord_Howe", "2012-10-07", "02:15", "07 02:30+1100", "07 02:45+1100"),
    ("Pacific/Apia", "2011-12-30", "09:00", "31 00:00+1400", "31 09:00+1400"),
]


@pytest.mark.parametrize(("zone", "day", "time", "cron", "natural"), SKIPPED)
def test_a_time_that_is_skipped(zone: str, day: str, time: str, cron: str, natural: str) -> None:
    evening_before = (datetime.fromisoformat(day) - timedelta(hours=5)).isoformat()
    hour, minute = time.split(":")

    assert shown(Cron(f"{minute} {hour} * * *"), zone, evening_before, 1) == [cron]
    assert shown(f"every day at {time}", zone, evening_before, 1) == [natural]


@pytest.mark.parametrize(("zone", "day", "time"), [case[:3] for case in SKIPPED])
def test_a_line_that_follows_the_clock_leaves_a_skipped_time_out(zone: str, day: str, time: str) -> None:
    hour = int(time[:2])
    before = (datetime.fromisoformat(day) - timedelta(hours=5)).isoformat()
    line = f"*/15 {hour} * * *"

    found = shown(Cron(line), zone, before, 8)

    assert not {f"{day[8:]} {time}", f"{day[8:]} {hour:02}:15"} & {entry[:8] for entry in found}


REPEATED = [
    ("Europe/Paris", "2025-10-26T00:00", "02:30", "26 02:30+0200", "26 02:30+0100"),
    ("America/New_York", "2010-11-07T00:00", "01:30", "07 01:30-0400", "07 01:30-0500"),
    ("America/Sao_Paulo", "2018-02-17T20:00", "23:30", "17 23:30-0200", "17 23:30-0300"),
    ("Australia/Lord_Howe", "2025-04-06T00:00", "01:45", "06 01:45+1100", "06 01:45+1030"),
    ("Africa/Casablanca", "2025-02-23T00:00", "02:30", "23 02:30+0100", "23 02:30+0000"),
]


@pytest.mark.parametrize(("zone", "since", "time", "first", "second"), REPEATED)
def test_a_time_that_comes_twice(zone: str, since: str, time: str, first: str, second: str) -> None:
    hour, minute = time.split(":")

    for named in (Cron(f"{minute} {hour} * * *"), f"every day at {time}"):
        found = shown(named, zone, since, 2)
        assert found[0] == first
        assert found[1][:2] != first[:2]
    assert shown(Cron(f"{minute} * * * *"), zone, since, 6).count(second) == 1


def test_what_is_asked_while_times_come_again_leaves_nothing_out() -> None:
    paris = ZoneInfo("Europe/Paris")
    line = KINDS.compile("*/20 2,3 * * *", "cron", paris), KINDS.compile("0,40 2,3 * * *", "cron", paris)
    put_back = datetime(2025, 10, 26, 1, tzinfo=UTC)  # 02:00 for the second time
    inside = put_back + timedelta(minutes=20)

    assert [one.next_after(put_back, put_back) for one in line] == [inside, put_back + timedelta(hours=1)]
    assert line[1].next_after(inside, put_back) == put_back + timedelta(hours=1)


def test_named_times_that_fall_together_fire_once() -> None:
    assert shown(Cron("0,20,40 2 * * *"), "Europe/Paris", "2025-03-30T00:00", 2) == [
        "30 03:00+0200",
        "31 02:00+0200",
    ]


def test_words_that_count_below_a_day_go_on_through_the_hour_that_comes_twice() -> None:
    assert shown("every 30 minutes", "Europe/Paris", "2025-10-26T02:15", 4) == [
        "26 02:45+0200",
        "26 02:15+0100",
        "26 02:45+0100",
        "26 03:15+0100",
    ]


def test_the_zone_of_a_text_comes_before_that_of_the_schedule() -> None:
    assert shown("every day at 18:00 tz Asia/Tokyo", "Europe/Paris", "2025-06-01T00:00", 1) == [
        "01 11:00+0200"
    ]


# Cron against the slow program

CHANGES = [
    ("Europe/Paris", "2025-03-30"),
    ("Europe/Paris", "2025-10-26"),
    ("America/New_York", "2011-03-13"),
    ("America/New_York", "2011-11-06"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("America/Sao_Paulo", "2018-02-18"),
    ("Australia/Lord_Howe", "2025-04-06"),
    ("Australia/Lord_Howe", "2025-10-05"),
    ("Pacific/Apia", "2011-12-30"),
    ("Asia/Tokyo", "2025-03-30"),
]
MINUTES = {"*/20": range(0, 60, 20), "30": [30], "0,15,45": [0, 15, 45], "10-50/20": [10, 30, 50]}
HOURS = {"*": range(24), "*/2": range(0, 24, 2), "2": [2], "0-3": range(4), "1,2": [1, 2], "23": [23]}


def minutes_of(line: str, zone: ZoneInfo, start: datetime, days: int) -> list[datetime]:
    """Return the times of a line by the rule, looking at every minute."""
    minute, hour = line.split()[:2]
    if line.startswith("*") or hour.startswith("*"):
        real = (start + number * MINUTE for number in range(days * 1440))
        return [one for one in real if fits(one.astimezone(zone), minute, hour)]
    begin = start.astimezone(zone).replace(tzinfo=None) - timedelta(days=1)
    walls = (begin + number * MINUTE for number in range((days + 2) * 1440))
    found = {first_shown(wall, zone) for wall in walls if fits(wall, minute, hour)}
    return sorted(one for one in found if start <= one < start + timedelta(days=days))


def fits(moment: datetime, minute: str, hour: str) -> bool:
    return moment.minute in MINUTES[minute] and moment.hour in HOURS[hour]


def first_shown(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return when the clock first shows a time, or the next one that it does show."""
    while wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != wall:
        wall += MINUTE
    return wall.replace(tzinfo=zone).astimezone(UTC)


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(CHANGES), st.sampled_from(sorted(MINUTES)), st.sampled_from(sorted(HOURS)))
def test_cron_lines_fire_by_the_rule(change: tuple[str, str], minute: str, hour: str) -> None:
    zone = ZoneInfo(change[0])
    start = datetime.fromisoformat(f"{change[1]}T00:00").replace(tzinfo=UTC) - timedelta(hours=12)
    before, end = start - MINUTE, start + timedelta(days=2)
    line = f"{minute} {hour} * * *"
    made = KINDS.compile(line, "cron", zone)

    expected = minutes_of(line, zone, start, days=2)

    found = upcoming(made, before, start, len(expected) + 1)
    assert [time for time in found if time < end] == expected
    assert found[-1] >= end


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(CHANGES), st.sampled_from(sorted(MINUTES)), st.integers(-86400, 2 * 86400))
def test_cron_lines_can_be_asked_from_anywhere(change: tuple[str, str], minute: str, passed: int) -> None:
    zone = ZoneInfo(change[0])
    after = datetime.fromisoformat(f"{change[1]}T00:00").replace(tzinfo=UTC) + timedelta(seconds=passed)
    earlier = after - timedelta(hours=4)
    made = KINDS.compile(f"{minute} 0-3 * * *", "cron", zone)

    every = upcoming(made, earlier, earlier, 60)

    assert made.next_after(after, earlier) == next(time for time in every if time > after)


# Days, against NaturalCron, which reads the same lines and shares no code with croniter

DAYS = ["*", "1", "31", "*/9", "l", "15w", "1w", "l,10", "28-31", "?"]
MONTHS = ["*", "2", "3,10", "apr-dec", "*/5"]
WEEKDAYS = ["*", "0", "7", "mon-fri", "5-7", "mon#2", "5l", "tue,thu", "0-0"]


def lines() -> Iterator[str]:
    yield from (f"0 9 {day} {month} *" for day in DAYS for month in MONTHS if (day, month) != ("31", "2"))
    yield from (f"30 0 0 * {month} {weekday}" for month in MONTHS for weekday in WEEKDAYS)


@pytest.mark.parametrize("line", list(lines()))
def test_days_are_those_of_another_reader(line: str) -> None:
    start = datetime(2023, 12, 31, 23, 59, 59, tzinfo=UTC)

    found = upcoming(KINDS.compile(line, "cron", ZoneInfo("UTC")), start, start, 40)

    assert found == from_cron(line).upcoming(40, start)


@pytest.mark.parametrize(
    ("day", "weekday"), [("13", "fri"), ("l", "mon#1"), ("15w", "0"), ("1,10-12", "5l,tue")]
)
def test_a_day_of_the_month_and_one_of_the_week_are_alternatives(day: str, weekday: str) -> None:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    utc = ZoneInfo("UTC")
    both = upcoming(KINDS.compile(f"0 9 {day} * {weekday}", "cron", utc), start, start, 30)
    parts = [f"0 9 {day} * *", *(f"0 9 * * {one}" for one in weekday.split(","))]
    with pytest.raises(ConversionError):
        from_cron(f"0 9 {day} * {weekday}")

    assert both == sorted(union(parts, start))[:30]


WRITTEN_OUT = ["1-31", "1-15,16-31", "1/1", "1-31/1"]
SOME_DAYS = ["*", "?", "28", "1,15", "*/2", "*,3", *WRITTEN_OUT]
WEEK_WRITTEN_OUT = ["0-6", "0-7", "1-7", "sun-sat", "mon-sun", "0/1", "0-6/1", "1,2,3,4,5,6,7", "sat,0-5"]
SOME_WEEKDAYS = ["*", "?", "mon", "0-6/2", "5-7", "1,*", "*/2", *WEEK_WRITTEN_OUT]


@pytest.mark.parametrize("day", SOME_DAYS)
@pytest.mark.parametrize("weekday", SOME_WEEKDAYS)
def test_either_day_may_fit_unless_one_is_a_star(day: str, weekday: str) -> None:
    start = datetime(2026, 11, 25, tzinfo=UTC)
    line = f"0 9 {day} * {weekday}"
    other = croniter(line, start)

    found = upcoming(KINDS.compile(line, "cron", ZoneInfo("UTC")), start, start, 12)

    assert found == [other.get_next(datetime) for _ in range(12)]


@pytest.mark.parametrize("line", ["0 9 28 * 0-6", "0 9 1-31 * 1", "0 9 1-31 * sun-sat", "0 9 28 * mon-sun"])
def test_a_field_that_allows_all_values_lets_every_day_through(line: str) -> None:
    made, daily = (KINDS.compile(text, "cron", ZoneInfo("UTC")) for text in (line, "0 9 * * *"))
    start = datetime(2026, 11, 25, tzinfo=UTC)

    assert upcoming(made, start, start, 40) == upcoming(daily, start, start, 40)
    assert made.describe() == daily.describe()
    assert from_cron(line) == from_cron("0 9 * * *")


@pytest.mark.parametrize(("line", "same"), [("0 9 28 * */1", "0 9 28 * *"), ("0 9 */1 * 1", "0 9 * * 1")])
def test_a_step_of_one_is_a_star(line: str, same: str) -> None:
    start = datetime(2026, 11, 25, tzinfo=UTC)
    one, other = (KINDS.compile(text, "cron", ZoneInfo("UTC")) for text in (line, same))

    assert upcoming(one, start, start, 12) == upcoming(other, start, start, 12)
    assert from_cron(line) == from_cron(same)


def test_a_line_for_a_time_that_is_always_skipped_never_fires() -> None:
    # In Paris the clock is put forward over this hour, on the last Sunday of every March.
    start = datetime(2026, 1, 1, tzinfo=UTC)

    assert KINDS.compile("*/10 2 * 3 0L", "cron", ZoneInfo("Europe/Paris")).next_after(start, start) is None


def union(parts: Sequence[str], start: datetime) -> set[datetime]:
    return {time for part in parts for time in from_cron(part).upcoming(30, start)}
