"""What is allowed, and may well be meant otherwise: warnings, with the words for what may be meant."""

from __future__ import annotations

import re
from calendar import day_name, month_name
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from naturalcron.model import At, Between, Clause, Every, Point, Setting
from naturalcron.units import HIGHEST, PERIOD, Month, Unit, Weekday, ordinal
from naturalcron.values import Edge, Number
from naturalcron.words import WORDS, Kind

_LONGEST: Final = {1: 31, 2: 29, 3: 31, 4: 30, 5: 31, 6: 30, 7: 31, 8: 31, 9: 30, 10: 31, 11: 30, 12: 31}
_ALWAYS_THERE: Final = 28
_FIFTH: Final = 5
_NTH: Final = re.compile(r"\d+(?:st|nd|rd|th)\s+[a-z]+", re.IGNORECASE)
_AMOUNT: Final = re.compile(r"@?in\s+\d+\s*[a-z]+", re.IGNORECASE)
_MONTH_DAY: Final = re.compile(r"(?<![\d-])(\d\d)\s*-\s*(\d\d)(?![\d-])")
_MACRO: Final = re.compile(r"\s*@(?:hourly|daily|weekly|monthly|yearly)\s*", re.IGNORECASE)
_HALF: Final = re.compile(r"[ap]m$", re.IGNORECASE)


class Reading(NamedTuple):
    """A text and its clauses; `parses` says whether another text is an expression, `occurs` whether this ever does."""

    text: str
    clauses: Sequence[Clause]
    parses: Callable[[str], bool]
    occurs: Callable[[], bool]

    @property
    def every(self) -> Every | None:
        """The interval, if there is one."""
        return next((one for one in self.clauses if isinstance(one, Every)), None)

    @property
    def points(self) -> list[Point]:
        """All points that some `at` names."""
        return [point for one in self.clauses if isinstance(one, At) for point in one.points]

    def pins(self, unit: Unit) -> bool:
        """Say whether some `at` sets a unit."""
        return any(unit in point.units for point in self.points)

    def written(self, start: int, end: int) -> str:
        """Return a part of the text in quotes."""
        return f"'{' '.join(self.text[start:end].split())}'"

    def instead(self, start: int, end: int, words: str) -> str:
        """Return the end of a warning: the text with other words in one place, if that parses."""
        proposal = " ".join(f"{self.text[:start]}{words}{self.text[end:]}".split())
        return f"; write '{proposal}'" if self.parses(proposal) else ""


def readings_of(reading: Reading) -> Iterator[str]:
    """Yield what a text says that may be meant otherwise."""
    for rule in _RULES:
        yield from rule(reading)


# Intervals


def _idle_anchor(reading: Reading) -> Iterator[str]:
    every = reading.every
    if every and every.anchor and every.anchor.value is None:
        yield f"the anchor {every.anchor.text!r} has no effect on an interval of {every.unit.word}s"


def _long_anchored(reading: Reading) -> Iterator[str]:
    every = reading.every
    if every and every.anchor and every.anchor.value is not None and every.unit in PERIOD:
        period = PERIOD[every.unit]
        if every.count > period and every.count % period:
            yield (
                f"an anchored interval longer than {period} {every.unit.word}s happens at "
                f"{every.unit.word} {every.anchor.value} only; leave out the anchor to count on"
            )


def _macro(reading: Reading) -> Iterator[str]:
    if _MACRO.fullmatch(reading.text):
        name = reading.text.strip()
        yield f"'{name}' is '{name[1:]}', counted from the start; cron's is from_cron('{name}')"


# Points


def _nth_weekday(reading: Reading) -> Iterator[str]:
    for point in reading.points:
        for day, weekday in zip(point.settings, point.settings[1:], strict=False):
            if (day.unit, weekday.unit) != (Unit.DAY, Unit.WEEK) or not isinstance(day.value, Number):
                continue
            start, end, number = day.start, weekday.end, day.value.number
            if number <= _FIFTH and _NTH.fullmatch(reading.text[start:end]):
                name = _weekday(weekday)
                yield (
                    f"{reading.written(start, end)} is day {number} of a month if that is a {name}, and not the "
                    f"{ordinal(number)} {name}{reading.instead(start, end, ordinal(number) + name)}"
                )


def _amount(reading: Reading) -> Iterator[str]:
    for clause in (one for one in reading.clauses if isinstance(one, At) and not one.in_list):
        start, end = clause.start, clause.end
        setting = clause.points[0].settings[0]
        if (
            len(clause.units) == 1
            and isinstance(setting.value, Number)
            and _AMOUNT.fullmatch(reading.text[start:end])
        ):
            number = setting.value.number
            words = f"every {number} {setting.unit.word}{'s' if number > 1 else ''}"
            yield (
                f"{reading.written(start, end)} is {_place(setting.unit, number)}, and not a time from now"
                f"{reading.instead(start, end, words)}"
            )


def _place(unit: Unit, number: int) -> str:
    if unit is Unit.WEEK:
        return f"each {day_name[(number + 5) % 7]}"
    if unit is Unit.MONTH:
        return f"each {month_name[number]}"
    parent = {Unit.SECOND: "minute", Unit.MINUTE: "hour", Unit.HOUR: "day", Unit.DAY: "month"}.get(unit)
    return f"{unit.word} {number} of each {parent}" if parent else f"the year {number}"


