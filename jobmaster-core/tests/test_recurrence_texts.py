"""Reading expressions: what is meant, and what a user sees when something is wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import inf, nan
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobmaster import ConfigurationError, Cron, Interval, InvalidExpressionError, NaturalCron, SchedulingError
from jobmaster.plugins import Plugins
from jobmaster.recurrence import upcoming

KINDS = Plugins().kinds
UTC = ZoneInfo("UTC")


def refusal(expression: Any, kind: str) -> InvalidExpressionError:
    with pytest.raises(InvalidExpressionError) as caught:
        KINDS.compile(expression, kind, UTC)
    return caught.value


# Intervals


@pytest.mark.parametrize(
    ("written", "every", "text"),
    [
        ("90s", timedelta(seconds=90), "1m30s"),
        ("1h30m", timedelta(minutes=90), "1h30m"),
        (" 1 hour  30 minutes ", timedelta(minutes=90), "1h30m"),
        ("2w 1d", timedelta(days=15), "15d"),
        ("1 HR 1 Min 1.5 SEC", timedelta(hours=1, minutes=1, seconds=1.5), "1h1m1.5s"),
        ("PT5M", timedelta(minutes=5), "5m"),
        ("P1DT12H", timedelta(hours=36), "1d12h"),
        ("p2w", timedelta(days=14), "14d"),
        ("PT1.000001S", timedelta(seconds=1, microseconds=1), "1.000001s"),
        (90, timedelta(seconds=90), "1m30s"),
        (1.5, timedelta(seconds=1.5), "1.5s"),
        (timedelta(days=36525), timedelta(days=36525), "36525d"),
    ],
)
def test_intervals_are_read(written: Any, every: timedelta, text: str) -> None:
    assert Interval(written).every == every
    assert KINDS.compile(written, "interval", UTC).text == text


@given(st.timedeltas(timedelta(seconds=1), timedelta(days=36525)))
def test_every_interval_has_a_text_that_means_the_same(every: timedelta) -> None:
    assert Interval(Interval(every).text).every == every


def test_an_interval_is_the_sum_of_what_is_given() -> None:
    assert Interval("1h", minutes=30) == Interval(hours=1.5) == Interval("PT90M")
    assert Interval(weeks=1, days=1, seconds=1).text == "8d1s"


@pytest.mark.parametrize(
    ("every", "words"),
    [
        ("1h", "Every hour"),
        ("5m", "Every 5 minutes"),
        ("90s", "Every 1 minute and 30 seconds"),
        ("1d1h1.5s", "Every 1 day, 1 hour and 1.5 seconds"),
    ],
)
def test_intervals_describe_themselves(every: str, words: str) -> None:
    assert KINDS.compile(every, "interval", UTC).describe() == words


# Descriptions of the others


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        (NaturalCron("daily at 18:00"), "Every day at 18:00, Europe/Paris time"),
        (NaturalCron("daily at 18:00 tz asia/tokyo"), "Every day at 18:00, Asia/Tokyo time"),
        (Cron("30 2 * * *"), "Every day at 02:30, Europe/Paris time"),
        (Cron("@daily"), "Every day at 00:00, Europe/Paris time"),
        (
            Cron("0 9 1 * mon"),
            "On the 1st at 09:00, or every day on Monday at 09:00, Europe/Paris time",
        ),
        (Cron("0 9 * * fri-sun"), "Every day on Sunday, Friday or Saturday at 09:00, Europe/Paris time"),
        (
            Cron("0 9 1,15w * *"),
            "On the 1st or the workday closest to the 15th of the month at 09:00, Europe/Paris time",
        ),
        (Cron("0 9 * * mon#1,fri"), "At the times of the cron line '0 9 * * mon#1,fri', Europe/Paris time"),
    ],
)
def test_expressions_describe_themselves(expression: Any, words: str) -> None:
    assert KINDS.compile(expression, None, ZoneInfo("Europe/Paris")).describe() == words


# Errors


def test_the_error_fits_both_ways_of_scheduling() -> None:
    error = refusal("61 * * * *", "cron")

    assert isinstance(error, ConfigurationError)
    assert isinstance(error, SchedulingError)


FIRST = """\
natural expression 'every day at 25:00': expected an hour from 0 to 23, not 25
    every day at 25:00
                 ^^"""
SECOND = """\
natural expression 'every\\nday att 9:00 foo': unknown word 'att'; did you mean 'at'?
    day att 9:00 foo
        ^^^
