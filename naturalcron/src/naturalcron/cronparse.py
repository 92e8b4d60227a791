"""Reading cron lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from naturalcron.errors import ConversionError
from naturalcron.units import HIGHEST, Month, Unit, Weekday

_MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS: Final = (Unit.SECOND, Unit.MINUTE, Unit.HOUR, Unit.DAY, Unit.MONTH, Unit.WEEK)
_BOUNDS: Final = {unit: (1 if unit in (Unit.DAY, Unit.MONTH) else 0, HIGHEST[unit]) for unit in _UNITS}
"""Lowest and highest number of each field; a weekday may be 7, which is Sunday again."""
_NAMES: Final[Mapping[Unit, Mapping[str, int]]] = {
    Unit.MONTH: {month.short_name.lower(): int(month) for month in Month},
    Unit.WEEK: {day.short_name.lower(): day - 1 for day in Weekday},
}
_ITEM: Final = re.compile(r"(?P<first>\*|\?|\w+)(?:-(?P<last>\w+))?(?:/(?P<step>[0-9]{1,4}))?")
_DAY_MARK: Final = re.compile(r"L(?:-(?P<back>[0-9]{1,2}))?|(?P<last>LW)|(?P<day>[0-9]{1,2})W")
_WEEK_MARK: Final = re.compile(r"(?P<day>\w+?)(?:#(?P<nth>[1-5])|L)")
_NTH: Final = ("1st", "2nd", "3rd", "4th", "5th")
_FIELD_COUNT: Final = 5
_FIELD: Final = re.compile(
    r"(?:[*?]|[0-9]+|L|[0-9]*W|LW|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat|[-,/#L])+",
    re.IGNORECASE,
)
"""What a field may be made of, in whatever order."""


@dataclass
class Field:
    """One field: its numbers, and marks as words of the language. Weekdays are 1 to 7, Sunday 1."""

    values: set[int] = field(default_factory=set)
    marks: list[str] = field(default_factory=list)
    is_full: bool = False
    is_open: bool = False
    """Whether a `*` or `?` is in it, which leaves the day to the other field; `1-31` and `0-6` do not."""
    step: int | None = None
    """The step if the field is one step over the whole range, like `*/15`."""

    def __bool__(self) -> bool:
        return not self.is_full


@dataclass(frozen=True)
class CronLine:
    """A line that was read. A field is true if it restricts anything."""

    times: Mapping[Unit, Field]
    days: Field
    months: Field
    weekdays: Field

    @property
    def nth_weekdays(self) -> list[str]:
        """Weekdays with a number, like `2ndFri`."""
        return self.weekdays.marks


def looks_like_cron(text: str) -> bool:
    """Say whether a text seems to be meant as a cron line: about five or six fields, or an `@name`."""
    fields = text.split()
    if len(fields) == 1:
        return fields[0].lower() in _MACROS or fields[0].lower() == "@reboot"
    if len(fields) not in (_FIELD_COUNT, len(_UNITS)) and not (len(fields) in (4, 7) and "*" in fields):
        return False
    return all(map(_FIELD.fullmatch, fields))


def read_line(line: str) -> CronLine:
    """Return the fields of a line; raises `ConversionError` naming every field that is wrong."""
    texts = _MACROS.get(line.strip().lower(), line).split()
    if len(texts) == _FIELD_COUNT:
        texts.insert(0, "0")
    if len(texts) != len(_UNITS):
        reason = f"a line has five fields, or six with seconds, not {len(texts)}"
        raise ConversionError(line, "an expression", [reason])
    problems: list[str] = []
    fields = {unit: _read_field(unit, text, problems) for unit, text in zip(_UNITS, texts, strict=True)}
    if problems:
        raise ConversionError(line, "an expression", problems)
    _free_days(fields[Unit.DAY], fields[Unit.WEEK])
    times = {unit: fields[unit] for unit in (Unit.SECOND, Unit.MINUTE, Unit.HOUR)}
    return CronLine(times, fields[Unit.DAY], fields[Unit.MONTH], fields[Unit.WEEK])


def _free_days(days: Field, weekdays: Field) -> None:
    """Let every day through if either day may fit and one of them always does, as with `28 * 0-6`."""
    if not (days.is_open or weekdays.is_open) and (days.is_full or weekdays.is_full):
        for one in (days, weekdays):
            one.is_full, one.marks, one.values = True, [], set(range(1, 32 if one is days else 8))


def _read_field(unit: Unit, text: str, problems: list[str]) -> Field:
    found = Field()
    for item in text.split(","):
        mark = _mark(unit, item)
        numbers = _numbers(unit, item)
        if mark:
            found.marks.append(mark)
        elif numbers is None:
            problems.append(f"{_name(unit)}: {item!r} cannot be read")
        else:
            found.values |= numbers
    found = _finished(unit, text, found)
    if found.marks and unit is Unit.WEEK and found.values:
        problems.append(f"{_name(unit)}: {text!r} mixes weekdays with those of a certain week")
    return found


def _finished(unit: Unit, text: str, found: Field) -> Field:
    low, high = _BOUNDS[unit]
    if unit is Unit.WEEK:
        found.values = {value % 7 + 1 for value in found.values}
        found.is_full = len(found.values) == high
    else:
        found.is_full = len(found.values) == high - low + 1
    found.is_open = "*" in text or "?" in text
    if found.is_full:
        found.marks.clear()  # what is marked is among all the others
    if re.fullmatch(r"\*/[0-9]+", text) and not found.is_full and len(found.values) > 1:
        found.step = int(text[2:])
    return found


def _name(unit: Unit) -> str:
    return "weekday" if unit is Unit.WEEK else unit.word


def _numbers(unit: Unit, item: str) -> set[int] | None:
    match = _ITEM.fullmatch(item)
    if match is None:
        return None
    low, high = _BOUNDS[unit]
    if match["first"] in ("*", "?"):
        first, last = low, high - 1 if unit is Unit.WEEK else high
        valid = match["last"] is None
    else:
        first, last, valid = _ends(unit, match)
    step = int(match["step"] or 1)
    return set(range(first, last + 1, step)) if valid and step and low <= first <= last <= high else None


def _ends(unit: Unit, match: re.Match[str]) -> tuple[int, int, bool]:
    first = _number(unit, match["first"])
    if unit is Unit.WEEK and first > 0 and match["last"] and _number(unit, match["last"]) == 0:
        return first, HIGHEST[unit], True  # up to Sunday, which also is a 7
    # `5/15` has no end: cron counts to the end of the field.
    open_end = match["step"] and match["last"] is None
    last = (
        (6 if unit is Unit.WEEK else HIGHEST[unit])
        if open_end
        else _number(unit, match["last"] or match["first"])
    )
    return first, last, first >= 0 and last >= 0


def _number(unit: Unit, text: str) -> int:
    """Return the number of a word, or -1 if it is none."""
    name = _NAMES.get(unit, {}).get(text.lower())
    if name is not None:
        return name
    return int(text) if re.fullmatch("[0-9]{1,4}", text) else -1


def _mark(unit: Unit, item: str) -> str | None:
    if unit is Unit.DAY:
        return _day_mark(item.upper())
    return _week_mark(item.upper()) if unit is Unit.WEEK else None


def _day_mark(item: str) -> str | None:
    match = _DAY_MARK.fullmatch(item)
    if match is None:
        return None
    if match["day"]:
        return f"ClosestWeekdayTo {int(match['day'])}"
    if match["last"]:
        return "LastWeekday"
    return f"LastDay - {int(match['back'])}" if match["back"] else "LastDay"


def _week_mark(item: str) -> str | None:
    match = _WEEK_MARK.fullmatch(item)
    day = _number(Unit.WEEK, match["day"]) if match else -1
    if match is None or not 0 <= day <= HIGHEST[Unit.WEEK]:
        return None
    return (_NTH[int(match["nth"]) - 1] if match["nth"] else "Last") + Weekday(day % 7 + 1).short_name
