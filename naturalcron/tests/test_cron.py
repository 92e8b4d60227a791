"""Cron in both directions: exact, or refused with all reasons. The other opinion is croniter's."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from naturalcron import ConversionError, from_cron, parse, to_cron


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("daily at 09:00", "0 9 * * *"),
        ("at [9:00, 17:00]", "0 9,17 * * *"),
        ("at [10:00, 10:30, 14:00, 14:30]", "*/30 10,14 * * *"),
        ("every minute at sec 0", "* * * * *"),
        ("every 15 minutes anchoredAt 0 at sec 0", "*/15 * * * *"),
        ("every 25 minutes anchoredAt 5 at sec 0", "5,30,55 * * * *"),
        ("every 2 hours anchoredAt 1 at min 30", "30 1,3,5,7,9,11,13,15,17,19,21,23 * * *"),
        ("every hour at min 15", "15 * * * *"),
        ("every hour at min 0 between 9:00 and 17:00", "0 9-17 * * *"),
        ("every day between mon and fri at 18:00", "0 18 * * 1-5"),
        ("every day from thu at 18:00", "0 18 * * 4-6"),
        ("every monday at 9:00", "0 9 * * 1"),
        ("every week on [sun, wed] at 9:00", "0 9 * * 0,3"),
        ("every day between [jan and feb, jul and aug] at 0:00", "0 0 * 1,2,7,8 *"),
        ("every month on [1st, 15th] at 9pm", "0 21 1,15 * *"),
        ("every month on FirstDay + 1 at 9pm", "0 21 2 * *"),
        ("every 3 months anchoredIn jan on 1st at 0:00", "0 0 1 */3 *"),
        ("every hour at min 0 from 10th", "0 * 10-31 * *"),
        ("every year on 25th dec at 0:00", "0 0 25 12 *"),
        ("at [1st jan, 2nd jan, 1st feb, 2nd feb] at 9:00", "0 9 1,2 1,2 *"),
    ],
)
def test_to_cron(text: str, line: str) -> None:
    expression = parse(text)

    assert to_cron(expression) == line
    assert from_cron(line).upcoming(50, datetime(2024, 1, 1)) == expression.upcoming(50, datetime(2024, 1, 1))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("on LastDay at 17:00", "0 17 L * *"),
        ("on LastDay - 2 at 17:00", "0 17 L-2 * *"),
        ("on [LastDay, 15th] at 9:00", "0 9 15,L * *"),
        ("on LastWeekday at 17:00", "0 17 LW * *"),
        ("on FirstWeekday at 17:00", "0 17 1W * *"),
        ("on ClosestWeekdayTo 15 at 17:00", "0 17 15W * *"),
        ("on 2ndFri at 17:00", "0 17 * * 5#2"),
        ("on [1stMon, LastFri] at 17:00", "0 17 * * 1#1,5L"),
        ("every month on wed at 17:00", "0 17 * * 3#1"),
    ],
)
def test_marks(text: str, line: str) -> None:
    expression = parse(text)

    assert to_cron(expression, marks=True) == line
    assert from_cron(line).upcoming(50, datetime(2024, 1, 1)) == expression.upcoming(50, datetime(2024, 1, 1))
    with pytest.raises(ConversionError, match="marks=True"):
        to_cron(expression)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("every 10 seconds anchoredAt 0", "*/10 * * * * *"),
        ("every second at 10:30", "* 30 10 * * *"),
        ("every hour at min 15, sec 30", "30 15 * * * *"),
        ("daily at 9:00", "0 0 9 * * *"),
    ],
)
def test_six_fields(text: str, line: str) -> None:
    assert to_cron(parse(text), seconds=True) == line
    assert from_cron(line).upcoming(50, datetime(2024, 1, 1)) == parse(text).upcoming(
        50, datetime(2024, 1, 1)
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("every 15 minutes", "*/15 * * * *"),
        ("every 2 hours", "0 */2 * * *"),
        ("every 30 minutes between 09:00 and 17:59", "*/30 9-17 * * *"),
        ("every day", "0 0 * * *"),
        ("every day on [mon, fri]", "0 0 * * 1,5"),
        ("every month", "0 0 1 * *"),
        ("every 3 months", "0 0 1 */3 *"),
        ("every year", "0 0 1 1 *"),
        # What a start leaves of units that are not set, or counts beside ones that are.
        ("every 2 hours at minute 30", "30 */2 * * *"),
        ("every 3 hours at min [0, 30]", "*/30 */3 * * *"),
        ("every 2 hours at min 30 between 9:00 and 17:00", "30 9,11,13,15 * * *"),
        ("every 6 hours at min 15 between mon and fri", "15 */6 * * 1-5"),
        ("every day at min 30", "30 0 * * *"),
        ("every day between 9:00 and 10:00", "0 9 * * *"),
        ("every month between 9:00 and 10:00", "0 9 1 * *"),
        ("every 6 months on 1st at 09:00", "0 9 1 */6 *"),
        ("every 6 months at 09:00", "0 9 1 */6 *"),
        ("every 12 months on 25th at 09:00", "0 9 25 1 *"),
        ("every 2 months on [1st, 15th] at 9:00", "0 9 1,15 */2 *"),
        ("every 2 months between mar and dec on 1st at 9:00", "0 9 1 3,5,7,9,11 *"),
        ("every 6 months between feb and dec on 1st at 9:00", "0 9 1 2,8 *"),
        ("every month from 2nd", "0 0 2 * *"),
        ("every year from 10th", "0 0 10 1 *"),
        # Counts that go beyond their field, and still are the same on each day.
        ("every 60 minutes", "0 * * * *"),
        ("every 3600 seconds", "0 * * * *"),
        ("every 24 hours at min 30", "30 0 * * *"),
        ("every 1440 minutes", "0 0 * * *"),
        # Windows that begin the count anew, where it always comes to the same.
        ("every 30 minutes from 9:10", "10,40 9-23 * * *"),
        ("every 30 minutes between min 10 and 50", "10,40 * * * *"),
        ("every 25 minutes between min 10 and 20", "10 * * * *"),
        ("every 3 hours between 9:00 and 17:59", "0 9,12,15 * * *"),
        ("every 12 hours in jan", "0 */12 * 1 *"),
    ],
)
def test_from_a_round_start(text: str, line: str) -> None:
    expression = parse(text)

    assert to_cron(expression, aligned=True) == line
    assert from_cron(line).upcoming(99, datetime(2024, 1, 1)) == expression.upcoming(99, datetime(2024, 1, 1))
    with pytest.raises(ConversionError):
        to_cron(expression)


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("every 15 minutes", ["counts from the start", "second"]),
        ("every day", ["hour"]),
        ("every 2 weeks on mon at 9:00", ["count weeks"]),
        ("every week at 9:00", ["weekday"]),
        ("every week on 15th at 9:00", ["step of a week"]),
        ("every 2 years on 1st jan at 9:00", ["count years"]),
        ("every 24 months anchoredIn jan on 1st at 9:00", ["24 months"]),
        ("daily at 9:00 tz Europe/Lisbon", ["Europe/Lisbon"]),
        ("at 2025-01-01 9:00 tz UTC", ["years", "UTC"]),
        ("every day from 2025-01-01 at 9:00", ["years"]),
        ("at [10:00, 14:30]", ["one set of hours"]),
        ("at [mon 9:00, fri 17:00]", ["pair days with times"]),
        ("at [1st jan, 2nd feb] at 9:00", ["pair days with months"]),
        ("on 13th on fri at 9:00", ["alternatives"]),
        ("every hour at min 0 between 30th and 31st", ["moves from month to month"]),
        ("every hour at min 0 between 10th 9:00 and 15th 17:00", ["over several units"]),
        ("on FirstWeekday + 1 at 9:00", ["counted from another one"]),
        ("at 9:00:30", ["seconds=True"]),
        ("every day between 12:00 and 13:00 at 14:00", ["no occurrences"]),
        (
            "every 40 minutes between 9:15 and 10:40 tz UTC on mon on 5th",
            ["start", "several|one set", "UTC", "altern"],
        ),
    ],
)
def test_everything_inexact_is_refused_with_all_reasons(text: str, reasons: list[str]) -> None:
    with pytest.raises(ConversionError) as caught:
        to_cron(parse(text))

    for reason in reasons:
        assert any(word in str(caught.value) for word in reason.split("|")), caught.value.reasons
    assert (caught.value.source, caught.value.target) == (text, "cron")


@pytest.mark.parametrize("text", ["every 7 minutes", "every 2 days", "every week", "every 90 minutes",
                                  "every 7 minutes between mon and fri", "every 48 hours", "every 5 months",
                                  "every 6 months on 31st at 9:00 between feb and dec",
                                  "every 2 months on 31st at 9:00", "every month from 30th"])  # fmt: skip
def test_a_round_start_does_not_help(text: str) -> None:
    with pytest.raises(ConversionError):
        to_cron(parse(text), aligned=True)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("*/15 * * * *", "every 15 minutes anchoredAt 0 at second 0"),
        ("0 9 * * 1-5", "every day between Mon and Fri at 09:00"),
        ("0 9 * * 7", "every day on Sun at 09:00"),
        ("30 9,17 1,15 * *", "on [1st, 15th] at [09:30, 17:30]"),
        ("*/10 9-17 * * mon-fri",
         "every 10 minutes anchoredAt 0 between Mon and Fri between hour 9 and 17 at second 0"),
        ("0 */2 * * *", "every 2 hours anchoredAt 0 at minute 0"),
        ("0 0 29 FEB ?", "on 29th in Feb at 00:00"),
        ("@hourly", "every hour at minute 0"),
        ("@Daily", "every day at 00:00"),
        ("0 0 15W,L-2 * *", "on [ClosestWeekdayTo 15, LastDay - 2] at 00:00"),
        ("5/20 * * * *", "every hour at minute [5, 25, 45]"),
    ],
)  # fmt: skip
def test_from_cron(line: str, text: str) -> None:
    assert from_cron(line).text == text


@pytest.mark.parametrize(
    ("line", "reasons"),
    [
        ("* * * *", ["not 4"]),
        ("60 24 32 13 8", ["minute: '60'", "hour: '24'", "day: '32'", "month: '13'", "weekday: '8'"]),
        ("5-1 */0 x * *", ["minute: '5-1'", "hour: '*/0'", "day: 'x'"]),
        ("0 0 1 * 1", ["alternatives"]),
        ("0 0 * * 1,5#2", ["mixes"]),
        ("@reboot", ["not 1"]),
    ],
)
def test_lines_that_are_refused(line: str, reasons: list[str]) -> None:
    with pytest.raises(ConversionError) as caught:
        from_cron(line)

    for reason in reasons:
        assert any(reason in one for one in caught.value.reasons), caught.value.reasons


@pytest.mark.parametrize(
    ("line", "start", "expected"),
    [
        ("30 2 * * *", "2025-03-30T00:00", ["30 03:30+0200", "31 02:30+0200"]),
        ("0,20,40 2 * * *", "2025-03-30T00:00", ["30 03:00+0200", "30 03:20+0200", "30 03:40+0200"]),
        ("*/20 2 * * *", "2025-03-30T00:00", ["30 03:00+0200", "30 03:20+0200", "30 03:40+0200"]),
        ("*/15 * * * *", "2025-10-26T02:30", ["26 02:45+0200", "26 03:00+0100"]),
        ("30 2 * * *", "2025-10-26T00:00", ["26 02:30+0200", "27 02:30+0100"]),
    ],
)
def test_where_the_clock_changes_an_expression_goes_by_its_own_rules(
    line: str, start: str, expected: list[str]
) -> None:
    begin = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo("Europe/Paris"))

    found = from_cron(line).upcoming(len(expected), begin)

    assert [f"{moment:%d %H:%M%z}" for moment in found] == expected
    assert "Where the clock of a zone changes" in (from_cron.__doc__ or "")


@pytest.mark.parametrize(
    "line", ["0 9 28 * 0-6", "0 9 1-31 * 1", "0 9 1-15,16-31 * sun-sat", "0 9 28 * mon-sun", "0 9 1-31,L * 1"]
)
def test_a_day_that_is_written_out_in_full_always_fits(line: str) -> None:
    assert from_cron(line) == from_cron("0 9 * * *")


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("0 9 28 * */1", "0 9 28 * *"),
        ("0 9 */1 * 1", "0 9 * * 1"),
        ("0 9 28 * ?", "0 9 28 * *"),
        ("0 9 ? * 1", "0 9 * * 1"),
        ("0 9 *,3 * 1", "0 9 * * 1"),
        ("0-59 0-23 * 1-12 *", "* * * * *"),
        ("0 9 * * fri-sun", "0 9 * * 5,6,0"),
        ("0 9 * * 5-0", "0 9 * * 5,6,0"),
        ("0 9 1-31 * */2", "0 9 * * */2"),
    ],
)
def test_a_star_leaves_the_day_to_the_other_field(line: str, same: str) -> None:
    assert from_cron(line) == from_cron(same)


# Against croniter


def field(low: int, high: int) -> st.SearchStrategy[str]:
    value = st.integers(low, high)
    span = st.tuples(value, value).filter(lambda ends: ends[0] < ends[1]).map("{0[0]}-{0[1]}".format)
    step = st.builds(lambda base, n: f"{base}/{n}", st.just("*") | span, st.integers(1, high))
    item = value.map(str) | span | step
    return st.just("*") | st.just("*") | item | st.lists(item, min_size=1, max_size=3).map(",".join)


@st.composite
def lines(draw: st.DrawFn) -> str:
    minute, hour = draw(field(0, 59)), draw(field(0, 23))
    day, weekday = draw(field(1, 28)), draw(field(0, 6))
    if draw(st.booleans()):
        day = "*"
    else:
        weekday = "*"
    return f"{minute} {hour} {day} {draw(field(1, 12))} {weekday}"


@settings(max_examples=150, deadline=None)
@given(lines(), st.datetimes(datetime(2024, 1, 1), datetime(2026, 1, 1)))
def test_a_line_and_its_expression_fire_at_the_same_moments(line: str, start: datetime) -> None:
    start = start.replace(tzinfo=UTC)
    expression = from_cron(line)
    other = croniter(line, start)
    expected = [other.get_next(datetime) for _ in range(8)]

    assert expression.upcoming(8, start) == expected


@settings(max_examples=150, deadline=None)
@given(lines(), st.datetimes(datetime(2024, 1, 1), datetime(2026, 1, 1)))
def test_there_and_back(line: str, start: datetime) -> None:
    back = from_cron(to_cron(from_cron(line)))

    assert back.upcoming(8, start) == from_cron(line).upcoming(8, start)


CLAUSES = ["every day", "every hour", "every minute", "every month", "every 20 minutes anchoredAt 0", "every mon",
           "every 5 hours anchoredAt 2", "at 9:00", "at [9:00, 17:30]", "at min 5", "at sec 0", "at min [0, 30]",
           "on [mon, fri]", "on 5th", "on day [1, 31]", "in jan", "in [feb, jul]", "between 9:00 and 16:59",
           "between mon and thu", "from 20th", "upto aug", "between hour 3 and 5", "every week", "every year",
           "every 15 minutes", "every 6 hours", "every 4 months", "every 90 minutes", "every 2 hours", "every 120 minutes",
           "at min 30", "at min [10, 40]", "on [1st, 15th]", "between min 10 and 20", "between 9:10 and 17:00",
           "every 6 months", "every 7 minutes", "on 30th", "between mar and dec", "from 2nd", "every 24 hours"]  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(CLAUSES), min_size=1, max_size=4, unique=True), st.booleans(),
       st.datetimes(datetime(2024, 1, 1), datetime(2026, 1, 1)))  # fmt: skip
def test_what_is_converted_fires_at_the_same_moments(
    clauses: list[str], aligned: bool, start: datetime
) -> None:
    try:
        expression = parse(" ".join(clauses))
        line = to_cron(expression, aligned=aligned)
    except ConversionError as error:
        never = any("no occurrences" in reason for reason in error.reasons)
        assert never == (parse(error.source).next(datetime(1, 1, 1)) is None)  # noqa: PT017 - raised or not
        return
    except ValueError:
        return  # these do not go together
    start = start.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0) if aligned else start
    start = start.replace(tzinfo=UTC)
    other = croniter(line, start)

    assert expression.upcoming(6, start) == [other.get_next(datetime) for _ in range(6)]