def _counted_weeks(reading: Reading) -> Iterator[str]:
    for setting in _settings(reading):
        named = WORDS.get(setting.text.lower())
        if setting.unit is Unit.WEEK and (named is None or named.kind is not Kind.WEEKDAY):
            value = setting.value.number if isinstance(setting.value, Number) else _edge(setting)
            yield f"a week's day {value} is {_weekday(setting)}, and weeks have no numbers; write 'on {_weekday(setting)}'"
        elif setting.unit is Unit.MONTH and isinstance(setting.value, Edge):
            name = Month(_edge(setting)).full_name
            yield f"the {'last' if setting.value.last else 'first'} month is that of the year, {name}; write 'in {name}'"


def _month_first(reading: Reading) -> Iterator[str]:
    for clause in (one for one in reading.clauses if isinstance(one, At)):
        for match in _MONTH_DAY.finditer(reading.text, clause.start, clause.end):
            month, day = int(match[1]), int(match[2])
            if month != day and day <= HIGHEST[Unit.MONTH] and Unit.DAY in clause.units:
                words = f"{ordinal(day)} {month_name[month]}"
                yield f"'{match[0]}' is {day} {month_name[month]}, the month first{reading.instead(*match.span(), words)}"


# Days that months do not have


def _no_such_date(reading: Reading) -> Iterator[str]:
    missing = [point for point in reading.points if _is_missing(point)]
    for point in missing:
        day, month = (point[unit] for unit in (Unit.DAY, Unit.MONTH))
        assert isinstance(day, Number) and isinstance(month, Number)  # noqa: S101, PT018 - `_is_missing` says so
        name = month_name[month.number]
        yield f"no year has {day.number} {name}; write 'on LastDay in {name}' for its last day"
    if not missing and not reading.occurs():
        days = [
            one.value.number
            for one in _settings(reading)
            if one.unit is Unit.DAY and isinstance(one.value, Number)
        ]
        last = (
            "; write 'on LastDay' for the last day of a month" if max(days, default=0) > _ALWAYS_THERE else ""
        )
        yield f"it never happens: no moment satisfies all clauses{last}"


def _is_missing(point: Point) -> bool:
    if not {Unit.DAY, Unit.MONTH} <= set(point.units):
        return False
    day, month = point[Unit.DAY], point[Unit.MONTH]
    return isinstance(day, Number) and isinstance(month, Number) and day.number > _LONGEST[month.number]


def _short_months(reading: Reading) -> Iterator[str]:
    days = [one for one in _settings(reading) if one.unit is Unit.DAY and isinstance(one.value, Number)]
    late = [one for one in days if isinstance(one.value, Number) and one.value.number > _ALWAYS_THERE]
    if late and not reading.pins(Unit.MONTH) and not reading.pins(Unit.YEAR):
        number = max(one.value.number for one in late if isinstance(one.value, Number))
        yield (
            f"the {ordinal(number)} is left out in months that have none; write 'on LastDay' for the last day of "
            f"each month"
        )


def _weekday_of_month(reading: Reading) -> Iterator[str]:
    every = reading.every
    if every and every.unit in (Unit.MONTH, Unit.YEAR) and not reading.pins(Unit.DAY):
        for setting in (one for one in _settings(reading) if one.unit is Unit.WEEK):
            name = _weekday(setting)
            each = "" if every.count > 1 else f"; write 'every {name}' for each {name}"
            yield f"under {every.unit.word}s, {name} is the first one of the month, '1st{name}'{each}"


# Ranges


def _whole_hour(reading: Reading) -> Iterator[str]:
    every = reading.every
    if not every or every.unit >= Unit.HOUR:
        return
    for one in (one for clause in reading.clauses if isinstance(clause, Between) for one in clause.ranges):
        ends = [
            point.settings[-1] for point in (one.first, one.last) if point and point.units == (Unit.HOUR,)
        ]
        if one.last and ends and _HALF.search(reading.text[ends[-1].start : ends[-1].end]):
            start, end = ends[0].start, ends[-1].end
            hours = [f"{one.text.zfill(2)}:00" for one in ends]
            yield (
                f"{reading.written(start, end)} lasts to the end of its last hour, {ends[-1].text}:59"
                f"{reading.instead(start, end, ' and '.join(hours))}"
            )


def _open_week(reading: Reading) -> Iterator[str]:
    for one in (one for clause in reading.clauses if isinstance(clause, Between) for one in clause.ranges):
        point = one.first if one.last is None else one.last if one.first is None else None
        if point and Unit.WEEK in point.units:
            first, last = ("", "Saturday") if one.first else ("Sunday", "")
            name = next(_weekday(setting) for setting in point.settings if setting.unit is Unit.WEEK)
            yield (
                f"{reading.written(one.start, one.end)} is {first or name} to {last or name} of each week, which begins "
                f"on Sunday"
            )


def _settings(reading: Reading) -> list[Setting]:
    return [setting for point in reading.points for setting in point.settings]


def _weekday(setting: Setting) -> str:
    return Weekday(setting.value.number if isinstance(setting.value, Number) else _edge(setting)).full_name


def _edge(setting: Setting) -> int:
    value = setting.value
    assert isinstance(value, Edge)  # noqa: S101 - weekdays and months are numbers or edges
    return min(max((HIGHEST[setting.unit] if value.last else 1) + value.offset, 1), HIGHEST[setting.unit])


_RULES: Final[tuple[Callable[[Reading], Iterator[str]], ...]] = (
    _idle_anchor,
    _long_anchored,
    _macro,
    _nth_weekday,
    _amount,
    _counted_weeks,
    _month_first,
    _no_such_date,
    _short_months,
    _weekday_of_month,
    _whole_hour,
    _open_week,
)
