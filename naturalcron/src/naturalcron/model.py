"""What a text says, clause by clause. Everything here is immutable and compares by meaning, not by spelling."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from naturalcron.units import Unit
from naturalcron.values import Value


@dataclass(frozen=True, slots=True)
class Setting:
    """One unit and the value it is set to; `text` is the value as it was written."""

    unit: Unit
    value: Value
    text: str = field(compare=False)
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class Point:
    """Values of several units at once, in the order in which they were written."""

    settings: tuple[Setting, ...]

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units that are set, in order."""
        return tuple(setting.unit for setting in self.settings)

    def __getitem__(self, unit: Unit) -> Value:
        return next(setting.value for setting in self.settings if setting.unit is unit)


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where an interval is anchored: `value` is None if the text has no effect on this unit."""

    value: int | None
    text: str = field(compare=False)


@dataclass(frozen=True, slots=True)
class Every:
    """An interval of `count` units, whose phase an anchor may fix."""

    count: int
    unit: Unit
    anchor: Anchor | None
    start: int = field(compare=False)
    end: int = field(compare=False)


@dataclass(frozen=True, slots=True)
class At:
    """One point, or several of which one has to match. `in_list` tells `[x]` from `x`."""

    points: tuple[Point, ...]
    in_list: bool
    start: int = field(compare=False)
    end: int = field(compare=False)

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units that are set; all points set the same."""
        return self.points[0].units


@dataclass(frozen=True, slots=True)
class Range:
    """From one point to another, both included. An end that is None is open."""

    first: Point | None
    last: Point | None
    start: int = field(compare=False)
    end: int = field(compare=False)

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units that are compared; both ends set the same."""
        point = self.first or self.last
        return point.units if point else ()


@dataclass(frozen=True, slots=True)
class Between:
    """Ranges of which one has to contain the moment. `from` and `upto` have one, which is open."""

    ranges: tuple[Range, ...]
    start: int = field(compare=False)
    end: int = field(compare=False)

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units that are compared; all ranges compare the same."""
        return self.ranges[0].units


@dataclass(frozen=True, slots=True)
class Zone:
    """The time zone whose wall clock is meant; `name` as it was written, `key` in lower case."""

    key: str
    name: str = field(compare=False)
    start: int = field(compare=False)
    end: int = field(compare=False)


Clause: TypeAlias = Every | At | Between | Zone
