"""What a text says, rule by rule: for programs that show or check schedules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from naturalcron.model import At, Between, Clause, Every, Point, Range, Zone
from naturalcron.units import Unit


@dataclass(frozen=True, slots=True)
class EveryRule:
    """An interval: every `interval` units; `anchor` is the anchor's text without unit words, or None."""

    unit: Unit
    interval: int
    anchor: str | None


@dataclass(frozen=True, slots=True)
class AtRule:
    """One unit has one value, as it was written; hours with am or pm are converted to 0 to 23."""

    unit: Unit
    value: str


@dataclass(frozen=True, slots=True)
class AtListRule:
    """A list of alternatives: for each unit its values, in order. `unit` is the smallest of them."""

    unit: Unit
    values: Mapping[Unit, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class BetweenRule:
    """Ranges: for each, the values by unit of its first and last end; None for an open end.

    `unit` is the smallest unit compared.
    """

    unit: Unit
    ranges: tuple[tuple[Mapping[Unit, str] | None, Mapping[Unit, str] | None], ...]


@dataclass(frozen=True, slots=True)
class ZoneRule:
    """The time zone, as it was written."""

    zone: str


Rule: TypeAlias = EveryRule | AtRule | AtListRule | BetweenRule | ZoneRule


def rules_of(clauses: Sequence[Clause]) -> tuple[Rule, ...]:
    """Return the rules of clauses, in their order. A point outside a list makes one rule for each unit it sets."""
    return tuple(rule for clause in clauses for rule in _rules(clause))


def _rules(clause: Clause) -> Iterator[Rule]:
    match clause:
        case Every(count=count, unit=unit, anchor=anchor):
            yield EveryRule(unit, count, anchor.text if anchor else None)
        case At(points=points, in_list=True):
            yield AtListRule(min(clause.units), {unit: _texts(points, unit) for unit in clause.units})
        case At(points=points):
            yield from (AtRule(setting.unit, setting.text) for setting in points[0].settings)
        case Between(ranges=ranges):
            yield BetweenRule(min(clause.units), tuple(map(_ends, ranges)))
        case Zone(name=name):
            yield ZoneRule(name)


def _texts(points: Sequence[Point], unit: Unit) -> tuple[str, ...]:
    return tuple(setting.text for point in points for setting in point.settings if setting.unit is unit)


def _ends(one: Range) -> tuple[Mapping[Unit, str] | None, Mapping[Unit, str] | None]:
    return _end(one.first), _end(one.last)


def _end(point: Point | None) -> Mapping[Unit, str] | None:
    return {setting.unit: setting.text for setting in point.settings} if point else None
