"""What is allowed and may be meant otherwise is warned about, with the words for what may be meant."""

from __future__ import annotations

import re

import pytest

from naturalcron import parse

MISREAD = [
    ("every month on 1st monday", "not the 1st Monday", "every month on 1stMonday"),
    ("on 2nd tue at 9:00", "not the 2nd Tuesday", "on 2ndTue at 9:00"),
    ("on [1st mon, 3rd mon]", "day 1 of a month if that is a Monday", None),
    ("in 5 minutes", "minute 5 of each hour, and not a time from now", "every 5 minutes"),
    ("in 2 hours", "hour 2 of each day", "every 2 hours"),
    ("in 3 days", "day 3 of each month", "every 3 days"),
    ("in 2 months", "each February", "every 2 months"),
    ("in 1 week", "each Sunday", "every 1 week"),
    ("on 30th feb", "no year has 30 February", "on LastDay in February"),
    ("on feb-30", "no year has 30 February", "on LastDay in February"),
    ("every year on 31st apr at 9:00", "no year has 31 April", "on LastDay in April"),
    ("on [30th feb, 1st mar]", "no year has 30 February", "on LastDay in February"),
    ("on 31st in [apr, jun]", "it never happens", "on LastDay"),
    ("every hour from 22:00 upto 02:00", "it never happens", None),
    ("every day between 12:00 and 13:00 at 14:00", "it never happens", None),
    ("every month on 31st", "left out in months that have none", "on LastDay"),
    ("every month on [15th, 30th]", "the 30th is left out", "on LastDay"),
    ("every month on monday", "the first one of the month", "every Monday"),
    ("every 3 months on monday", "the first one of the month, '1stMonday'", None),
    ("on week 3", "a week's day 3 is Tuesday", "on Tuesday"),
    ("on last week", "a week's day 7 is Saturday", "on Saturday"),
    ("in last month", "that of the year, December", "in December"),
    ("on 05-06 at 9:00", "6 May, the month first", "on 6th May at 9:00"),
    ("every 15 minutes between 9am and 5pm", "last hour, 17:59", "every 15 minutes between 9:00 and 17:00"),
    ("every 5 minutes upto 5pm", "17:59", "every 5 minutes upto 17:00"),
    ("every day from monday", "Monday to Saturday of each week", None),
    ("every day upto friday", "Sunday to Friday of each week", None),
    ("every 90 minutes anchoredAt 0", "minute 0 only", None),
    ("every 3 days anchoredAt 12:00", "has no effect on an interval of days", None),
]  # fmt: skip
PLAIN = [
    "every day at 9:00",
    "every 2 weeks on friday at 09:00",
    "on 13th on friday",
    "on friday on 13th",
    "on 28th at 9:00",
    "on 29th feb",
    "on 31st jan",
    "on LastDay",
    "on 1stMonday",
    "in january",
    "at minute 5",
    "at 5 minutes",
    "on 12-31",
    "every hour between 9am and 5pm",
    "every 15 minutes between 9:00 and 17:00",
    "every day from 2025-01-01",
    "every 24 months anchoredIn jan",
    "every week on [mon, fri]",
    "every month on 2ndFri",
    "at [2024-05-01 10:00, 2024-06-03 10:00]",
]


@pytest.mark.parametrize(("text", "words", "instead"), MISREAD)
def test_what_may_be_meant_otherwise_is_warned_about(text: str, words: str, instead: str | None) -> None:
    warnings = " / ".join(parse(text).warnings)
    proposals = [parse(one) for one in re.findall(r"write '([^']+)'", warnings)]

    assert words in warnings
    assert instead is None or parse(instead) in proposals


@pytest.mark.parametrize("text", PLAIN)
def test_what_is_plain_is_not(text: str) -> None:
    assert parse(text).warnings == ()


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        ("every hour between 22:00 and 02:00", "between [22:00 and 23:59, 0:00 and 2:00]"),
        ("every hour between hour 22 and 2", "between [hour 22 and 23, hour 0 and 2]"),
        ("every day between fri and mon", "between [fri and sat, sun and mon]"),
        ("every day between nov and feb", "between [nov and dec, jan and feb]"),
        ("every day between 25th and 5th", "between [25th and 31st, 1st and 5th]"),
        ("every day between 20th dec and 5th jan", "between [20th dec and 31st dec, 1st jan and 5th jan]"),
        ("every day between sat and sun", "on [sat, sun]"),
        ("every day between fri and sun at 9:00", "on [fri, sat, sun] at 9:00"),
        ("every 2 weeks between sat and sun", "between [sat and sat, sun and sun]"),
        ("every 5 hours between dec and feb", "in [dec, jan, feb]"),
        ("every month between dec and feb", "between [dec and dec, jan and feb]"),
        (
            "every day between [fri and mon, wed and thu] at 9:00",
            "between [fri and sat, sun and mon, wed and thu] at 9:00",
        ),
        (
            "every hour between fri and mon between 22:00 and 6:00",
            "between [fri and sat, sun and mon] between [22:00 and 23:59, 0:00 and 6:00]",
        ),
        ("every hour between 10pm and 2am", "between [10pm and 11pm, 12am and 2am]"),
        ("every 15 minutes between 10pm and 2am", "between [22:00 and 23:59, 0:00 and 2:00]"),
        ("every minute between hour 22 and 2", "between [hour 22 and 23, hour 0 and 2]"),
        ("every minute between min 50 and 10", "between [min 50 and 59, min 0 and 10]"),
    ],
)
def test_a_range_that_runs_backwards_is_written_out(text: str, instead: str) -> None:
    with pytest.raises(ValueError, match="wrap around; write '") as caught:
        parse(text)
    (proposal,) = set(re.findall(r"write '([^']+)'", str(caught.value)))
    expression = parse(proposal)

    assert expression == parse(f"{text.partition(' between')[0]} {instead}")
    assert expression.warnings == ()
