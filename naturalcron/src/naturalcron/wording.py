"""Words for values: the pieces of which descriptions are made."""

from __future__ import annotations

from typing import Final, NamedTuple

from naturalcron.months import month_view
from naturalcron.plan import Values
from naturalcron.units import TIME_UNITS, Month, Unit, Weekday, ordinal
from naturalcron.values import ClosestWorkday, Edge, LastWeekday, NthWeekday, Number, Value, Workday

_ANY_MONTH: Final = month_view(1, 1)
_NTH: Final = ("first", "second", "third", "fourth", "fifth")


class Phrase(NamedTuple):
    """A preposition and what it belongs to."""

    preposition: str
    text: str

    def __str__(self) -> str:
        return f"{self.preposition} {self.text}"


def month_name(number: int) -> str:
    """Return the English name of a month."""
    return Month(number).full_name


def fixed(value: Value) -> int:
    """Return the number of a value that is the same in every month."""
    return value.resolve(_ANY_MONTH) or 0


# Dates


def date_phrase(values: Values) -> Phrase | None:
    """Return the words for the year, month, day and weekday among values, or None if there are none."""
    words = date_words(values)
    if words is None:
        return None
    return Phrase("on" if Unit.DAY in values or Unit.WEEK in values else "in", words)


def date_words(values: Values) -> str | None:
    """Return the date among values without a preposition: `1 January 2021`, `the last day of the month`."""
    weekday = Weekday(fixed(values[Unit.WEEK])).full_name if Unit.WEEK in values else None
    month = month_name(fixed(values[Unit.MONTH])) if Unit.MONTH in values else None
    year = f"{fixed(values[Unit.YEAR])}" if Unit.YEAR in values else None
    if Unit.DAY not in values:
        period = " ".join(filter(None, (month, year)))
        return f"{weekday} in {period}" if weekday and period else weekday or period or None
    words = _day_and_month(values[Unit.DAY], month, year)
    return f"{words} if it is a {weekday}" if weekday else words


def _day_and_month(day: Value, month: str | None, year: str | None) -> str:
    if isinstance(day, Number) and month:
        return " ".join(filter(None, (str(day.number), month, year)))
    if isinstance(day, Number):
        return f"the {ordinal(day.number)}" + (f" in {year}" if year else "")
    period = " ".join(filter(None, (month, year if month else None))) or "the month"
    return f"{day_words(day)} of {period}" + (f" in {year}" if year and not month else "")


def day_words(day: Value) -> str:
    """Return the words for a day that moves from month to month."""
    match day:
        case NthWeekday(nth=nth, weekday=weekday, offset=offset):
            return _moved(f"the {_NTH[nth - 1]} {Weekday(weekday).full_name}", offset)
        case LastWeekday(weekday=weekday, offset=offset):
            return _moved(f"the last {Weekday(weekday).full_name}", offset)
        case Workday(last=last, offset=offset):
            return _moved(f"the {'last' if last else 'first'} workday", offset)
        case Edge(last=last, offset=offset):
            return _moved(f"the {'last' if last else 'first'} day", offset)
        case ClosestWorkday(day=number):
            return f"the workday closest to the {ordinal(number)}"
        case _:
            return f"the {ordinal(fixed(day))}"


def _moved(words: str, offset: int) -> str:
    if not offset:
        return words
    count = "" if abs(offset) == 1 else f"{ordinal(abs(offset))} "
    return f"the {count}day {'after' if offset > 0 else 'before'} {words}"


# Times


def time_phrase(values: Values, zeros: frozenset[Unit]) -> Phrase | None:
    """Return the words for the hour, minute and second among values; `zeros` are units known to be zero."""
    times = _times(values)
    if not times:
        return None
    if Unit.HOUR in times and (Unit.MINUTE in times or Unit.MINUTE in zeros):
        return Phrase("at", _clock(times))
    if set(times) == {Unit.HOUR}:
        return Phrase("during", f"hour {times[Unit.HOUR]}")
    return Phrase("at", _named(times))


def _times(values: Values) -> dict[Unit, int]:
    return {unit: fixed(value) for unit, value in values.items() if unit in TIME_UNITS}


def _clock(times: dict[Unit, int]) -> str:
    text = f"{times[Unit.HOUR]:02}:{times.get(Unit.MINUTE, 0):02}"
    return f"{text}:{times[Unit.SECOND]:02}" if times.get(Unit.SECOND) else text


def _named(times: dict[Unit, int]) -> str:
    return ", ".join(f"{unit.word} {times[unit]}" for unit in sorted(times, reverse=True))


def end_words(values: Values) -> str:
    """Return the words for one end of a range."""
    times = _times(values)
    fields = [times[unit] for unit in sorted(times, reverse=True)]
    is_clock = Unit.HOUR in times and Unit.MINUTE in times
    # A range lasts to the end of its smallest unit, so seconds that are written have to show.
    clock = ":".join(f"{field:02}" for field in fields) if is_clock else _named(times)
    return " ".join(filter(None, (date_words(values), clock)))
