"""Whether the occurrences of an expression depend on the start, which those of a cron line never do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from naturalcron.plan import Plan, grid
from naturalcron.timeset import ALL, TimeSet, where
from naturalcron.units import LOWEST, PERIOD, TIME_UNITS, Unit

_BELOW: Final = {
    Unit.SECOND: frozenset[Unit](),
    Unit.MINUTE: frozenset({Unit.SECOND}),
    Unit.HOUR: frozenset({Unit.SECOND, Unit.MINUTE}),
    Unit.DAY: frozenset(TIME_UNITS),
    Unit.WEEK: frozenset({*TIME_UNITS, Unit.WEEK}),
    Unit.MONTH: frozenset({*TIME_UNITS, Unit.DAY}),
    Unit.YEAR: frozenset({*TIME_UNITS, Unit.DAY, Unit.MONTH}),
}
"""What has to be set below the unit of an interval, lest it is kept from the start."""


@dataclass
class Phase:
    """Why occurrences depend on the start, or else what a round start makes of units that are not set."""

    reasons: list[str] = field(default_factory=list)
    times: TimeSet = ALL
    dates: Mapping[Unit, list[int]] = field(default_factory=dict)


def phase_of(plan: Plan, *, aligned: bool) -> Phase:
    """Return the phase of a plan; `aligned` promises a start at a round moment."""
    reasons = [*_interval_reasons(plan, aligned=aligned)]
    open_units = _open_units(plan)
    if not aligned or Unit.WEEK in open_units:
        names = ", ".join("weekday" if unit is Unit.WEEK else unit.word for unit in sorted(open_units))
        reasons += [f"not set, and therefore kept from the start: {names}"] if names else []
        return Phase(reasons)
    grids = _grids(plan, open_units)
    times = ALL
    for unit in grids.keys() & set(TIME_UNITS):
        times &= where(unit, grids[unit])
    reasons += _restarts(plan, times, grids)
    return Phase(reasons, times, {unit: values for unit, values in grids.items() if unit not in TIME_UNITS})


def _interval_reasons(plan: Plan, *, aligned: bool) -> Iterator[str]:
    unit, count = plan.unit, plan.count
    if unit is None:
        return
    if unit is Unit.WEEK and Unit.DAY in plan.pinned:
        yield "a step of a week may pass over days of the month"
    if count == 1 or plan.is_gridded:
        return
    if unit not in PERIOD:
        yield f"cron cannot count {unit.word}s"
    elif plan.anchor is not None:
        yield f"cron cannot count {count} {unit.word}s, which are more than it starts again after"
    elif not aligned:
        yield f"every {count} {unit.word}s counts from the start; an anchor would fix it"
    elif unit is Unit.DAY or PERIOD[unit] % count:
        yield f"every {count} {unit.word}s is not the same in each {_PARENT[unit]}"


_PARENT: Final = {
    Unit.SECOND: "minute",
    Unit.MINUTE: "hour",
    Unit.HOUR: "day",
    Unit.DAY: "month",
    Unit.MONTH: "year",
}


def _open_units(plan: Plan) -> frozenset[Unit]:
    """Return the units whose value occurrences take over from the start."""
    anchored = {Unit.WEEK} if plan.unit is Unit.WEEK and plan.anchor is not None else set()
    stepped = plan.smallest_pinned if plan.unit is None else plan.unit
    return _BELOW[stepped] - plan.pinned - plan.zeros - anchored


def _grids(plan: Plan, open_units: frozenset[Unit]) -> dict[Unit, list[int]]:
    """Return the values that units take when the start is round."""
    grids = {unit: [LOWEST[unit]] for unit in open_units}
    unit = plan.unit
    if unit in PERIOD and unit is not None and plan.count > 1 and plan.anchor is None:
        grids[unit] = grid(unit, plan.count, LOWEST[unit])
    return grids


def _restarts(plan: Plan, round_times: TimeSet, grids: Mapping[Unit, list[int]]) -> Iterator[str]:
    """Yield why a count that is round at first may not stay so: windows start it again where they begin."""
    allowed = ALL
    for one in plan.filters:
        allowed &= ALL if one.constant is None else one.constant
    begins = allowed & ~(allowed << 1)
    if begins & ~round_times:
        yield "each window starts the count again, at a moment that is not round"
    dated = any(one.constant is None for one in plan.filters)
    if dated and not grids.keys() <= set(TIME_UNITS):
        yield "days and months that are let through start the count again"
