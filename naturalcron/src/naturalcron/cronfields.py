"""The fields of a cron line: days as cron writes them, and sets of numbers as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from naturalcron.units import HIGHEST, LOWEST, Unit
from naturalcron.values import ClosestWorkday, Edge, LastWeekday, NthWeekday, Number, Value, Workday

_ALWAYS_THERE: Final = 28
_SHORTEST_RUN: Final = 3
"""Two numbers in a row are listed; three become a range."""


class Day(NamedTuple):
    """A day as cron knows it: a number, a mark like `L` or `1#2`, or a problem."""

    number: int = 0
    mark: str = ""
    field: Unit = Unit.DAY
    problem: str = ""


def day_of(value: Value) -> Day:  # noqa: PLR0911 - a table of cases
    """Return what a day is to cron."""
    match value:
        case Number(number=number):
            return Day(number)
        case Edge(last=False, offset=offset) if 0 <= offset < _ALWAYS_THERE:
            return Day(1 + offset)
        case Edge(last=True, offset=offset) if -_ALWAYS_THERE < offset <= 0:
            return Day(mark=f"L{offset}" if offset else "L")
        case Workday(last=last, offset=0):
            return Day(mark="LW" if last else "1W")
        case ClosestWorkday(day=day) if day <= _ALWAYS_THERE:
            return Day(mark=f"{day}W")
        case NthWeekday(nth=nth, weekday=weekday, offset=0):
            return Day(mark=f"{weekday - 1}#{nth}", field=Unit.WEEK)
        case LastWeekday(weekday=weekday, offset=0):
            return Day(mark=f"{weekday - 1}L", field=Unit.WEEK)
        case _:
            return Day(problem="cron has no sign for a day that is counted from another one")


def field_text(unit: Unit, values: set[int]) -> str:
    """Return the text of a field: `*`, `*/15`, `9-17` or numbers with commas. Weekdays become 0 to 6."""
    low, high = LOWEST[unit], HIGHEST[unit]
    numbers = sorted(values)
    if numbers == list(range(low, high + 1)):
        return "*"
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 0
    if step > 1 and unit is not Unit.WEEK and numbers == list(range(low, high + 1, step)):
        return f"*/{step}"
    shift = 1 if unit is Unit.WEEK else 0
    return ",".join(_run_text(run) for run in _runs([number - shift for number in numbers]))


def _runs(numbers: Sequence[int]) -> Iterator[list[int]]:
    run: list[int] = []
    for number in numbers:
        if run and number != run[-1] + 1:
            yield run
            run = []
        run.append(number)
    if run:
        yield run


def _run_text(run: Sequence[int]) -> str:
    return f"{run[0]}-{run[-1]}" if len(run) >= _SHORTEST_RUN else ",".join(map(str, run))
