"""What people write who do not know the language: each hint proposes what parses, and means what was said."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naturalcron import ConversionError, ErrorCode, Problem, from_cron, parse, try_parse
from naturalcron.english import CHOICES, NOTHING, OFTEN

SAME = {
    # abbreviations, plurals, numbers in words
    "every thurs": "every thursday",
    "every tues at 9:00": "every tuesday at 9:00",
    "on weds at 9:00": "on wednesday at 9:00",
    "in sept": "in september",
    "on sept 5th": "on 5th september",
    "every mondays": "every monday",
    "mondays at 9:00": "every monday at 9:00",
    "every five minutes": "every 5 minutes",
    "every two weeks": "every 2 weeks",
    "every 5m": "every 5 minutes",
    "every 10s": "every 10 seconds",
    "every 2 h": "every 2 hours",
    "5 minutes": "every 5 minutes",
    "run every day at 9:00": "every day at 9:00",
    "each day at 9:00": "every day at 9:00",
    "each monday": "every monday",
    "once every 5 minutes": "every 5 minutes",
    "once a day": "every day",
    "once per week": "every week",
    # workdays and weekends
    "every weekday": "every day between mon and fri",
    "every weekday at 9am": "every day between mon and fri at 9:00",
    "weekdays at 9:00": "every day between mon and fri at 9:00",
    "on weekdays at 9am": "every day between mon and fri at 9:00",
    "every workday at 9:00": "every day between mon and fri at 9:00",
    "every business day at 9:00": "every day between mon and fri at 9:00",
    "business days at 9:00": "every day between mon and fri at 9:00",
    "every working day at 9:00": "every day between mon and fri at 9:00",
    "every weekend": "on [sat, sun]",
    "weekends at 10:00": "on [sat, sun] at 10:00",
    "every day except sunday": "every day between mon and sat",
    "every day except weekends at 9:00": "every day between mon and fri at 9:00",
    "every day but wednesday at 9:00": "every week on [sun, mon, tue, thu, fri, sat] at 9:00",
    "monday to friday at 9:00": "every day between mon and fri at 9:00",
    "mon-fri at 9:00": "every day between mon and fri at 9:00",
    "every day from monday through friday at 9:00": "every day between mon and fri at 9:00",
    # every nth
    "every other day": "every 2 days",
    "every other friday": "every 2 weeks on friday",
    "every other week": "every 2 weeks",
    "every second day": "every 2 days",
    "every third week": "every 3 weeks",
    "every 3rd month": "every 3 months",
    "every 3 fridays": "every 3 weeks on friday",
    "every first monday": "on 1stMonday",
    "every 1st monday of the month": "on 1stMonday",
    "first monday of the month": "on 1stMonday",
    "every month on the first monday": "on 1stMonday",
    "every month on last friday at 17:00": "on LastFriday at 17:00",
    "on the last friday of the month": "on LastFriday",
    "every second tuesday of the month": "on 2ndTuesday",
    # days of the month
    "the first of the month": "on 1st",
    "on the 1st of the month": "on 1st",
    "on the 15th": "on 15th",
    "every 15th at 9:00": "on 15th at 9:00",
    "every 1st and 15th at 9:00": "on [1st, 15th] at 9:00",
    "every month on the 1st and 15th": "every month on [1st, 15th]",
    "last day of month": "on LastDay",
    "last day of the month at 18:00": "on LastDay at 18:00",
    "end of month": "on LastDay",
    "beginning of the month": "on 1st",
    "every month on 15": "every month on 15th",
    "every jan 1": "on 1st jan",
    "every 1st of january": "on 1st january",
    "every january": "every year in january",
    "on 31-12": "on 12-31",
    "on 2024/01/02": "on 2024-01-02",
    "at 2024-01-02T09:00": "at 2024-01-02 09:00",
    # several
    "every day at 9am and 5pm": "every day at [9:00, 17:00]",
    "every day at 9:00, 17:00": "every day at [9:00, 17:00]",
    "every day at 9am, 1pm and 5pm": "every day at [9am, 1pm, 5pm]",
    "every day at 9:00 or 17:00": "every day at [9:00, 17:00]",
    "every monday and friday at 9:00": "every week on [mon, fri] at 9:00",
    "every mon,wed,fri": "every week on [mon, wed, fri]",
    "on mon, fri": "on [mon, fri]",
    "every week on monday wednesday": "every week on [mon, wed]",
    "every monday and": "every monday",
    # times and intervals
    "at noon": "at 12:00",
    "every day at midnight": "every day at 0:00",
    "every day at 13pm": "every day at 13:00",
    "at 24:00": "at 0:00",
    "at 9": "at 9:00",
    "at 9.30": "at 9:30",
    "at 9h30": "at 9:30",
    "at half past 9": "at 9:30",
    "daily at 9:00 a.m.": "daily at 9:00",
    "9:00 daily": "daily at 9:00",
    "every day 9am": "every day at 9:00",
    "monday 9:00": "every monday at 9:00",
    "weekly monday 9:00": "weekly on monday at 9:00",
    "on the hour": "every hour at min 0",
    "every hour at :15": "every hour at min 15",
    "every hour at 15 past": "every hour at min 15",
    "every 2 hours at 30": "every 2 hours at min 30",
    "every 1.5 hours": "every 90 minutes",
    "every half hour": "every 30 minutes",
    "every quarter of an hour": "every 15 minutes",
    "every hour and a half": "every 90 minutes",
    "every minute and a half": "every 90 seconds",
    "every fortnight": "every 2 weeks",
    "quarterly": "every 3 months",
    "every quarter": "every 3 months",
    "semiannually": "every 6 months",
    "annually": "yearly",
    "every couple of days": "every 2 days",
    "every night at 2am": "every day at 2:00",
    "every morning at 8": "every day at 8:00",
    "thrice a week at 9:00": "every week on [mon, wed, fri] at 9:00",
    "every single day at nine": "every day at 9:00",
    "every day at 9 in the evening": "every day at 21:00",
    "every friday evening at 6pm": "every friday at 18:00",
    "every hour at 15 and 45": "every hour at min [15, 45]",
    "at 15 and 45 minutes past the hour": "at min [15, 45]",
    "every minute of every hour": "every minute",
    '"every 5 minutes".': "every 5 minutes",
    "every day @ 9:00": "every day at 9:00",
    # in other places
    "tuesdays and thursdays at 6pm": "every week on [tue, thu] at 18:00",
    "mon/wed/fri at 9:00": "every week on [mon, wed, fri] at 9:00",
    "sat & sun at 10:00": "every week on [sat, sun] at 10:00",
    "every weekday except friday at 9:00": "every day between mon and thu at 9:00",
    "every 10 minutes on weekdays": "every 10 minutes between mon and fri",
    "every day at 9am on weekdays": "every day at 9am between mon and fri",
    "at 9am on weekdays": "every day at 9am between mon and fri",
    "last working day of the month": "on LastWeekday",
    "first business day of the month at 9:00": "on FirstWeekday at 9:00",
    "at 8:30 on the 1st of every month": "on 1st at 8:30",
    "every last day of the month": "on LastDay",
    "the third thursday of november": "on 3rdThursday in november",
    "every 4th of july": "on 4th july",
    "yearly on january 1": "yearly on 1st january",
    "every day in jan-mar": "every day between jan and mar",
    "every day from 1st january to 31st march": "every day between 1st january and 31st march",
    # parts of the day
    "every evening at 8": "every day at 20:00",
    "every night at 10": "every day at 22:00",
    "every night at 12": "every day at 0:00",
    "every night at midnight": "every day at 0:00",
    "every afternoon at 3:30": "every day at 15:30",
    "every evening at half past 8": "every day at 20:30",
    "every friday afternoon at 5": "every friday at 17:00",
    "every monday evening at 6:15": "every monday at 18:15",
    "friday nights at 10": "every friday at 22:00",
    "tuesday night at 9": "every tuesday at 21:00",
    "nightly at 10:30": "every day at 22:30",
    "evenings at 8": "every day at 20:00",
    "at 8 every evening": "every day at 20:00",
    "at 8 on monday evenings": "on monday at 20:00",
    "every other evening at 8": "every 2 days at 20:00",
    "every day at 11 at night": "every day at 23:00",
    "every weekday morning at 8": "every day between mon and fri at 8:00",
    "weekend mornings at 10": "on [sat, sun] at 10:00",
    "every evening at 8 and 10": "every day at [20:00, 22:00]",
    "every day at 6 in the morning and 8 in the evening": "every day at [6:00, 20:00]",
    "every morning and evening at 8": "every day at [8:00, 20:00]",
    "every day in the evening": "every day at 18:00",
    "every hour between 9 in the morning and 5 in the afternoon": "every hour between 9:00 and 17:00",
    "every 10 minutes from 7 to 9 in the evening": "every 10 minutes between 19:00 and 21:00",
    "every early morning at 5": "every day at 5:00",
    "every midnight": "every day at 0:00",
    "every day at 12 midnight": "every day at 0:00",
    # hours alone
    "daily 9": "daily at 9:00",
    "daily at 9 and 17": "daily at [9:00, 17:00]",
    "every day at 9, 12 and 17": "every day at [9:00, 12:00, 17:00]",
    "at 9, 12, and 17:30": "at [9:00, 12:00, 17:30]",
    "every 2 hours at 15 and 45": "every 2 hours at min [15, 45]",
    "at 9 and 5pm": "at [9:00, 17:00]",
    "daily at 9 and 11 am": "daily at [9:00, 11:00]",
    # several nth weekdays, ordinals in words
    "every 2nd and 4th friday": "on [2ndFri, 4thFri]",
    "the 1st and 3rd monday of the month": "on [1stMon, 3rdMon]",
    "first and third mondays": "on [1stMon, 3rdMon]",
    "second and fourth friday at 9": "on [2ndFri, 4thFri] at 9:00",
    "on 2ndfri and 4thfri": "on [2ndFri, 4thFri]",
    "every 1st, 2nd and last friday": "on [1stFri, 2ndFri, LastFri]",
    "first monday and third tuesday of march": "on [1stMon, 3rdTue] in march",
    "on the fifteenth": "on 15th",
    "the 15th at 9": "on 15th at 9:00",
    "on the first and fifteenth": "on [1st, 15th]",
    "the second of march": "on 2nd march",
    "on the twenty-first at 9": "on 21st at 9:00",
    # other words for days, dates and intervals
    "on last weekday": "on LastWeekday",
    "every month on the first weekday": "on FirstWeekday",
    "dec 25 at 9:00": "on 25th dec at 9:00",
    "25 dec at 9:00": "on 25th dec at 9:00",
    "december 25th at 9:00": "on 25th dec at 9:00",
    "every mon wed fri": "every week on [mon, wed, fri]",
    "every 1 hour 30 minutes": "every 90 minutes",
    "every 2 hours and 15 minutes": "every 135 minutes",
    "every 1h30m": "every 90 minutes",
    "every 1 day 12 hours": "every 36 hours",
    "every hour and 30 minutes": "every 90 minutes",
    "every alternate monday": "every 2 weeks on monday",
    "on alternate days at 9:00": "every 2 days at 9:00",
    "1x per day": "every day",
    "2x/hour": "every 30 minutes",
    "all days at 9:00": "every day at 9:00",
    "everyday at 9": "every day at 9:00",
    "on the first and last day of the month": "on [1st, LastDay]",
    "on all mondays": "every monday",
    # ranges that run backwards
    "friday to monday at 9:00": "every day between [fri and sat, sun and mon] at 9:00",
    "saturday through sunday": "every day on [sat, sun]",
    "every hour on weekdays from 22:00 to 6:00": (
        "every hour between mon and fri between [22:00 and 23:59, 0:00 and 6:00]"
    ),
    "every 15 minutes from 10 pm until 2 am": "every 15 minutes between [22:00 and 23:59, 0:00 and 2:00]",
    # ranges and zones
    "every 15 minutes on weekdays between 9am and 5pm": "every 15 minutes between 9:00 and 17:00 between mon and fri",
    "every 10 minutes mon to fri from 9am to 5pm": "every 10 minutes between 9:00 and 17:00 between mon and fri",
    "every 15 minutes on weekdays upto 5pm": "every 15 minutes upto 17:00 between mon and fri",
    "every 15 minutes on weekdays between [9am and 11am, 1pm and 5pm]": (
        "every 15 minutes between [9:00 and 11:00, 13:00 and 17:00] between mon and fri"
    ),
    "every 30 minutes from 8am to 6pm on weekdays": "every 30 minutes between 8:00 and 18:00 between mon and fri",
    "every 5 minutes 9:00-17:00": "every 5 minutes between 9:00 and 17:00",
    "every 15 minutes until 5pm": "every 15 minutes upto 17:00",
    "every 5 minutes after 9:00": "every 5 minutes from 9:00",
    "every day at 9:00 (UTC)": "every day at 9:00 tz UTC",
    "every hour from 9 to 17": "every hour between 9:00 and 17:00",
    "every hour between 9 and 5": "every hour between 9:00 and 17:00",
    "every hour from 9:00 until 17:00": "every hour between 9:00 and 17:00",
    "every 15 minutes until 17:00": "every 15 minutes upto 17:00",
    "every day at 9:00 in Europe/Lisbon": "every day at 9:00 tz Europe/Lisbon",
    "every day at 9:00 utc": "every day at 9:00 tz UTC",
}


def problem_of(text: str) -> Problem:
    expression, problems = try_parse(text)
    assert expression is None, expression
    return problems[0]


def proposals(message: str) -> list[str]:
    """Return what a message proposes to write."""
    return re.findall(r"'([^']+)'", re.split(r"; |\? ", message, maxsplit=1)[1])


def times(text: str) -> list[datetime]:
    """Return when something happens next."""
    return parse(text).upcoming(20, datetime(2026, 11, 30, 23, 45, tzinfo=UTC))


@pytest.mark.parametrize("text", SAME)
def test_the_proposal_means_what_was_said(text: str) -> None:
    message = problem_of(text).message
    proposal, *others = proposals(message)

    assert parse(proposal).warnings == ()
    assert "; write '" in message or "? Write '" in message
    assert not others
    assert times(proposal) == times(SAME[text])


@pytest.mark.parametrize("text", SAME)
def test_upper_case_does_not_matter(text: str) -> None:
    assert times(proposals(problem_of(text.upper()).message)[0]) == times(SAME[text])


@pytest.mark.parametrize(
    ("text", "meanings"),
    [
        ("every third friday", ["on 3rdFriday", "every 3 weeks on friday"]),
        ("every 3rd friday at 9:00", ["on 3rdFriday at 9:00", "every 3 weeks on friday at 9:00"]),
        ("every second monday", ["on 2ndMonday", "every 2 weeks on monday"]),
        ("twice a day", ["every day at [9:00, 17:00]", "every 12 hours"]),
        ("three times a day", ["every day at [8:00, 13:00, 18:00]", "every 8 hours"]),
        ("6 times per day", ["every 4 hours"]),
        ("twice a week", ["every week on [mon, thu]"]),
        ("twice a month at 9:00", ["on [1st, 15th] at 9:00"]),
        ("twice an hour", ["every 30 minutes"]),
        ("10 times an hour", ["every 6 minutes"]),
        ("48x a day", ["every 30 minutes"]),
        ("four times a year", ["every 3 months"]),
        ("biweekly", ["every 2 weeks", "every week on [mon, thu]"]),
        ("bimonthly", ["every 2 months", "on [1st, 15th]"]),
        ("every 5 minutes at 9:00", ["every day at 9:00", "every 5 minutes from 9:00"]),
    ],
)
def test_phrases_with_several_meanings_get_all_of_them(text: str, meanings: list[str]) -> None:
    assert list(map(times, proposals(problem_of(text).message))) == list(map(times, meanings))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("every day excluding holidays", "no holidays"),
        ("every 2 hours except at night", "no exclusions"),
        ("every 10 min starting at 9:00", "no word for the start"),
        ("tomorrow at 9:00", "a date"),
        ("in an hour", "a date"),
        ("every year on christmas", "25th dec"),
        ("every few minutes", "say how many"),
        ("on 01/02/2024", "YYYY-MM-DD"),
        ("every leap year", "29th feb"),
        ("every 5 weekdays", "cannot be counted"),
        ("5 times a day", "say when"),
        ("7 times an hour", "no even gap"),
        ("every 31st at 9:00", "'on LastDay'"),
        ("every morning at 12", "unclear"),
        ("every evening at 9am", "unclear"),
        ("every morning at 8pm", "unclear"),
        ("every evening at 08:00", "unclear"),
        ("every 500 ms", "shorter than a second"),
        ("every 15 minutes during business hours", "which hours"),
    ],
)
def test_where_there_is_nothing_to_write_it_is_said(text: str, words: str) -> None:
    message = problem_of(text).message

    assert words in message
    for proposal in proposals(message):
        assert parse(proposal).text, proposal


def test_whatever_the_tables_quote_parses() -> None:
    quoted = [one for _, reason in NOTHING for one in re.findall(r"'([^']+)'", reason)]
    fixed = [option for choice in CHOICES for option, _ in choice.options if isinstance(option, str)]

    assert len(quoted) > 5
    for text in [*quoted, *(one for one in fixed if "\\" not in one)]:
        assert parse(text).text, text


HOW_OFTEN = [(text, unit) for unit in OFTEN for counts, _ in OFTEN[unit] for text in counts]


@pytest.mark.parametrize(("count", "unit"), HOW_OFTEN)
def test_so_many_times_in_a_unit(count: int, unit: str) -> None:
    year = {"hour": 8766, "minute": 525_960, "day": 365.25, "week": 52.18, "month": 12, "year": 1}[unit]
    for proposal in proposals(problem_of(f"{count} times a {unit}").message):
        found = parse(proposal).upcoming(2000, datetime(2026, 1, 1))
        years = (found[-1] - found[0]) / timedelta(days=365.25)
        assert 1999 / years == pytest.approx(count * year, rel=0.02), proposal


fragments = st.sampled_from(
    [
        "every",
        "each",
        "other",
        "second",
        "third",
        "3rd",
        "first",
        "last",
        "the",
        "a",
        "of",
        "month",
        "day",
        "week",
        "friday",
        "thurs",
        "mondays",
        "weekday",
        "weekends",
        "at",
        "on",
        "in",
        "between",
        "from",
        "to",
        "until",
        "and",
        "or",
        "9",
        "9am",
        "5pm",
        "17:00",
        "noon",
        "twice",
        "once",
        "half",
        "hour",
        "minutes",
        "quarter",
        "15th",
        "jan",
        "sept",
        "except",
        "biweekly",
        "nightly",
        "utc",
        "2",
        "1.5",
        "five",
        ",",
        "starting",
        "evening",
        "night",
        "between 9am and 5pm",
        "every 10 minutes",
        "31st",
        "upto",
        "and",
        "1st",
        "x",
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(fragments, min_size=1, max_size=7).map(" ".join))
def test_every_proposal_parses_and_draws_no_warning(text: str) -> None:
    _, problems = try_parse(text)
    for problem in problems:
        for proposal in re.findall(r"(?:[;?] [Ww]rite|, or) '([^']+ [^']+)'", problem.message):
            assert parse(proposal).warnings == (), proposal


@pytest.mark.parametrize(
    "interval", ["every 15 minutes", "every 30 seconds", "every 10m", "hourly", "every other hour"]
)
@pytest.mark.parametrize("days", ["on weekdays", "mon to fri", "", "every friday"])
@pytest.mark.parametrize(
    "hours",
    [
        "between 9am and 5pm",
        "from 9am to 5pm",
        "9am-5pm",
        "upto 5pm",
        "until 5 pm",
        "between [9am and 11am, 1pm and 5pm]",
        "between 10pm and 2am",
        "from 9 to 5",
    ],
)
def test_a_proposal_with_hours_draws_no_warning(interval: str, days: str, hours: str) -> None:
    expression, problems = try_parse(f"{interval} {days} {hours}")
    proposed = [
        one for problem in problems for one in re.findall(r"[;?] [Ww]rite '([^']+)'", problem.message)
    ]

    assert expression or proposed or days == "every friday", problems
    for proposal in proposed:
        assert parse(proposal).warnings == (), proposal


MEANT = {
    "morning": {hour: hour for hour in range(1, 12)},
    "afternoon": {12: 12, 1: 13, 2: 14, 3: 15, 4: 16, 5: 17, 6: 18},
    "evening": {4: 16, 5: 17, 6: 18, 7: 19, 8: 20, 9: 21, 10: 22, 11: 23},
    "night": {12: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 18, 7: 19, 8: 20, 9: 21, 10: 22, 11: 23},
}
SAID = {
    "every {part} at {time}": "every day at {meant}",
    "{part}s at {time}": "every day at {meant}",
    "every day in the {part} at {time}": "every day at {meant}",
    "every day at {time} in the {part}": "every day at {meant}",
    "every {day} {part} at {time}": "every {day} at {meant}",
    "{day} {part} at {time}": "every {day} at {meant}",
    "on {day} {part}s at {time}": "on {day} at {meant}",
    "every weekday {part} at {time}": "every day between mon and fri at {meant}",
    "every 2 days at {time} in the {part}": "every 2 days at {meant}",
}


@given(
    st.sampled_from([*SAID.items()]),
    st.sampled_from([*MEANT]),
    st.integers(1, 12),
    st.sampled_from(["", ":00", ":15", ":59"]),
    st.sampled_from(["monday", "tuesday", "wed", "saturday", "sun"]),
)
def test_an_hour_is_that_of_its_part_of_the_day(
    said: tuple[str, str], part: str, hour: int, minutes: str, day: str
) -> None:
    message = problem_of(said[0].format(part=part, time=f"{hour}{minutes}", day=day)).message

    if hour in MEANT[part]:
        meant = f"{MEANT[part][hour]}{minutes or ':00'}"
        (proposal,) = proposals(message)
        assert times(proposal) == times(said[1].format(meant=meant, day=day))
    else:
        assert "; it is unclear which hour is meant" in message


@pytest.mark.parametrize("part", MEANT)
@pytest.mark.parametrize("hour", range(24))
def test_an_hour_that_is_clear_is_kept_or_contradicts_its_part_of_the_day(part: str, hour: int) -> None:
    written = (f"{hour % 12 or 12}{'pm' if hour >= 12 else 'am'}", f"{hour:02}:00")
    for time in written[:1] if 10 <= hour <= 12 else written:
        message = problem_of(f"every {part} at {time}").message
        if "; write '" in message:
            assert times(proposals(message)[0]) == times(f"every day at {hour}:00")
        else:
            assert "unclear" in message
            assert hour not in MEANT[part].values()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("every 2 dayz", "day"),
        ("every 2 weeks on fryday at 9:00", "friday"),
        ("every 2 dayz on fryday", "day"),
        ("every 10 minuets", "minutes"),
    ],
)
def test_the_nearest_word_is_one_that_makes_sense_in_its_place(text: str, word: str) -> None:
    problem = problem_of(text)
    corrected = text[: problem.column - 1] + word + text[problem.end_column - 1 :]
    _, left = try_parse(corrected)

    assert problem.message.endswith(f"did you mean {word!r}?")
    assert all(one.column > problem.column for one in left)


@pytest.mark.parametrize(
    "text", ["every day at 9am est", "every day at all", "on fifteenth xyz", "on third xyz"]
)
def test_a_near_word_that_makes_no_sense_is_not_proposed(text: str) -> None:
    assert "did you mean" not in problem_of(text).message


def test_long_texts_get_no_hint() -> None:
    assert "write" not in problem_of("every weekday " + "at 9:00 " * 30).message


# Cron lines

CRON = [
    "*/5 * * * *",
    "0 9 * * mon",
    "0 0 9 * * *",
    "0 9 1 1 1",
    " 0 9 * * 1-5 ",
    "@midnight",
    "@reboot",
    "0 9 L * ?",
]


@pytest.mark.parametrize("line", [*CRON, "* * * *", "0 0 9 * * * 2025"])
def test_a_cron_line_is_known_as_one(line: str) -> None:
    expression, problems = try_parse(line)

    assert expression is None
    assert [problem.code for problem in problems] == [ErrorCode.CRON_LINE]
    assert f"from_cron({line.strip()!r})" in problems[0].message


@pytest.mark.parametrize("line", ["every day at 9:00", "daily", "@every day", "at noon"])
def test_words_are_no_cron_line(line: str) -> None:
    with pytest.raises(
        ConversionError, match=r"these are words, not the fields of a cron line; parse\(\) reads them"
    ):
        from_cron(line)


def test_a_name_that_both_have_is_read_as_words_with_a_warning() -> None:
    (warning,) = parse("@daily").warnings

    assert "from_cron('@daily')" in warning
