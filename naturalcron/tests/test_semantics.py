"""What expressions mean: the consequences of the rules, and the decisions where the language leaves a choice."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from naturalcron import Expression, parse


def upcoming(text: str, start: str, n: int) -> list[str]:
    found = parse(text).upcoming(n, datetime.fromisoformat(start))
    return [f"{moment:%Y-%m-%d %H:%M:%S}".removesuffix(":00") for moment in found]


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        # A list is gone through before the interval is stepped.
        ("every 2 days at [10:10, 11:10]", "2024-01-01 00:00",
         ["2024-01-01 10:10", "2024-01-01 11:10", "2024-01-03 10:10"]),
        ("every 2 weeks on [thu, sun]", "2024-01-05 00:00",
         ["2024-01-07 00:00", "2024-01-11 00:00", "2024-01-21 00:00"]),
        # Lists over different units multiply; one list of pairs does not.
        ("at [9:00, 17:00] on [mon, fri]", "2024-01-01 00:00",
         ["2024-01-01 09:00", "2024-01-01 17:00", "2024-01-05 09:00", "2024-01-05 17:00"]),
        ("at [mon 9:00, fri 17:00]", "2024-01-01 00:00", ["2024-01-01 09:00", "2024-01-05 17:00"]),
        # A step out of a window is dropped; the next window starts anew.
        ("every 25 minutes between 10:00 and 11:00", "2024-01-01 10:00",
         ["2024-01-01 10:25", "2024-01-01 10:50", "2024-01-02 10:00"]),
        # The time of day is kept if nothing sets it.
        ("every week on [fri, tue] between 1pm and 3pm", "2024-01-07 14:00", ["2024-01-09 14:00"]),
        ("every week on [fri, tue] between 1pm and 3pm", "2024-01-07 00:00", ["2024-01-09 13:00"]),
        ("every week between 1:00pm and 3:00pm", "2024-01-07 11:00", ["2024-01-07 13:00", "2024-01-14 13:00"]),
        # Months without the day are skipped; intervals of months clamp, and drift.
        ("every month on 30th", "2024-02-01 00:00", ["2024-03-30 00:00", "2024-04-30 00:00"]),
        ("every month", "2024-01-31 00:00", ["2024-02-29 00:00", "2024-03-29 00:00"]),
        ("on 31st feb", "2024-01-01 00:00", []),
        # Weekdays under months mean the first one; beside a day they are one more condition.
        ("every month on mon", "2024-01-02 00:00", ["2024-02-05 00:00", "2024-03-04 00:00"]),
        ("every month on 13th on fri", "2024-01-01 00:00", ["2024-09-13 00:00", "2024-12-13 00:00"]),
        # Grids restart in each parent.
        ("every 5 hours anchoredAt 0", "2024-01-01 15:00", ["2024-01-01 20:00", "2024-01-02 00:00"]),
        ("every 24 months anchoredIn jan", "2024-01-15 00:00", ["2026-01-15 00:00", "2028-01-15 00:00"]),
        ("every monday at 09:00", "2024-01-02 10:00", ["2024-01-08 09:00", "2024-01-15 09:00"]),
        ("every 7 years anchoredOn 2020 at 1st jan 9am", "2024-01-01 00:00", ["2027-01-01 09:00", "2034-01-01 09:00"]),
        # Ranges last to the end of their smallest unit.
        ("every 30 minutes between 9am and 9am", "2024-01-01 00:00", ["2024-01-01 09:00", "2024-01-01 09:30"]),
        ("every 30 seconds between 9:00 and 9:00", "2024-01-01 00:00",
         ["2024-01-01 09:00", "2024-01-01 09:00:30", "2024-01-02 09:00"]),
        ("every day between 30th and 31st", "2024-02-01 00:00", ["2024-02-29 00:00", "2024-03-30 00:00"]),
        ("every hour between 10th 22:00 and 11th 1:00", "2024-01-10 21:30",
         ["2024-01-10 22:00", "2024-01-10 23:00", "2024-01-11 00:00", "2024-01-11 01:00", "2024-02-10 22:00"]),
        ("every 12 hours between mon 9:00 and tue 17:00", "2024-01-01 00:00",
         ["2024-01-01 09:00", "2024-01-02 09:00", "2024-01-08 09:00"]),
        ("every day from thu", "2024-01-01 00:00",
         ["2024-01-04 00:00", "2024-01-05 00:00", "2024-01-06 00:00", "2024-01-11 00:00"]),
        ("every day between mon and fri between 8th and 14th", "2024-01-12 00:00", ["2024-02-08 00:00"]),
        # A date with a year ends the series.
        ("at 2024-05-01 10:00", "2024-01-01 00:00", ["2024-05-01 10:00"]),
        ("every 2147483647 days", "2024-01-01 00:00", []),
    ],
)  # fmt: skip
def test_consequences(text: str, start: str, expected: list[str]) -> None:
    found = upcoming(text, start, max(2, len(expected)))

    assert found[: len(expected)] == expected
    assert expected or found == []


# The decisions, by the names the reference gives them


def test_d1_a_time_without_seconds_is_the_start_of_its_minute() -> None:
    assert upcoming("at 9pm", "2024-01-01 10:20:30", 1) == ["2024-01-01 21:00"]
    assert upcoming("daily at 14:00", "2024-01-01 10:20:30", 1) == ["2024-01-01 14:00"]
    assert upcoming("every minute at hour 10", "2024-01-01 10:20:30", 1) == ["2024-01-01 10:21"]
    assert upcoming("every minute", "2024-01-01 10:20:30", 1) == ["2024-01-01 10:21:30"]


def test_d1_units_that_a_range_names_stay_open() -> None:
    assert upcoming("every day at 9am between min 10 and 20", "2024-01-01 00:00", 1) == ["2024-01-01 09:10"]
    assert upcoming("every day at 9:15 between sec 10 and 20", "2024-01-01 00:00", 1) == [
        "2024-01-01 09:15:10"
    ]


def test_d2_a_period_is_entered_at_its_first_moment() -> None:
    assert upcoming("every 6 hours in feb", "2024-01-15 10:20", 2) == ["2024-02-01 00:00", "2024-02-01 06:00"]
    assert upcoming("every day in feb", "2024-01-15 10:20", 2) == ["2024-02-01 10:20", "2024-02-02 10:20"]


def test_d3_a_step_keeps_the_values_inside_a_range() -> None:
    found = upcoming("every 5 minutes between sec 10 and 20", "2024-01-01 00:00:15", 2)

    assert found == ["2024-01-01 00:05:15", "2024-01-01 00:10:15"]


def test_d6_an_anchored_interval_that_does_not_divide_restarts_each_parent() -> None:
    assert upcoming("every 25 minutes anchoredAt 0", "2024-01-01 00:00", 3) == [
        "2024-01-01 00:25",
        "2024-01-01 00:50",
        "2024-01-01 01:00",
    ]


def test_d7_the_last_alternative_is_the_last_that_the_month_has() -> None:
    assert upcoming("every 2 months on [15th, 31st]", "2024-04-01 00:00", 3) == [
        "2024-04-15 00:00",
        "2024-06-15 00:00",
        "2024-08-15 00:00",
    ]


# Expressions as values


def test_spelling_and_order_make_no_difference() -> None:
    one = parse("every 2 weeks on [mon, fri] at 9:00 tz utc")
    two = parse("@TZ UTC @At 09:00\n@In [Monday, Friday]; @Every 2 wks")

    assert (one, hash(one)) == (two, hash(two))
    assert one != parse("every 2 weeks on [mon, fri] at 9:01 tz utc")
    assert one != "every 2 weeks on [mon, fri] at 9:00 tz utc"


def test_expressions_are_immutable_and_can_be_pickled() -> None:
    expression = parse("every 2 weeks")

    with pytest.raises(AttributeError):
        expression.text = "daily"  # type: ignore[misc]  # the point of the test
    copy = pickle.loads(pickle.dumps(expression))  # noqa: S301 - made in the same line
    assert isinstance(copy, Expression)
    assert (copy, str(copy), repr(copy)) == (expression, "every 2 weeks", "parse('every 2 weeks')")


def test_threads_share_an_expression() -> None:
    text = "every 3 months on [1stMon, LastDay - 1] at [9:00, 17:30]"
    starts = [datetime(2000 + year, 1, 1) for year in range(80)]
    expected = [parse(text).upcoming(5, start) for start in starts]

    shared = parse(text)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda start: shared.upcoming(5, start), starts))

    assert found == expected


def test_warnings_tell_what_has_no_effect() -> None:
    assert parse("every 3 days anchoredAt 12:00").warnings == (
        "the anchor '12:00' has no effect on an interval of days",
    )
    assert parse("every 3 hours anchoredAt 5am").warnings == ()
    assert upcoming("every 3 hours anchoredAt 5am", "2024-01-01 00:00", 1) == ["2024-01-01 02:00"]


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "text",
    ["on feb-30", "every month on 5thMon on tue", "every day between 12:00 and 13:00 at 14:00", "at 2020-01-01",
     "every 2 seconds anchoredAt 1 between sec 10 and 10", "every 7 years anchoredOn 2020 on feb-30",
     "every year anchoredOn 2020 on feb-30", "every second between feb-30 and feb-30 in jan"],
)  # fmt: skip
def test_the_impossible_is_answered(text: str) -> None:
    assert parse(text).next(datetime(2024, 1, 1)) is None
