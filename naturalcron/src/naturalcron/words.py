"""The vocabulary: every word the language knows, in lower case, with its kind and value."""

from __future__ import annotations

from difflib import SequenceMatcher, get_close_matches
from enum import IntEnum, auto
from itertools import product
from typing import Final, NamedTuple

from naturalcron.units import AmPm, Month, Unit, Weekday
from naturalcron.values import FIRST_DAY, FIRST_WORKDAY, LAST_DAY, LAST_WORKDAY, LastWeekday, NthWeekday


class Kind(IntEnum):
    """What a token is to the grammar. An integer, so that it is quick to look up."""

    EVERY = auto()
    SHORT = auto()
    AT = auto()
    BETWEEN = auto()
    FROM = auto()
    UPTO = auto()
    ZONE = auto()
    ANCHOR = auto()
    UNIT = auto()
    SUFFIX = auto()
    MONTH = auto()
    WEEKDAY = auto()
    DAY = auto()
    CLOSEST = auto()
    EDGE = auto()
    AM_PM = auto()
    AND = auto()
    NUMBER = auto()
    ZONE_ID = auto()
    COMMA = auto()
    COLON = auto()
    DASH = auto()
    PLUS = auto()
    OPEN = auto()
    CLOSE = auto()
    END = auto()


CLAUSES: Final = frozenset(
    {Kind.EVERY, Kind.SHORT, Kind.AT, Kind.BETWEEN, Kind.FROM, Kind.UPTO, Kind.ZONE},
)
"""The kinds of words that begin a clause; only they may carry a leading `@`."""


class Word(NamedTuple):
    """What a word means: its kind, and a value whose type depends on the kind."""

    kind: Kind
    value: object = None


_KEYWORDS = {
    Kind.EVERY: "every",
    Kind.AT: "at on in",
    Kind.BETWEEN: "between",
    Kind.FROM: "from",
    Kind.UPTO: "upto",
    Kind.ZONE: "tz timezone",
    Kind.ANCHOR: "anchoredon anchoredat anchoredin basedon basedat basedin",
    Kind.AND: "and",
    Kind.SUFFIX: "st nd rd th",
    Kind.CLOSEST: "closestweekdayto",
}
_UNITS = {
    Unit.SECOND: "sec secs second seconds",
    Unit.MINUTE: "min mins minute minutes",
    Unit.HOUR: "hr hrs hour hours",
    Unit.DAY: "day days dy dys",
    Unit.WEEK: "wk wks week weeks",
    Unit.MONTH: "mth mths month months",
    Unit.YEAR: "yr yrs year years",
}
_SHORT = {
    Unit.SECOND: "secondly",
    Unit.MINUTE: "minutely",
    Unit.HOUR: "hourly",
    Unit.DAY: "daily",
    Unit.WEEK: "weekly",
    Unit.MONTH: "monthly",
    Unit.YEAR: "yearly",
}
_DAYS = {
    FIRST_DAY: "firstday firstdayofmonth firstofthemonth",
    LAST_DAY: "lastday lastdayofmonth lastdayofthemonth",
    FIRST_WORKDAY: "firstweekday",
    LAST_WORKDAY: "lastweekday",
}
_NTH = {
    1: ("first", "1st"),
    2: ("second", "2nd"),
    3: ("third", "3rd"),
    4: ("fourth", "4th"),
    5: ("fifth", "5th"),
}

SHORT_WORDS: Final = _SHORT
"""`daily` and its like, by unit."""


def _names(of: type[Month | Weekday]) -> dict[str, Month | Weekday]:
    return {name.lower(): member for member in of for name in (member.short_name, member.full_name)}


def _nth_weekdays() -> dict[str, Word]:
    weekdays = _names(Weekday).items()
    nth = {
        word + name: Word(Kind.DAY, NthWeekday(number, int(weekday)))
        for (number, words), (name, weekday) in product(_NTH.items(), weekdays)
        for word in words
    }
    return nth | {f"last{name}": Word(Kind.DAY, LastWeekday(int(weekday))) for name, weekday in weekdays}


def _vocabulary() -> dict[str, Word]:
    words = {word: Word(kind) for kind, text in _KEYWORDS.items() for word in text.split()}
    words |= {word: Word(Kind.UNIT, unit) for unit, text in _UNITS.items() for word in text.split()}
    words |= {word: Word(Kind.SHORT, unit) for unit, word in _SHORT.items()}
    words |= {word: Word(Kind.DAY, day) for day, text in _DAYS.items() for word in text.split()}
    words |= {word: Word(Kind.MONTH, month) for word, month in _names(Month).items()}
    words |= {word: Word(Kind.WEEKDAY, weekday) for word, weekday in _names(Weekday).items()}
    words |= {half.value: Word(Kind.AM_PM, half) for half in AmPm}
    words |= {"first": Word(Kind.EDGE, False), "last": Word(Kind.EDGE, True)}
    return words | _nth_weekdays()


WORDS: Final = _vocabulary()
"""Every word of the language, in lower case."""

WEEKDAY_WORDS: Final = tuple(sorted(_names(Weekday), key=len, reverse=True))
"""The names of the weekdays, long ones first, as a pattern has to try them."""

LONGEST_WORD: Final = 40
"""Longer words are not compared with known ones, as that takes the longer, the longer they are."""


_NTH_WEEKDAYS: Final = frozenset(_nth_weekdays())
_NEAR_NTH: Final = 0.85
_NO_SLIPS = frozenset(
    {"weekday", "weekdays", "weekend", "weekends", "past", "the", "millisecond", "milliseconds"}
)
"""Words of English that are near to others, and not meant as those."""


def nearest(word: str) -> list[str]:
    """Return what the writer of an unknown word may have meant, the nearest first; empty if nothing is near."""
    lowered = word.lower()
    if len(lowered) > LONGEST_WORD or lowered in _NO_SLIPS:
        return []
    return [one for one in get_close_matches(lowered, WORDS, n=3, cutoff=0.7) if _is_slip(lowered, one)]


def _is_slip(word: str, of: str) -> bool:
    """Say whether a word may be a slip: one that has half of `ThirdWed` in it, such as `third`, is none of it."""
    return of not in _NTH_WEEKDAYS or SequenceMatcher(None, of, word).ratio() >= _NEAR_NTH