also, at 2:14-17: unknown word 'foo'"""


@pytest.mark.parametrize(
    ("text", "message"), [("every day at 25:00", FIRST), ("every\nday att 9:00 foo", SECOND)]
)
def test_the_words_of_naturalcron_are_passed_through(text: str, message: str) -> None:
    assert str(refusal(text, "natural")) == message


def test_places_and_codes_of_naturalcron_are_passed_through() -> None:
    error = refusal("every\nday at 25:00", "natural")

    assert (error.kind, error.text, error.code) == ("natural", "every\nday at 25:00", "out_of_range")
    assert (error.line, error.column, error.end_column) == (2, 8, 10)


CRON_FAULTS = [
    (
        "61 * * * *",
        "out_of_range",
        1,
        3,
        "minute: expected a number from 0 to 59, a range, a list or a step, not '61'",
    ),
    ("* 24 * * *", "out_of_range", 3, 5, "hour: expected a number from 0 to 23"),
    ("* * 0 * *", "out_of_range", 5, 6, "day of the month: expected a number from 1 to 31"),
    ("* * 32w * *", "unknown_token", 5, 8, "day of the month: expected a number from 1 to 31"),
    ("* * * foo *", "out_of_range", 7, 10, "month: expected a number from 1 to 12 or jan to dec"),
    ("* * * * mon,8", "out_of_range", 13, 14, "day of the week: expected a number from 0 to 7 or sun to sat"),
    ("* * * * mon#6", "unknown_token", 9, 14, "day of the week"),
    ("61  * * * * *", "out_of_range", 1, 3, "second: expected a number from 0 to 59"),
    ("5-1 * * * *", "reversed_range", 1, 4, "minute: the range '5-1' runs backwards"),
    ("*/0 * * * *", "out_of_range", 1, 4, "minute: expected a step from 1 to 59, not '0'"),
    ("*/60 * * * *", "out_of_range", 1, 5, "minute: expected a step from 1 to 59, not '60'"),
    ("*-5 * * * *", "unknown_token", 1, 4, "minute: expected a number"),
    ("*/99999 * * * *", "unknown_token", 1, 8, "minute: expected a number"),
    ("5,,6 * * * *", "unknown_token", 3, 4, "minute: expected a number"),
    ("? * * * *", "unknown_token", 1, 2, "minute: expected a number"),
    ("h * * * *", "out_of_range", 1, 2, "minute: expected a number"),
    ("r(0-5) * * * *", "unknown_token", 1, 7, "minute: expected a number"),
    ("* * * *", "field_count", 1, 8, "expected five fields, or six with the second first, not 4"),
    ("* * * * * * *", "field_count", 1, 14, "expected five fields, or six with the second first, not 7"),
    ("", "field_count", 1, 2, "expected five fields, or six with the second first, not 0"),
    ("@often", "unknown_name", 1, 7, "expected one of @yearly, @annually, @monthly, @weekly, @daily"),
    ("0 0 30 2 *", "never", None, None, "it never fires: no month has such a day"),
    ("0 0 * 2 mon#5l", "unknown_token", 9, 15, "day of the week"),
]


@pytest.mark.parametrize(("text", "code", "column", "end", "reason"), CRON_FAULTS)
def test_cron_says_which_field_is_wrong(
    text: str, code: str, column: int | None, end: int | None, reason: str
) -> None:
    error = refusal(text, "cron")

    assert (error.code, error.column, error.end_column) == (code, column, end)
    assert error.reason.startswith(reason)
    assert str(error).startswith(f"cron expression {' '.join(text.split())!r}: {reason}")


def test_cron_names_every_field_that_is_wrong() -> None:
    assert str(refusal("0 24 foo * *", "cron")) == (
        "cron expression '0 24 foo * *': hour: expected a number from 0 to 23, a range, a list or a step, not '24'\n"
        "    0 24 foo * *\n"
        "      ^^\n"
        "also, at 6-9: day of the month: expected a number from 1 to 31, a range, a list or a step, not 'foo'"
    )


@pytest.mark.parametrize("line", ["0-0 * * * *", "0-0 0-0 * * *", "59-59/5 * * * *", "0 0 1-1 1-1 *"])
def test_a_range_of_one_is_one(line: str) -> None:
    one = " ".join(field.split("-")[0] for field in line.split())

    made, same = (KINDS.compile(text, "cron", UTC) for text in (line, one))

    assert made.describe() == same.describe()


@pytest.mark.parametrize(
    ("expression", "code", "reason"),
    [
        ("", "missing", "expected a duration, such as"),
        ("P", "missing", "expected a duration, such as"),
        ("5", "unknown_token", "expected a number with its unit (w, d, h, m, s)"),
        ("5 parsecs", "unknown_token", "expected a number with its unit"),
        ("5m every", "unknown_token", "expected a number with its unit"),
        ("1m1h", "unexpected", "hours cannot follow minutes; write each unit once, the largest first"),
        ("1h1h", "unexpected", "hours cannot follow hours"),
        (
            "P1M",
            "unknown_token",
            "expected a number with one of W, D, as in P1DT12H30M; months and years have no",
        ),
        ("PT1D", "unknown_token", "expected a number with one of H, M, S"),
        ("0.5s", "out_of_range", "an interval lasts from a second to 100 years"),
        ("999999999999999w", "out_of_range", "an interval lasts from a second to 100 years"),
        (timedelta(0), "out_of_range", "an interval lasts from a second to 100 years"),
        (timedelta(days=-1), "out_of_range", "an interval lasts from a second to 100 years"),
        (timedelta(days=36526), "out_of_range", "an interval lasts from a second to 100 years"),
        (True, "invalid", "expected a duration, such as"),
        (None, "invalid", "expected a duration, such as"),
        (nan, "invalid", "cannot convert float NaN to integer; expected a duration"),
        (inf, "invalid", "cannot convert float infinity to integer; expected a duration"),
    ],
)
def test_what_is_no_interval_is_refused(expression: Any, code: str, reason: str) -> None:
    error = refusal(expression, "interval")

    assert error.code == code
    assert error.reason.startswith(reason)


@pytest.mark.parametrize(
    ("kind", "expected"), [("natural", "expected a string"), ("cron", "expected a cron line")]
)
@pytest.mark.parametrize("expression", [5, None, b"* * * * *", timedelta(1)])
def test_what_is_no_text_is_refused(kind: str, expected: str, expression: Any) -> None:
    assert refusal(expression, kind).reason.startswith(expected)


@pytest.mark.parametrize("make", [NaturalCron, Cron, Interval])
def test_objects_are_checked_when_they_are_made(make: Any) -> None:
    with pytest.raises(InvalidExpressionError):
        make("every dya")
    with pytest.raises(InvalidExpressionError):
        make(5j)


def test_an_interval_without_anything_is_refused() -> None:
    with pytest.raises(InvalidExpressionError, match="an interval lasts from a second to 100 years"):
        Interval()
    with pytest.raises(InvalidExpressionError, match="expected a duration"):
        Interval(minutes="5")  # type: ignore[arg-type]


@given(st.text(max_size=30), st.sampled_from(["interval", "natural", "cron"]))
def test_whatever_the_text_it_compiles_or_is_refused(text: str, kind: str) -> None:
    try:
        made = KINDS.compile(text, kind, UTC)
    except InvalidExpressionError as error:
        reason = error.reason
    else:
        reason = ""
        assert KINDS.compile(made.text, kind, UTC) == made
    assert "the kind failed" not in reason


# Expressions of another kind


@pytest.mark.parametrize("kind", ["natural", "interval"])
@pytest.mark.parametrize(
    "line",
    ["*/5 * * * *", "0 9 * * mon", "0 0 9 * * *", "@daily", "@Hourly", "@midnight", "@reboot", "* * * *"],
)
def test_a_cron_line_where_something_else_is_expected_names_the_kind(line: str, kind: str) -> None:
    error = refusal(line, kind)

    assert error.code == "other_kind"
    assert error.reason == f'these are the fields of a cron line: pass kind="cron", or Cron({line!r})'


@pytest.mark.parametrize("kind", ["cron", "interval"])
@pytest.mark.parametrize(
    "words", ["every day at 9:00", "Every Friday", "daily", "on LastDay", "at noon", "every 5m"]
)
def test_words_where_something_else_is_expected_name_the_kind(words: str, kind: str) -> None:
    error = refusal(words, kind)

    assert (error.code, error.reason) == (
        "other_kind",
        'these are words: pass kind="natural", or leave kind out',
    )


@pytest.mark.parametrize("kind", ["cron", "natural"])
@pytest.mark.parametrize("text", ["5m", "90 s", "1h30m", "5 minutes", "PT5M", "p1dt12h", "1 hour 30 min"])
def test_an_interval_where_something_else_is_expected_names_the_kind(text: str, kind: str) -> None:
    error = refusal(text, kind)

    assert KINDS.compile(text, "interval", UTC).kind == "interval"
    assert (error.code, error.reason) == (
        "other_kind",
        f'this is an interval: pass kind="interval", or Interval({text!r})',
    )


@pytest.mark.parametrize("make", [NaturalCron, Interval])
def test_objects_name_the_kind_too(make: Any) -> None:
    with pytest.raises(InvalidExpressionError, match='pass kind="cron"'):
        make("*/5 * * * *")


def test_hints_of_naturalcron_are_passed_through() -> None:
    assert refusal("every weekday at 9am", "natural").reason == (
        "unknown word 'weekday'; write 'every day between mon and fri at 9am'"
    )


def test_what_may_be_meant_otherwise_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        KINDS.compile("every month on 1st monday at 04:56", "natural", UTC)

    (record,) = (one for one in caplog.records if one.name == "jobmaster.recurrence")
    assert "write 'every month on 1stMonday at 04:56'" in record.getMessage()


# Old schedules


@pytest.mark.parametrize(
    "text",
    [
        "every 7 seconds",
        "every 7 minutes between min 10 and 25",
        "every 13 seconds between sec 10 and 20",
        "every 40 minutes anchoredAt 3 between 9:00 and 17:00",
        "every 2 days at hour [0, 12] at min [0, 30] at sec [0, 1, 2, 3, 4, 5]",
    ],
)
def test_the_next_time_of_an_old_schedule_is_the_one_that_counting_on_finds(text: str) -> None:
    paris = ZoneInfo("Europe/Paris")
    now = datetime(2026, 11, 30, 17, tzinfo=paris)
    old, young = (now.replace(year=2016, second=3), now - timedelta(hours=40))
    made = KINDS.compile(text, "natural", paris)

    times = upcoming(made, young, old, 40)

    assert [made.next_after(one, old) for one in times[:-1]] == times[1:]
    assert KINDS.compile(text, "natural", paris).next_after(times[20], old) == times[21]
