"""What clauses must not say together. Each rule returns its faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from naturalcron.errors import ErrorCode, UnknownZoneError
from naturalcron.lexer import Fault
from naturalcron.model import At, Between, Clause, Every, Point, Range, Zone
from naturalcron.months import month_view
from naturalcron.units import Unit
from naturalcron.zones import find_zone

_JANUARY: Final = month_view(1, 1)
"""The month in which the ends of a range are compared."""


def faults_of(text: str, clauses: Sequence[Clause]) -> list[Fault]:
    """Return what is wrong with the clauses: of the rules about their kinds the first, of the others all."""
    every = [clause for clause in clauses if isinstance(clause, Every)]
    at = [clause for clause in clauses if isinstance(clause, At)]
    between = [clause for clause in clauses if isinstance(clause, Between)]
    zones = [clause for clause in clauses if isinstance(clause, Zone)]
    for first in (
        _nothing(text, every, at),
        _several_every(every),
        _unit_of_every(every, at),
        _same_unit(at),
        _ranges_alone(every, between),
    ):
        if first is not None:
            return [first]
    return [*_reversed_ranges(between), *_zones(zones)]


def _nothing(text: str, every: Sequence[Every], at: Sequence[At]) -> Fault | None:
    if every or at:
        return None
    message = "an interval ('every 2 days', 'daily') or a point ('at 10:00', 'on monday') expected"
    end = len(text.rstrip())
    return Fault(ErrorCode.NOTHING_TO_SCHEDULE, message, end, end)


def _several_every(every: Sequence[Every]) -> Fault | None:
    if len(every) <= 1:
        return None
    return Fault(ErrorCode.DUPLICATE_EVERY, "only one interval is possible", every[1].start, every[1].end)


def _unit_of_every(every: Sequence[Every], at: Sequence[At]) -> Fault | None:
    clause = every[0] if every else None
    same = [one for one in at if clause and clause.unit in one.units]
    if clause is None or not same:
        return None
    if clause.unit is not Unit.WEEK:
        message = f"'{_written(clause)}' already counts the {clause.unit.word}; an 'at' cannot set it, too"
        return Fault(ErrorCode.AT_SAME_UNIT_AS_EVERY, message, same[0].start, same[0].end)
    if clause.anchor is None:
        return None
    message = "the week is anchored on a weekday already; leave out the anchor or this weekday"
    return Fault(ErrorCode.WEEK_ANCHOR_WITH_WEEK_RULE, message, same[0].start, same[0].end)


def _written(every: Every) -> str:
    return f"every {every.unit.word}" if every.count == 1 else f"every {every.count} {every.unit.word}s"


def _same_unit(at: Sequence[At]) -> Fault | None:
    seen: Counter[Unit] = Counter()
    for clause in at:
        seen.update(clause.units)
        twice = [unit for unit in clause.units if seen[unit] > 1]
        if twice:
            name = "weekday" if twice[0] is Unit.WEEK else twice[0].word
            message = f"the {name} is set already; write alternatives as one list: [a, b]"
            return Fault(ErrorCode.DUPLICATE_AT_UNIT, message, clause.start, clause.end)
    return None


def _ranges_alone(every: Sequence[Every], between: Sequence[Between]) -> Fault | None:
    if every or not between:
        return None
    message = "a range needs an interval: put 'every day' or the like before it"
    return Fault(ErrorCode.BETWEEN_WITHOUT_EVERY, message, between[0].start, between[0].end)


def _reversed_ranges(between: Sequence[Between]) -> Iterator[Fault]:
    message = "the range ends before it starts; ranges do not wrap around, use a list of two"
    for one in (one for clause in between for one in clause.ranges):
        if _is_reversed(one):
            yield Fault(ErrorCode.REVERSED_RANGE, message, one.start, one.end)


def _is_reversed(one: Range) -> bool:
    if one.first is None or one.last is None:
        return False
    first, last = _place(one.first), _place(one.last)
    if None in first or None in last:
        return False  # a fifth weekday that January of year 1 lacks: nothing to compare
    return first > last or _weekday(one.first) > _weekday(one.last)


def _place(point: Point) -> list[int | None]:
    units = sorted(set(point.units) - {Unit.WEEK}, reverse=True)
    return [point[unit].resolve(_JANUARY) for unit in units]


def _weekday(point: Point) -> int:
    return (point[Unit.WEEK].resolve(_JANUARY) or 0) if Unit.WEEK in point.units else 0


def _zones(zones: Sequence[Zone]) -> Iterator[Fault]:
    for zone in zones[1:]:
        yield Fault(ErrorCode.DUPLICATE_ZONE, "only one time zone is possible", zone.start, zone.end)
    for zone in zones:
        try:
            find_zone(zone.name)
        except UnknownZoneError as error:
            yield Fault(ErrorCode.UNKNOWN_ZONE, str(error), zone.start, zone.end)
