"""Expressions in plain English. The same meaning gives the same words, whatever the spelling and the order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from naturalcron.expression import Expression
from naturalcron.filters import spot
from naturalcron.model import At, Between, Clause, Every, Range
from naturalcron.months import month_view
from naturalcron.plan import Values, dated_points, implied_zeros, range_ends
from naturalcron.units import TIME_UNITS, Unit, Weekday, ordinal
from naturalcron.wording import Phrase, date_phrase, end_words, month_name, time_phrase

_JANUARY: Final = month_view(1, 1)
"""The month for whose days alternatives and ranges are put in order."""


def describe(expression: Expression) -> str:
    """Return what an expression means in one English line.

    For example `Every 30 minutes in January between 09:00 and 18:00, Europe/Lisbon time`. Anchors without effect
    are left out (see `Expression.warnings`).
    """
    clauses = expression.clauses
    every = next((clause for clause in clauses if isinstance(clause, Every)), None)
    parts = [_interval(every)] if every else []
    parts += _points(clauses, every)
    parts += sorted(_ranges(clause) for clause in clauses if isinstance(clause, Between))
    text = " ".join(parts)
    zone = f", {expression.zone} time" if expression.zone else ""
    return text[:1].upper() + text[1:] + zone


# Intervals


def _interval(every: Every) -> str:
    text = f"every {every.unit.word}" if every.count == 1 else f"every {every.count} {every.unit.word}s"
    value = every.anchor.value if every.anchor else None
    if value is None:
        return text
    if every.unit is Unit.WEEK:
        return f"{text} on {Weekday(value).full_name}"
    return f"{text} (counted from {_anchor(every.unit, value)})"


def _anchor(unit: Unit, value: int) -> str:
    if unit is Unit.MONTH:
        return month_name(value)
    if unit is Unit.DAY:
        return f"the {ordinal(value)}"
    return str(value) if unit is Unit.YEAR else f"{unit.word} {value}"


# Points


def _points(clauses: Sequence[Clause], every: Every | None) -> list[str]:
    at = [clause for clause in clauses if isinstance(clause, At)]
    unit = every.unit if every else None
    points = dated_points(at, unit)
    pinned = frozenset[Unit]().union(*(values[0] for values in points))
    in_ranges = (clause.units for clause in clauses if isinstance(clause, Between))
    zeros = implied_zeros(pinned, unit, frozenset[Unit]().union(*in_ranges))
    merged = _merged(values for values in points if len(values) == 1)
    several = [values for values in points if len(values) > 1]
    dates = [date_phrase(merged), *sorted(_list(values, zeros) for values in several if _has_date(values[0]))]
    times = [
        time_phrase(merged, zeros),
        *sorted(_list(one, zeros) for one in several if not _has_date(one[0])),
    ]
    return [str(part) for part in (*dates, *times) if part]


def _merged(points: Iterable[Sequence[Values]]) -> Values:
    """Return the values of all clauses without alternatives: together they are one point."""
    return {unit: value for values in points for unit, value in values[0].items()}


def _has_date(values: Values) -> bool:
    return any(unit not in TIME_UNITS for unit in values)


def _list(alternatives: Sequence[Values], zeros: frozenset[Unit]) -> str:
    ranked = sorted(alternatives, key=lambda values: spot(values).rank(_JANUARY))
    phrases = list(dict.fromkeys(tuple(_phrases(values, zeros)) for values in ranked))
    words = {phrase[0].preposition for phrase in phrases}
    if len(words) == 1 and all(len(phrase) == 1 for phrase in phrases):
        return f"{words.pop()} {_either([phrase[0].text for phrase in phrases])}"
    return _either([" ".join(map(str, phrase)) for phrase in phrases])


def _phrases(values: Values, zeros: frozenset[Unit]) -> Iterator[Phrase]:
    yield from filter(None, (date_phrase(values), time_phrase(values, zeros)))


def _either(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


# Ranges


def _ranges(clause: Between) -> str:
    ranges = sorted(set(clause.ranges), key=_rank)
    return _either(list(dict.fromkeys(map(_range, ranges))))


def _rank(one: Range) -> list[list[int]]:
    return [spot(end).rank(_JANUARY) for end in range_ends(one)]


def _range(one: Range) -> str:
    first, last = range_ends(one)
    if one.last is None:
        return f"from {end_words(first)}"
    if one.first is None:
        return f"up to {end_words(last)}"
    return f"between {end_words(first)} and {end_words(last)}"
