"""Every error says where, what was expected, and, where something is near, what may have been meant."""

from __future__ import annotations

import pickle

import pytest

from naturalcron import ErrorCode, ParseError, Problem, UnknownZoneError, find_zone, parse, try_parse


def problem_of(text: str) -> Problem:
    _, problems = try_parse(text)
    return problems[0]


@pytest.mark.parametrize(
    ("text", "code", "columns", "words"),
    [
        ("every 2 dayz", ErrorCode.UNKNOWN_TOKEN, (9, 13), "did you mean 'day'"),
        ("every 2 days on fridya", ErrorCode.UNKNOWN_TOKEN, (17, 23), "did you mean 'friday'"),
        ("every weekday", ErrorCode.UNKNOWN_TOKEN, (7, 14), "between mon and fri"),
        ("every day at noon", ErrorCode.UNKNOWN_TOKEN, (14, 18), "at 12:00"),
        ("every day in Europe/Lisbon", ErrorCode.UNKNOWN_TOKEN, (14, 27), "'every day tz Europe/Lisbon'"),
        ("every @day", ErrorCode.UNKNOWN_TOKEN, (7, 11), "begin a clause"),
        ("every (day)", ErrorCode.UNKNOWN_TOKEN, (7, 8), "'('"),
        ("daily at 9", ErrorCode.UNEXPECTED, (10, 11), "9 of what? Write 'daily at 9:00'"),
        ("daily at 45", ErrorCode.UNEXPECTED, (10, 12), "minute 45"),
        ("on last", ErrorCode.MISSING, (8, 9), "'last day'"),
        ("on first monday", ErrorCode.UNEXPECTED, (4, 16), "'FirstMonday'"),
        ("at min", ErrorCode.MISSING, (7, 8), "a number after 'min'"),
        ("on ClosestWeekdayTo", ErrorCode.MISSING, (20, 21), "a day after"),
        ("on LastDay -", ErrorCode.MISSING, (13, 14), "a number after '-'"),
        ("on 5th - 2", ErrorCode.UNEXPECTED, (8, 9), "'-'"),
        ("on day 32", ErrorCode.OUT_OF_RANGE, (8, 10), "from 1 to 31"),
        ("at 24:00", ErrorCode.OUT_OF_RANGE, (4, 6), "an hour from 0 to 23"),
        ("at 13pm", ErrorCode.OUT_OF_RANGE, (4, 8), "from 1 to 12"),
        ("at 0pm", ErrorCode.OUT_OF_RANGE, (4, 7), "from 1 to 12"),
        ("at last:30pm", ErrorCode.BAD_TIME, (4, 13), "after 'last'"),
        ("at 9 : 00", ErrorCode.BAD_TIME, (4, 10), "HH:MM"),
        ("at 9:", ErrorCode.BAD_TIME, (4, 6), "HH:MM"),
        ("at 009:00", ErrorCode.BAD_TIME, (4, 10), "HH:MM"),
        ("at am", ErrorCode.UNEXPECTED, (4, 6), "an hour before am or pm"),
        ("on jan-5", ErrorCode.BAD_DATE, (4, 9), "two digits"),
        ("on 2024-1-01", ErrorCode.BAD_DATE, (4, 13), "YYYY-MM-DD"),
        ("on 2024-01-01-01", ErrorCode.BAD_DATE, (4, 17), "YYYY-MM-DD"),
        ("on [mon, tue", ErrorCode.MISSING, (13, 14), "']'"),
        ("on mon]", ErrorCode.UNEXPECTED, (7, 8), "without a '['"),
        ("on [mon, [tue]]", ErrorCode.UNEXPECTED, (10, 11), "none inside"),
        ("on [mon] [tue]", ErrorCode.UNEXPECTED, (10, 11), "one list"),
        ("on [mon, ]", ErrorCode.MISSING, (10, 11), "expected"),
        ("on [mon, tue] 9am", ErrorCode.UNEXPECTED, (15, 18), "'on [mon, tue] at 9am'"),
        ("at day [1, 2] day", ErrorCode.UNEXPECTED, (15, 18), "only one unit"),
        ("on [mon, 5th]", ErrorCode.UNEVEN_LIST, (10, 13), "weekday here, not day"),
        ("on 1st 5th", ErrorCode.DUPLICATE_AT_UNIT, (8, 9), "[a, b]"),
        ("on mon, tue", ErrorCode.DUPLICATE_AT_UNIT, (9, 12), "'on [mon, tue]'"),
        ("every day between 9:00", ErrorCode.MISSING, (23, 24), "'and'"),
        ("every day between mon and 10th", ErrorCode.UNEVEN_RANGE, (19, 31), "weekday, not day"),
        ("every day between 1st jan and mar 5th", ErrorCode.UNEVEN_RANGE, (19, 38), "same order"),
        ("every day between [mon and tue] 9am", ErrorCode.UNEXPECTED, (33, 36), "beside the ranges"),
        ("every day between 22:00 and 02:00", ErrorCode.REVERSED_RANGE, (19, 34), "wrap around"),
        ("every day from", ErrorCode.MISSING, (15, 16), "expected"),
        ("every", ErrorCode.MISSING, (6, 7), "a unit"),
        ("every 3rd month", ErrorCode.UNEXPECTED, (7, 10), "'every 3 months'"),
        ("every 2 monday", ErrorCode.UNEXPECTED, (9, 15), "a unit"),
        ("every monday and friday", ErrorCode.UNEXPECTED, (14, 17), "[mon, fri]"),
        ("every 0 days", ErrorCode.NON_POSITIVE_INTERVAL, (7, 8), "at least 1"),
        ("every 9999999999 days", ErrorCode.OUT_OF_RANGE, (7, 17), "at most"),
        ("every week anchoredOn", ErrorCode.BAD_ANCHOR, (22, 23), "expected an anchor"),
        ("every week anchoredOn 8", ErrorCode.OUT_OF_RANGE, (23, 24), "from 1 to 7"),
        ("every day anchoredOn [1, 2]", ErrorCode.UNEXPECTED, (22, 23), "an anchor like"),
        ("mon at 9:00", ErrorCode.UNEXPECTED, (1, 4), "begins with"),
        ("every day at 9:00 every hour", ErrorCode.DUPLICATE_EVERY, (19, 29), "only one interval"),
        ("every hour at 10:30", ErrorCode.AT_SAME_UNIT_AS_EVERY, (12, 20), "'every hour'"),
        ("every monday on tue", ErrorCode.WEEK_ANCHOR_WITH_WEEK_RULE, (14, 20), "anchored"),
        ("on mon between 9:00 and 10:00", ErrorCode.BETWEEN_WITHOUT_EVERY, (8, 30), "every day"),
        ("tz UTC", ErrorCode.NOTHING_TO_SCHEDULE, (7, 8), "an interval"),
        ("", ErrorCode.NOTHING_TO_SCHEDULE, (1, 2), "an interval"),
        ("every day tz", ErrorCode.MISSING, (13, 14), "a time zone"),
        ("every day tz Lisbon", ErrorCode.UNKNOWN_ZONE, (14, 20), "did you mean 'Europe/Lisbon'"),
        ("every day tz UTC tz UTC", ErrorCode.DUPLICATE_ZONE, (21, 24), "only one"),
    ],
)
def test_problems(text: str, code: ErrorCode, columns: tuple[int, int], words: str) -> None:
    problem = problem_of(text)

    assert (problem.code, problem.line, (problem.column, problem.end_column)) == (code, 1, columns)
    assert words in problem.message


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_lines_are_counted(ends: str) -> None:
    problem = problem_of(f"every day{ends}at 9:00{ends}  on dayy 5")

    assert (problem.line, problem.column, problem.end_column) == (3, 6, 10)


