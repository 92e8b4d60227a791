"""What clauses must not say together. Each rule returns its faults."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from naturalcron.errors import ErrorCode, UnknownZoneError
from naturalcron.lexer import Fault
from naturalcron.model import At, Between, Clause, Every, Point, Range, Zone
from naturalcron.months import month_view
from naturalcron.units import Month, Unit, Weekday
from naturalcron.words import WORDS, Kind
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
    return [*_reversed_ranges(text, every, at, between), *_zones(zones)]


def _nothing(text: str, every: Sequence[Every], at: Sequence[At]) -> Fault | None:
    if every or at:
        return None
    message = "expected an interval ('every 2 days', 'daily') or a point ('at 10:00', 'on monday')"
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


def _reversed_ranges(
    text: str, every: Sequence[Every], at: Sequence[At], between: Sequence[Between]
) -> Iterator[Fault]:
    reversed_ones = [one for clause in between for one in clause.ranges if _is_reversed(one)]
    if not reversed_ones:
        return
    pinned = {unit for clause in at for unit in clause.units}
    proposal = _written_out(text, every[0].unit, pinned, between)
    instead = f"'{proposal}'" if proposal else "both parts into a list"
    for one in reversed_ones:
        message = f"the range ends before it starts, and ranges do not wrap around; write {instead}"
        yield Fault(ErrorCode.REVERSED_RANGE, message, one.start, one.end)


def _written_out(text: str, unit: Unit, pinned: Collection[Unit], between: Sequence[Between]) -> str | None:
    """Return the whole text with ranges that do not run backwards, or None if there are no words for the halves."""
    for clause in sorted(between, key=lambda clause: clause.start, reverse=True):
        if any(map(_is_reversed, clause.ranges)):
            words = _as_list(clause, unit, pinned) or _as_ranges(text, clause, unit)
            if words is None:
                return None
            text = f"{text[: clause.start]}{words}{text[clause.end :]}"
    return " ".join(text.split())


def _as_list(clause: Between, unit: Unit, pinned: Collection[Unit]) -> str | None:
    """Return the weekdays or months of a range as a list, if one half of it would be a single one."""
    one = clause.ranges[0]
    named = _NAMED.get(one.units)
    if named is None or len(clause.ranges) > 1 or unit > Unit.DAY or one.units[0] in pinned:
        return None
    word, names = named
    ends = [point[one.units[0]].resolve(_JANUARY) for point in (one.first, one.last) if point]
    first, last = (number - 1 for number in ends if number is not None)
    if first < len(names) - 1 and last > 0:
        return None
    return f"{word} [{', '.join([*names[first:], *names[: last + 1]])}]"


def _as_ranges(text: str, clause: Between, unit: Unit) -> str | None:
    found = [
        _halves(text, one, unit) if _is_reversed(one) else text[one.start : one.end] for one in clause.ranges
    ]
    return None if None in found else f"between [{', '.join(map(str, found))}]"


_NAMED: Final[dict[tuple[Unit, ...], tuple[str, tuple[str, ...]]]] = {
    (Unit.WEEK,): ("on", tuple(day.short_name.lower() for day in Weekday)),
    (Unit.MONTH,): ("in", tuple(month.short_name.lower() for month in Month)),
}
_HALF: Final = re.compile(r"[ap]m\b", re.IGNORECASE)
_ENDS: Final = {
    (Unit.WEEK,): ("sat", "sun"),
    (Unit.MONTH,): ("dec", "jan"),
    (Unit.DAY,): ("31st", "1st"),
    (Unit.HOUR,): ("11pm", "12am"),
    (Unit.HOUR, Unit.MINUTE): ("23:59", "00:00"),
    (Unit.HOUR, Unit.MINUTE, Unit.SECOND): ("23:59:59", "00:00:00"),
    (Unit.MINUTE,): ("min 59", "min 0"),
    (Unit.SECOND,): ("sec 59", "sec 0"),
    (Unit.DAY, Unit.MONTH): ("31st dec", "1st jan"),
    (Unit.MONTH, Unit.DAY): ("dec 31st", "jan 1st"),
}
"""The highest and the lowest value of units, in words."""


def _halves(text: str, one: Range, interval: Unit) -> str | None:
    """Return the two ranges that one is meant to be: to the highest value, and on from the lowest."""
    ends = _ENDS.get(one.units)
    if ends is None or one.last is None:
        return None
    first, _, last = re.split(r"\b(and)\b", text[one.start : one.end], maxsplit=1, flags=re.IGNORECASE)
    unit = re.search(r"([a-z]+)\s+$", text[: one.start], re.IGNORECASE)
    if unit and WORDS[unit[1].lower()].kind is Kind.UNIT:
        first = f"{unit[1]} {first}"
    if one.units == (Unit.HOUR,):
        written = f"{first} {last}"
        if not _HALF.search(written):
            ends = ("hour 23", "hour 0")
        elif interval < Unit.HOUR:
            # An hour alone lasts to its end: below an hour, a range to 2am is meant to end at 2:00.
            first, last = (re.sub(r"\d+", r"\g<0>:00", end, count=1) for end in (first, last))
            ends = _ENDS[Unit.HOUR, Unit.MINUTE]
    return f"{first.strip()} and {ends[0]}, {ends[1]} and {last.strip()}"


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
