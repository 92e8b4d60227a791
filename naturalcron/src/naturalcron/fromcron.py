"""Cron lines to expressions that mean exactly the same."""

from __future__ import annotations

from typing import Final

from naturalcron.cronparse import CronLine, looks_like_cron, read_line
from naturalcron.errors import ConversionError
from naturalcron.expression import Expression, parse
from naturalcron.units import HIGHEST, LOWEST, Month, Unit, Weekday, ordinal
from naturalcron.words import WORDS

_SHORTEST_RUN: Final = 3
_MOST_CLOCKS: Final = 8
"""As many times of day are written as such; more are written as hours and minutes."""


def from_cron(line: str) -> Expression:
    """Return the expression whose occurrences are exactly the moments at which a cron line fires.

    Five fields, or six with the second first; names of months and weekdays; `*`, `?`, lists, ranges and steps;
    weekdays 0 to 7 with Sunday as 0 or 7; the marks `L`, `L-n`, `LW`, `nW`, `d#n` and `dL`; `@daily` and its like.

    Exactly means on a clock that does not change. Where the clock of a zone changes, the expression goes by the rules
    of this language, and not by those of a cron: a time that is skipped moves on by what is skipped (02:30 becomes
    03:30, where Debian's cron runs at 03:00, or not at all with a `*`), and one that comes twice happens once (where
    Debian's cron runs lines with a `*`, like `*/15 * * * *`, both times).

    Raises `ConversionError` naming all that is wrong with the line or has no exact equivalent: above all a day of
    the month together with a weekday, which cron takes as alternatives.
    """
    if (
        line.split()[:1]
        and line.split(maxsplit=1)[0].lower().lstrip("@") in WORDS
        and not looks_like_cron(line)
    ):
        raise ConversionError(
            line, "an expression", ["these are words, not the fields of a cron line; parse() reads them"]
        )
    fields = read_line(line)
    if fields.days and fields.weekdays:
        reason = "cron takes a day of the month and a weekday as alternatives, which one expression cannot"
        raise ConversionError(line, "an expression", [reason])
    return parse(" ".join(part for part in _parts(fields) if part))


def _parts(line: CronLine) -> list[str]:
    """Return the clauses: an interval of the largest time unit that is left open, and the fields around it."""
    lead = next((unit for unit in (Unit.SECOND, Unit.MINUTE, Unit.HOUR) if _leads(line, unit)), None)
    times = _times(line, lead)
    dates = [_days(line), _months(line, lead), _weekdays(line, lead)]
    if lead is None:
        return ["" if line.days or line.nth_weekdays else "every day", *dates, *times]
    return [_interval(line, lead), *dates, *times]


def _leads(line: CronLine, unit: Unit) -> bool:
    field = line.times[unit]
    return field.is_full or field.step is not None


def _interval(line: CronLine, unit: Unit) -> str:
    step = line.times[unit].step
    if step is None:
        return f"every {unit.word}"
    return f"every {step} {unit.word}s anchoredAt {min(line.times[unit].values)}"


def _times(line: CronLine, lead: Unit | None) -> list[str]:
    values = {unit: sorted(field.values) for unit, field in line.times.items() if unit is not lead}
    if lead is None and len(values[Unit.SECOND]) == 1 and _count(line) <= _MOST_CLOCKS:
        return [f"at {_alternatives(_clocks(values))}"]
    above = [unit for unit in values if lead is not None and unit > lead]
    below = [unit for unit in values if unit not in above]
    if lead in (None, Unit.HOUR) and values[Unit.SECOND] == [0]:
        below.remove(Unit.SECOND)  # it goes without saying once the minute is set
    parts = [_unit_range(unit, values[unit]) for unit in above if not line.times[unit].is_full]
    return parts + [_unit_list(unit, values[unit]) for unit in below]


def _count(line: CronLine) -> int:
    return len(line.times[Unit.HOUR].values) * len(line.times[Unit.MINUTE].values)


def _clocks(values: dict[Unit, list[int]]) -> list[str]:
    second = values[Unit.SECOND][0]
    ending = f":{second:02}" if second else ""
    return [f"{hour:02}:{minute:02}{ending}" for hour in values[Unit.HOUR] for minute in values[Unit.MINUTE]]


def _unit_range(unit: Unit, values: list[int]) -> str:
    if _is_run(values):
        return f"between {unit.word} {values[0]} and {values[-1]}"
    return _unit_list(unit, values)


def _unit_list(unit: Unit, values: list[int]) -> str:
    return f"at {unit.word} {_alternatives([str(one) for one in values])}"


def _is_run(values: list[int]) -> bool:
    return len(values) >= _SHORTEST_RUN and values[-1] - values[0] == len(values) - 1


def _alternatives(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"[{', '.join(words)}]"


# Dates


def _days(line: CronLine) -> str:
    words = (
        [ordinal(day) for day in sorted(line.days.values)] + line.days.marks
        if line.days
        else line.nth_weekdays
    )
    return f"on {_alternatives(words)}" if words else ""


def _months(line: CronLine, lead: Unit | None) -> str:
    names = [Month(month).short_name for month in sorted(line.months.values)]
    return _named(names, sorted(line.months.values), Unit.MONTH, "in", can_range=_has_every(line, lead))


def _weekdays(line: CronLine, lead: Unit | None) -> str:
    if line.nth_weekdays:
        return ""
    numbers = sorted(line.weekdays.values)
    names = [Weekday(number).short_name for number in numbers]
    return _named(names, numbers, Unit.WEEK, "on", can_range=_has_every(line, lead))


def _has_every(line: CronLine, lead: Unit | None) -> bool:
    return lead is not None or not (line.days or line.nth_weekdays)


def _named(names: list[str], numbers: list[int], unit: Unit, keyword: str, *, can_range: bool) -> str:
    if len(numbers) == HIGHEST[unit] - LOWEST[unit] + 1 or not numbers:
        return ""
    if can_range and _is_run(numbers):
        return f"between {names[0]} and {names[-1]}"
    return f"{keyword} {_alternatives(names)}"