def test_a_problem_over_several_lines_is_marked_on_its_first() -> None:
    problem = problem_of("every day between fri\nand mon")

    assert (problem.line, problem.column, problem.end_column) == (1, 19, 22)


def test_all_unknown_words_are_told_at_once() -> None:
    _, problems = try_parse("every 2 dayz at nune")

    assert [problem.column for problem in problems] == [9, 17]


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "word", ["dayz ", "at 99:00 ", "on [mon, ", "x" * 10, "9" * 10, "tz ", "[", "- ", "   ", "\n"]
)
def test_long_nonsense_is_cheap(word: str) -> None:
    expression, problems = try_parse("every day " + word * 20_000 + "!")

    assert expression is None
    assert 1 <= len(problems) <= 20


def test_each_clause_that_cannot_be_read_is_told() -> None:
    _, problems = try_parse("every at 25:00 on 32nd")

    assert [problem.code for problem in problems] == ["missing", "out_of_range", "out_of_range"]


def test_the_message_points_at_the_place() -> None:
    with pytest.raises(ParseError) as caught:
        parse("every day\n\tat 99:00")

    assert str(caught.value).splitlines() == [
        "2:5-7: expected an hour from 0 to 23, not 99",
        "    \tat 99:00",
        "    \t   ^^",
    ]


def test_errors_survive_pickling() -> None:
    with pytest.raises(ParseError) as caught:
        parse("every 2 dayz")

    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - made one line above

    assert (str(copy), copy.problems) == (str(caught.value), caught.value.problems)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("lisbon", "Europe/Lisbon"), ("Amerca/New_York", "America/New_York"), ("Nowhere/At_All_Here", None)]
    + [(name, None) for name in ("CEST", "PST", "MSK", "GMT+2", "UTC+2", "+02:00", "Etc/UTC+2", "XYZ")],
)
def test_zones_that_there_are_not(name: str, suggestion: str | None) -> None:
    with pytest.raises(UnknownZoneError) as caught:
        find_zone(name)

    assert (caught.value.zone, caught.value.suggestion) == (name, suggestion)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("every day tz CEST", "name the place, such as 'Europe/Paris' or 'Europe/Berlin'"),
        ("daily at 9:00 tz pst", "name the place, such as 'America/Los_Angeles'"),
        ("every day tz UTC+2", "write 'Etc/GMT-2'"),
        ("every day timezone +02:00", "write 'Etc/GMT-2'"),
        ("every day tz UTC+05:30", "name a place that has it"),
        ("every day tz GMT+0:00", "did you mean 'UTC'"),
        ("daily at 9:00 CEST", "as in 'tz Europe/Paris'"),
        ("daily at 9:00 UTC+2", "as in 'every day at 9:00 tz Europe/Paris'"),
    ],
)
def test_abbreviations_and_offsets_are_told_what_to_write(text: str, advice: str) -> None:
    assert advice in problem_of(text).message


def test_an_error_about_a_zone_is_the_same_after_pickling() -> None:
    with pytest.raises(UnknownZoneError) as caught:
        find_zone("CEST")

    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - made one line above

    assert (str(copy), copy.advice) == (str(caught.value), caught.value.advice)


def test_codes_are_unique_and_stable_words() -> None:
    assert all(code.value == code.name.lower() for code in ErrorCode)
