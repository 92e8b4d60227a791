"""Descriptions: what they say, that the same meaning has the same words, and that no clause is left out."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naturalcron import describe, parse


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("every 30 minutes in jan between 09:00 and 18:00", "Every 30 minutes in January between 09:00 and 18:00"),
        ("daily at 9am tz europe/lisbon", "Every day at 09:00, Europe/Lisbon time"),
        ("every 2 weeks on [fri, mon] at 9:00", "Every 2 weeks on Monday or Friday at 09:00"),
        ("every monday", "Every week on Monday"),
        ("every 15 minutes anchoredAt 0 at sec 0", "Every 15 minutes (counted from minute 0) at second 0"),
        ("every 2 months basedOn aug on LastWeekday",
         "Every 2 months (counted from August) on the last workday of the month"),
        ("every 3 days anchoredOn 5th", "Every 3 days (counted from the 5th)"),
        ("every 4 years anchoredIn 2024", "Every 4 years (counted from 2024)"),
        ("every month on [mon, wed]", "Every month on the first Monday of the month or the first Wednesday of the month"),
        ("every year in july on FirstWed + 1 at 9:00", "Every year on the day after the first Wednesday of July at 09:00"),
        ("on LastDay - 2", "On the 2nd day before the last day of the month"),
        ("on FirstDay", "On the first day of the month"),
        ("on ClosestWeekdayTo 15", "On the workday closest to the 15th of the month"),
        ("on 13th on fri", "On the 13th if it is a Friday"),
        ("at 2021-01-05 22:30:10", "On 5 January 2021 at 22:30:10"),
        ("on LastFri 2021-03", "On the last Friday of March 2021"),
        ("on 5th on year 2021", "On the 5th in 2021"),
        ("on LastDay on year 2021", "On the last day of the month in 2021"),
        ("in jan on mon", "On Monday in January"),
        ("in 2021-03", "In March 2021"),
        ("at [mon 9:00, fri 17:00]", "On Monday at 09:00 or on Friday at 17:00"),
        ("every minute at hour 10", "Every minute during hour 10"),
        ("every hour at min 15, sec 30", "Every hour at minute 15, second 30"),
        ("every hour from 10th 9:00 upto 15th 17:00", "Every hour from the 10th 09:00 up to the 15th 17:00"),
        ("every 12 days between [Sep and Nov, Feb and Jul]",
         "Every 12 days between February and July or between September and November"),
        ("every 5 seconds between sec 10 and 20", "Every 5 seconds between second 10 and second 20"),
        ("every second between 9:00:00 and 9:30:30", "Every second between 09:00:00 and 09:30:30"),
    ],
)  # fmt: skip
def test_descriptions(text: str, description: str) -> None:
    assert describe(parse(text)) == description


CLAUSES = {
    "every 2 weeks": ["every 2 weeks"],
    "every 20 minutes anchoredAt 5": ["every 20 minutes", "counted from minute 5"],
    "every month": ["every month"],
    "every day": ["every day"],
    "on [tuesday, thursday]": ["Tuesday.* or .*Thursday"],
    "in march": ["March"],
    "on LastDay": ["the last day"],
    "on 17th": ["17"],
    "at 14:05": ["14:05"],
    "at sec 7": ["second 7|14:05:07"],
    "between 08:10 and 19:20": ["between 08:10 and 19:20"],
    "between feb and oct": ["between February and October"],
    "from 3rd": ["from the 3rd"],
    "upto saturday": ["up to Saturday"],
    "tz Asia/Tokyo": ["Asia/Tokyo time"],
}


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(sorted(CLAUSES)), min_size=1, max_size=6, unique=True))
def test_every_clause_is_mentioned(clauses: list[str]) -> None:
    try:
        expression = parse(" ".join(clauses))
    except ValueError:
        return  # these clauses do not go together
    description = describe(expression)

    for clause in clauses:
        for words in CLAUSES[clause]:
            assert re.search(words, description, re.IGNORECASE), (clauses, description)


SPELLINGS = [
    ["every 2 weeks", "every 2 wk", "every 2 wks"],
    ["every month", "monthly", "every 1 month", "every 1 mth"],
    ["every day", "daily", "every 1 days", "every dy"],
    ["on [mon, thu]", "in [thursday, monday]", "at wk [2, 5]", "on [mon, thu, mon]"],
    ["in march", "at month 3", "on mar"],
    ["at 21:00", "on 9:00pm", "in 9:00 pm", "at hour 21 min 0", "at min 0 9pm"],
    ["on LastDay", "at LastDayOfMonth", "on day last", "on last day", "at LastDayOfTheMonth + 0"],
    ["on 2024-03-05", "at 5th mar 2024", "on mar 5th 2024", "on year 2024 month 3 day 5"],
    ["between 9:00 and 17:00", "between 9:00am and 5:00pm", "between [09:00 and 17:00]"],
    ["from 10th", "from day 10"],
    ["tz europe/lisbon", "timezone Europe/Lisbon", "TZ EUROPE/LISBON"],
]


def respelled(words: str, dice: random.Random) -> str:
    words = dice.choice([str.lower, str.upper, str.title])(words)
    words = re.sub(r"(?i)^(at|on|in)\b", lambda _: dice.choice(["at", "on", "in"]), words)
    return dice.choice(["", "@"]) + words


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, len(SPELLINGS) - 1), min_size=1, max_size=4, unique=True), st.randoms())
def test_the_same_meaning_has_the_same_description(chosen: list[int], dice: random.Random) -> None:
    def spelled() -> str:
        parts = [respelled(dice.choice(SPELLINGS[place]), dice) for place in dice.sample(chosen, len(chosen))]
        return dice.choice([" ", "\n", " ; ", ", "]).join(parts)

    plain = " ".join(SPELLINGS[place][0] for place in chosen)
    try:
        expected = describe(parse(plain))
    except ValueError:
        return  # these clauses do not go together

    assert describe(parse(spelled())) == expected
