"""Reading cron lines: five fields, or six with the second first. Errors say which field is wrong, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from attrs import Factory, define, frozen

from jobmaster.errors import InvalidExpressionError
from jobmaster.recurrence.kinds import CRON as KIND
from jobmaster.recurrence.mistaken import remedy_for

_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class Field(NamedTuple):
    """A field of a line: its name, its numbers, and words for them."""

    name: str
    low: int
    high: int
    words: Mapping[str, int] = {}


_MONTHS: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WEEKDAYS: Final = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
SECOND: Final = Field("second", 0, 59)
MINUTE: Final = Field("minute", 0, 59)
HOUR: Final = Field("hour", 0, 23)
DAY: Final = Field("day of the month", 1, 31)
MONTH: Final = Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)})
WEEKDAY: Final = Field("day of the week", 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)})
_FIVE: Final = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)

_ITEM: Final = re.compile(
    r"(?P<first>\*|\?|[0-9]+|[a-z]+)(?:-(?P<last>[0-9]+|[a-z]+))?(?:/(?P<step>[0-9]{1,4}))?"
)
_TO_SUNDAY: Final = re.compile(r"(?<=[a-z1-6])(?<!sun)-(?:sun|0)(?!\w)")
"""The end of a range of weekdays that is Sunday: other readers take it as 7."""
_WORD: Final = re.compile(r"\S+")
_OPEN: Final = re.compile(r"[*?]")
"""Marks in a day field that leave the choice to the other day field: `*` and `?` do, `1-31` and `0-6` do not."""
_DAY_MARK: Final = re.compile(r"l|(?P<day>[0-9]{1,2})w")
_WEEKDAY_MARK: Final = re.compile(r"(?P<day>[0-7]|[a-z]{3})(?:#(?P<nth>[1-5])|(?P<last>l))")


@frozen
class CronLine:
    """A parsed line.

    `plain` are equivalent lines of which any may fit, in the form that croniter takes: five fields of numbers, or of
    one mark, and a sixth for the seconds at the end. `written` are the fields as they were given, for a description.
    `follows_clock` says whether minute or hour begin with `*`; `days_are_alternatives`, whether both days are
    restricted, so that one of them has to fit.
    """

    plain: tuple[str, ...]
    written: tuple[str, ...]
    follows_clock: bool
    days_are_alternatives: bool


@define
class _Problems:
    """The problems of a line, place by place."""

    text: str
    found: list[tuple[int, int, str, str]] = Factory(list)

    def add(self, start: int, end: int, code: str, reason: str) -> None:
        """Note a problem with the characters from one place (from 0) to another."""
        self.found.append((start, end, code, reason))

    def check(self) -> None:
        """Raise `InvalidExpressionError` if anything was noted."""
        if not self.found:
            return
        (start, end, code, reason), *others = self.found
        more = [f"also, at {begin + 1}-{stop + 1}: {why}" for begin, stop, _, why in others]
        raise InvalidExpressionError(
            KIND, self.text, reason, code=code, column=start + 1, end_column=end + 1, more=more
        )


def read_line(text: str) -> CronLine:
    """Return a line in plain form; raises `InvalidExpressionError` that names every wrong field."""
    remedy = remedy_for(text, KIND)
    if remedy:
        raise InvalidExpressionError(KIND, text, remedy, code="other_kind")
    problems = _Problems(text)
    words = [(match.start(), match[0].lower()) for match in _WORD.finditer(_written_out(problems))]
    if len(words) not in (len(_FIVE), len(_FIVE) + 1):
        reason = f"expected five fields, or six with the second first, not {len(words)}"
        problems.add(0, max(len(text), 1), "field_count", reason)
        problems.check()
    fields = _FIVE if len(words) == len(_FIVE) else (SECOND, *_FIVE)
    read = [_read_field(field, *word, problems) for field, word in zip(fields, words, strict=True)]
    problems.check()
    written = [_TO_SUNDAY.sub("-7", word) for _, word in words]
    if ["*"] in (read[-3], read[-1]) and not _OPEN.search(written[-3] + written[-1]):
        # Either day may fit, and one of them always does.
        read[-3] = read[-1] = ["*"]
        written[-3] = written[-1] = "*"
    return CronLine(
        plain=tuple(_plain(read)),
        written=tuple(written),
        follows_clock=any(word.startswith("*") for _, word in words[-5:-3]),
        days_are_alternatives=read[-3] != ["*"] and read[-1] != ["*"],
    )


def _plain(read: list[list[str]]) -> Iterator[str]:
    """Yield the plain lines of a line; each parsed field is a list of alternatives."""
    *seconds, [minute], [hour], days, [month], weekdays = read
    second = seconds[0][0] if seconds else "0"
    pairs = [(day, "*") for day in days if day != "*"] + [("*", day) for day in weekdays if day != "*"]
    for day, weekday in pairs or [("*", "*")]:
        yield f"{minute} {hour} {day} {month} {weekday} {second}"


def _written_out(problems: _Problems) -> str:
    text = problems.text
    if not text.startswith("@"):
        return text
    if text.lower() not in _MACROS:
        problems.add(0, len(text), "unknown_name", f"expected one of {', '.join(_MACROS)}, not {text!r}")
        problems.check()
    return _MACROS[text.lower()]


def _read_field(field: Field, start: int, text: str, problems: _Problems) -> list[str]:
    """Return what a field allows: `*`, or its numbers in one text and each mark in a separate one."""
    numbers: set[int] = set()
    marks: list[str] = []
    for item in text.split(","):
        end = start + len(item)
        if mark := _mark(field, item):
            marks.append(mark)
        elif fault := _fault(field, item):
            problems.add(start, max(end, start + 1), *fault)
        else:
            numbers.update(_numbers(field, item))
        start = end + 1
    return _allowed(field, numbers, marks)


def _allowed(field: Field, numbers: set[int], marks: list[str]) -> list[str]:
    if field is WEEKDAY:
        numbers = {number % 7 for number in numbers}
    if len(numbers) == _highest(field) - field.low + 1:
        return ["*"]
    return [",".join(map(str, sorted(numbers))), *marks] if numbers else marks


def _highest(field: Field) -> int:
    """Return the highest number; Sunday has two."""
    return 6 if field is WEEKDAY else field.high


# Items


def _mark(field: Field, item: str) -> str:
    """Return a mark in croniter's form: the last day, the nearest weekday, the nth or last such weekday."""
    if field is DAY and (match := _DAY_MARK.fullmatch(item)):
        return item if match["day"] is None or DAY.low <= int(match["day"]) <= DAY.high else ""
    match = _WEEKDAY_MARK.fullmatch(item) if field is WEEKDAY else None
    day = _number(field, match["day"]) if match else None
    if match is None or day is None:
        return ""
    return f"l{day % 7}" if match["last"] else f"{day % 7}#{match['nth']}"


