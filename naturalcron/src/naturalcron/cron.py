"""Expressions to cron, where both mean exactly the same.

A cron line fires whenever the clock matches it. An expression is equivalent if its occurrences do not depend on the
start (`cronphase`), and if what it lets through is the product of one set for each field (here). Everything else is
refused, with all reasons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import product
from typing import Final

from naturalcron.cronfields import Day, day_of, field_text
from naturalcron.cronphase import Phase, phase_of
from naturalcron.errors import ConversionError
from naturalcron.expression import Expression
from naturalcron.filters import AnyOf, Filter, Spot
from naturalcron.fromcron import from_cron
from naturalcron.months import month_view
from naturalcron.plan import make_plan
from naturalcron.ranges import AnyRange, Span
from naturalcron.timeset import ALL, TimeSet, where, where_one
from naturalcron.units import HIGHEST, LOWEST, TIME_UNITS, Unit
from naturalcron.values import Value

_DATE_UNITS: Final = (Unit.DAY, Unit.MONTH, Unit.WEEK)
_ALWAYS_THERE: Final = 28
"""The last day that every month has."""
_ANY_MONTH: Final = month_view(1, 1)
_NEW_YEARS: Final = tuple(datetime(year, 1, 1) for year in (2001, 2004))  # noqa: DTZ001 - on a clock without a zone
_EARLIEST: Final = datetime(1, 1, 1)  # noqa: DTZ001
_COMPARED: Final = 400
"""Occurrences: 28 years of months, after which the calendar repeats itself for a century."""


def to_cron(
    expression: Expression, *, seconds: bool = False, marks: bool = False, aligned: bool = False
) -> str:
    """Return the cron line that fires exactly at the occurrences of an expression.

    The line has five fields; with `seconds` six, the second first. Weekdays are 0 to 6, Sunday 0. `marks` allows
    `L`, `W` and `#`, which not every cron knows. `aligned` promises that the start is midnight on 1 January, from
    which `every 15 minutes` is `*/15` and `every day` is midnight.

    Exactly means on a clock that does not change; `from_cron` says what becomes of that where it does.

    Raises `ConversionError` naming everything that cron cannot say exactly.
    """
    plan = make_plan(expression.clauses)
    phase = phase_of(plan, aligned=aligned)
    reasons = list(phase.reasons)
    if expression.zone:
        reasons.append(f"cron has no time zones ({expression.zone})")
    fields = _Fields(marks=marks)
    fields.add_all(plan.filters)
    fields.add_phase(phase)
    if not seconds and not phase.reasons and fields.has_seconds():
        reasons.append("a second other than 0 needs the form with six fields (seconds=True)")
    reasons += [*fields.reasons, *fields.conflicts()]
    if (
        not reasons
        and aligned
        and plan.unit in (Unit.MONTH, Unit.YEAR)
        and (drift := _drift(expression, fields.line(seconds=True)))
    ):
        reasons.append(drift)
    if expression.next(_EARLIEST) is None:
        reasons = ["there are no occurrences", *reasons]
    if reasons:
        raise ConversionError(expression.text, "cron", dict.fromkeys(reasons))
    return fields.line(seconds=seconds)


def _drift(expression: Expression, line: str) -> str:
    """Return why a count from New Year leaves the line that says the same at first, or nothing if it stays."""
    other = from_cron(line)
    for start in _NEW_YEARS:
        if expression.upcoming(_COMPARED, start) != other.upcoming(_COMPARED, start):
            return "the count goes on from what some months do not have, and leaves the line"
    return ""


class _Fields:
    """The sets of all fields, narrowed filter by filter, and what stands in the way."""

    def __init__(self, *, marks: bool) -> None:
        self.reasons: list[str] = []
        self._allows_marks = marks
        self._times: TimeSet = ALL
        self._sets: dict[Unit, set[int]] = {unit: _full(unit) for unit in _DATE_UNITS}
        self._marks: dict[Unit, list[str]] = {Unit.DAY: [], Unit.WEEK: []}
        self._beside_marks: set[int] = set()

    def add_all(self, filters: Sequence[Filter]) -> None:
        """Narrow the sets by all filters."""
        for one in filters:
            times = one.constant
            if times is not None:
                self._times &= times
            elif isinstance(one, AnyOf):
                self._add_list(one)
            elif isinstance(one, AnyRange):
                self._add_ranges(one)

    def add_phase(self, phase: Phase) -> None:
        """Narrow the sets to what a round start leaves of units that no clause sets."""
        self._times &= phase.times
        for unit, values in phase.dates.items():
            self._sets[unit] &= set(values)

    # Lists

    def _add_list(self, one: AnyOf) -> None:
        units = tuple(one.spots[0].values)
        if Unit.YEAR in units:
            self.reasons.append("cron has no years")
        if any(spot.times != ALL for spot in one.spots):
            self.reasons.append("cron cannot pair days with times of their own")
        elif not _is_product(one.spots, units):
            self.reasons.append("cron cannot pair days with months of their own")
        else:
            for unit in set(units) - {Unit.YEAR}:
                self._narrow(unit, [spot.values[unit] for spot in one.spots])

    def _narrow(self, unit: Unit, values: Sequence[Value]) -> None:
        if unit is Unit.DAY:
            self._narrow_days([day_of(value) for value in values])
        else:
            self._sets[unit] &= {value.resolve(_ANY_MONTH) or 0 for value in values}

    def _narrow_days(self, days: Sequence[Day]) -> None:
        self.reasons += [day.problem for day in days if day.problem]
        marked = [day for day in days if day.mark]
        if marked and not self._allows_marks:
            names = ", ".join(dict.fromkeys(day.mark for day in marked))
            self.reasons.append(f"plain cron has no {names} (marks=True allows them)")
        if len({day.field for day in days}) > 1:
            self.reasons.append(
                "cron cannot have a day of the month or a weekday as alternatives in one field"
            )
        numbers = {day.number for day in days if not day.mark and not day.problem}
        if marked:
            self._beside_marks = numbers
            for day in marked:
                self._marks[day.field].append(day.mark)
        else:
            self._sets[Unit.DAY] &= numbers

    # Ranges

    def _add_ranges(self, one: AnyRange) -> None:
        units = one.spans[0].date_units
        has_weekdays = any(span.weekdays != (1, 7) for span in one.spans)
        if Unit.YEAR in units:
            self.reasons.append("cron has no years")
        elif len(units) + has_weekdays > 1 or any(span.since & span.until != ALL for span in one.spans):
            self.reasons.append("cron cannot state a range over several units")
        elif has_weekdays:
            self._sets[Unit.WEEK] &= {day for span in one.spans for day in _closed(*span.weekdays)}
        else:
            self._add_dates(units[0], one.spans)

    def _add_dates(self, unit: Unit, spans: Sequence[Span]) -> None:
        ends = [(span.first_date[0], span.last_date[0]) for span in spans]
        if unit is Unit.DAY and not all(_is_fixed_day(first) and _is_whole_day(last) for first, last in ends):
            self.reasons.append("cron cannot state a range of days that moves from month to month")
            return
        numbers = [(first.resolve(_ANY_MONTH) or 0, last.resolve(_ANY_MONTH) or 0) for first, last in ends]
        self._sets[unit] &= {value for first, last in numbers for value in _closed(first, last)}

    # Result

    def conflicts(self) -> Iterator[str]:
        """Yield what the sets together cannot be in one line."""
        times = self._time_sets()
        remade = ALL
        for unit, values in times.items():
            remade &= where(unit, values)
        if remade != self._times:
            yield "the times of day are not one set of hours times one of minutes"
        if not self._times or not all(self._sets.values()):
            yield "no value of a field satisfies all clauses"
        if any(self._marks.values()) and self._sets[Unit.DAY] != _full(Unit.DAY):
            yield "cron cannot narrow down a day that moves from month to month"
        days = self._marks[Unit.DAY] or self._sets[Unit.DAY] != _full(Unit.DAY)
        if days and (self._marks[Unit.WEEK] or self._sets[Unit.WEEK] != _full(Unit.WEEK)):
            yield "cron takes a day of the month and a weekday as alternatives, not as conditions"

    def _time_sets(self) -> dict[Unit, set[int]]:
        found: dict[Unit, set[int]] = {}
        for unit in TIME_UNITS:
            values = range(HIGHEST[unit] + 1)
            found[unit] = {value for value in values if self._times & where_one(unit, value)}
        return found

    def has_seconds(self) -> bool:
        """Say whether seconds other than 0 are let through."""
        return self._time_sets()[Unit.SECOND] != {0}

    def line(self, *, seconds: bool) -> str:
        """Return the cron line."""
        times = self._time_sets()
        fields = [field_text(unit, times[unit]) for unit in ((Unit.SECOND,) if seconds else ())]
        fields += [field_text(unit, times[unit]) for unit in (Unit.MINUTE, Unit.HOUR)]
        return " ".join([*fields, *map(self._date_text, (Unit.DAY, Unit.MONTH, Unit.WEEK))])

    def _date_text(self, unit: Unit) -> str:
        marks = self._marks.get(unit, [])
        if not marks:
            return field_text(unit, self._sets[unit])
        numbers = [field_text(unit, self._beside_marks)] if self._beside_marks else []
        return ",".join([*numbers, *dict.fromkeys(marks)])


def _full(unit: Unit) -> set[int]:
    return set(range(LOWEST[unit], HIGHEST[unit] + 1))


def _closed(first: int, last: int) -> range:
    return range(first, last + 1)


def _is_product(spots: Sequence[Spot], units: Sequence[Unit]) -> bool:
    chosen = {tuple(spot.values[unit] for unit in units) for spot in spots}
    columns = [{values[place] for values in chosen} for place in range(len(units))]
    return chosen == set(product(*columns))


def _is_fixed_day(value: Value) -> bool:
    """Say whether a range may begin on this day: one that every month has, as others are moved into the month."""
    day = day_of(value)
    return not day.mark and not day.problem and day.number <= _ALWAYS_THERE


def _is_whole_day(value: Value) -> bool:
    """Say whether a range may end on this day: a number, or the last day, which is the 31st to cron."""
    day = day_of(value)
    return (not day.mark and not day.problem) or day.mark == "L"