def _fault(field: Field, item: str) -> tuple[str, str] | None:
    """Return code and reason if an item is wrong."""
    match = _ITEM.fullmatch(item)
    if (
        match is None
        or (item[0] in "*?" and match["last"])
        or (item[0] == "?" and field not in (DAY, WEEKDAY))
    ):
        return "unknown_token", f"{field.name}: expected {_expected(field)}, not {item!r}"
    for word in filter(None, (match["first"], match["last"])):
        if word not in "*?" and _number(field, word) is None:
            return "out_of_range", f"{field.name}: expected {_expected(field)}, not {word!r}"
    if match["step"] is not None and not 1 <= int(match["step"]) <= field.high:
        return "out_of_range", f"{field.name}: expected a step from 1 to {field.high}, not {match['step']!r}"
    first, last = _ends(field, match)
    if first > last:
        return "reversed_range", f"{field.name}: the range {item!r} runs backwards"
    return None


def _expected(field: Field) -> str:
    words = list(field.words)
    names = f" or {words[0]} to {words[-1]}" if words else ""
    return f"a number from {field.low} to {field.high}{names}, a range, a list or a step"


def _numbers(field: Field, item: str) -> Iterator[int]:
    match = _ITEM.fullmatch(item)
    if match is not None:
        first, last = _ends(field, match)
        yield from range(first, last + 1, int(match["step"] or 1))


def _ends(field: Field, match: re.Match[str]) -> tuple[int, int]:
    """Return first and last number of an item. `5/15` has no end: it continues to the end of the field."""
    highest = _highest(field)
    if match["first"] in "*?":
        return field.low, highest
    first = _number(field, match["first"]) or 0
    if match["last"] is None:
        return first, max(first, highest) if match["step"] else first
    last = _number(field, match["last"]) or 0
    return first, 7 if field is WEEKDAY and last == 0 < first else last


def _number(field: Field, word: str) -> int | None:
    number = int(word) if word.isdecimal() and len(word) <= 4 else field.words.get(word)  # noqa: PLR2004
    return number if number is not None and field.low <= number <= field.high else None
