"""Nothing is skipped and nothing invented: the search against a slow and simple program.

The oracle knows the rules of the language's reference, not the code: it looks at one moment after the other, with its
own reading of days that move. Expressions are made at random, together with what the oracle has to know of them.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from naturalcron import parse

SEC, MIN, HOUR, DAY, WEEK, MONTH, YEAR = range(7)
NAMES = ["second", "minute", "hour", "day", "week", "month", "year"]
PERIOD = {SEC: 60, MIN: 60, HOUR: 24, DAY: 31, MONTH: 12}
ORDER = [YEAR, MONTH, WEEK, DAY, HOUR, MIN, SEC]
WEEKDAYS = ["", "sun", "mon", "tue", "wed", "thu", "fri", "sat"]
LOW = [0, 0, 0, 1, 1, 1, 1]
HIGH = [59, 59, 23, 31, 7, 12, 9999]
HORIZON = timedelta(days=900)
PATIENCE = 12
"""Days that look right but have no moment; then the oracle, which is slow, gives up and says how far it came."""


def weekday_of(day: date) -> int:
    return day.isoweekday() % 7 + 1


def days_of(day: date) -> list[date]:
    return [date(day.year, day.month, n) for n in range(1, calendar.monthrange(day.year, day.month)[1] + 1)]


@dataclass(frozen=True)
class Val:
    """A value: how it is written, and what it is."""

    text: str
    kind: str
    number: int = 0
    other: int = 0

    def resolve(self, day: date) -> int | None:
        """Return the number it is in the month of a day."""
        return resolved(self, day.year, day.month)


@cache
def resolved(value: Val, year: int, month: int) -> int | None:
    days = days_of(date(year, month, 1))
    work = [day.day for day in days if day.isoweekday() <= 5]
    if value.kind == "number":
        return value.number
    if value.kind == "closest":
        target = min(value.number, len(days))
        return min(work, key=lambda day: abs(day - target))
    if value.kind == "nth":
        found = [day.day for day in days if weekday_of(day) == value.other]
        if value.number == 6:
            return found[-1]
        return found[value.number - 1] if value.number <= len(found) else None
    base = {"first": 1, "last": len(days), "firstwork": work[0], "lastwork": work[-1]}[value.kind]
    return min(max(base + value.number, 1), len(days))


Values = dict[int, Val]


@dataclass
class Spec:
    every: tuple[int, int, int | None] | None = None
    """Count, unit, anchor."""
    ats: list[list[Values]] = field(default_factory=list)
    """Lists of alternatives; those of one are written without brackets."""
    betweens: list[list[tuple[Values, Values]]] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join(self._clauses())

    def _clauses(self) -> Iterator[str]:
        if self.every:
            count, unit, anchor = self.every
            yield f"every {count} {NAMES[unit]}" + ("" if anchor is None else f" anchoredOn {anchor}")
        for alternatives in self.ats:
            texts = [write(values) for values in alternatives]
            yield f"at {texts[0]}" if len(texts) == 1 else f"on [{', '.join(texts)}]"
        for ranges in self.betweens:
            texts = [f"{write(first)} and {write(last)}" for first, last in ranges]
            yield f"between {texts[0]}" if len(texts) == 1 else f"between [{', '.join(texts)}]"


def write(values: Values) -> str:
    return " ".join(value.text for _, value in sorted(values.items(), reverse=True))


# The oracle


def part(unit: int, t: datetime) -> int:
    return [t.second, t.minute, t.hour, t.day, weekday_of(t.date()), t.month, t.year][unit]


class Oracle:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.unit = spec.every[1] if spec.every else None
        self.count = spec.every[0] if spec.every else 1
        self.anchor = spec.every[2] if spec.every else None
        self.ats = self._dated()
        self.pinned = {unit for alternatives in self.ats for unit in alternatives[0]}
        times = [unit for unit in self.pinned if unit < DAY]
        smallest = min([*times, YEAR if self.unit is None else self.unit])
        ranged = {unit for ranges in spec.betweens for unit in ranges[0][0]}
        self.looked_until = date.min
        self.zeros = {unit for unit in range(smallest) if unit not in ranged} if times else set()

    def _dated(self) -> list[list[Values]]:
        has_day = any(DAY in alternatives[0] for alternatives in self.spec.ats)
        if self.unit not in (MONTH, YEAR) or has_day:
            return self.spec.ats
        return [[self._first_weekday(values) for values in alternatives] for alternatives in self.spec.ats]

    def _first_weekday(self, values: Values) -> Values:
        if WEEK not in values:
            return values
        rest = {unit: value for unit, value in values.items() if unit != WEEK}
        return rest | {DAY: Val("", "nth", 1, values[WEEK].number)}

    # Accept

    def matches(self, values: Values, t: datetime, units: set[int]) -> bool:
        return all(part(u, t) == v.resolve(t.date()) for u, v in values.items() if u in units)

    def within(self, ends: tuple[Values, Values], t: datetime, units: set[int]) -> bool:
        first, last = ends
        named = [unit for unit in ORDER if unit in first and unit != WEEK and unit in units]
        low = [self.clamped(first[unit], unit, t) for unit in named]
        high = [self.clamped(last[unit], unit, t) for unit in named]
        here = [part(unit, t) for unit in named]
        if None in low or None in high or not low <= here <= high:  # type: ignore[operator]
            return False
        return WEEK not in first or first[WEEK].number <= part(WEEK, t) <= last[WEEK].number

    def clamped(self, value: Val, unit: int, t: datetime) -> int | None:
        number = value.resolve(t.date())
        length = calendar.monthrange(t.year, t.month)[1]
        return min(number, length) if unit == DAY and number is not None else number

    def aligned(self, t: datetime) -> bool:
        if self.anchor is None or self.unit is None:
            return True
        here = part(self.unit, t)
        if self.unit == YEAR or self.gridded:
            return (here - self.anchor) % self.count == 0
        return here == self.anchor

    @property
    def gridded(self) -> bool:
        return self.anchor is not None and self.unit in PERIOD and self.count < PERIOD[self.unit]

    def accept(self, t: datetime, units: frozenset[int] = frozenset(range(7))) -> bool:
        some = set(units)
        return (
            all(any(self.matches(v, t, some) for v in alternatives) for alternatives in self.ats)
            and all(any(self.within(r, t, some) for r in ranges) for ranges in self.spec.betweens)
            and all(part(unit, t) == 0 for unit in self.zeros & some)
            and (self.unit not in some or self.aligned(t))
        )

    def complete(self, t: datetime) -> bool:
        return all(self.matches(values, t, set(range(7))) for values in self.last_ones(t))

    def last_ones(self, t: datetime) -> Iterator[Values]:
        """Yield the last alternative of each list that the interval steps over."""
        for alternatives in self.ats:
            if len(alternatives) > 1 and self.unit is not None and min(alternatives[0]) <= self.unit:
                there = [values for values in alternatives if self.exists(values, t)]
                yield max(there or alternatives, key=lambda values: self.rank(values, t))

    def exists(self, values: Values, t: datetime) -> bool:
        if DAY not in values:
            return True
        day = values[DAY].resolve(t.date())
        elsewhere = any(unit in values and values[unit].number != part(unit, t) for unit in (MONTH, YEAR))
        return day is not None and (elsewhere or day <= calendar.monthrange(t.year, t.month)[1])

    def rank(self, values: Values, t: datetime) -> list[int]:
        return [(values[unit].resolve(t.date()) or 0) if unit in values else 0 for unit in ORDER]

    # Next

    def next(self, s: datetime) -> datetime | None:
        leap, remembered = self.leap(s)
        tried = 0
        for day in (leap.date() + timedelta(days=n) for n in range(HORIZON.days)):
            if self.accept(datetime.combine(day, time()), frozenset({DAY, WEEK, MONTH, YEAR})):
                found = self.first_on(day, leap, remembered)
                if found is not None:
                    return found
                tried += 1
            if tried == PATIENCE:
                break
        self.looked_until = day
        return None

    def leap(self, s: datetime) -> tuple[datetime, time]:
        if self.accept(s):
            if self.unit is not None and self.complete(s):
                steps = self.steps(s) if self.gridded else self.count
                moment = self.reset(self.add(s, self.unit, steps), self.unit)
                if self.unit == WEEK and any(len(a) > 1 and WEEK in a[0] for a in self.ats):
                    moment -= timedelta(days=weekday_of(moment.date()) - 1)
                return moment, moment.time()
            smallest = DAY if min(self.pinned) == WEEK else min(self.pinned)
            moment = self.reset(self.add(s, smallest, 1), smallest)
            return moment, moment.time()
        if self.anchor is not None and self.unit in PERIOD and not self.aligned(s):
            moment = self.reset(self.add(s, self.unit, self.steps(s)), self.unit)
            return moment, moment.time()
        return s + timedelta(seconds=1), s.time()

    def steps(self, s: datetime) -> int:
        assert self.unit is not None
        steps = 1
        while not self.aligned(self.add(s, self.unit, steps)):
            steps += 1
        return steps

    def add(self, t: datetime, unit: int, count: int) -> datetime:
        if unit <= WEEK:
            return t + count * timedelta(seconds=[1, 60, 3600, 86400, 604800][unit])
        months = t.year * 12 + t.month - 1 + count * (12 if unit == YEAR else 1)
        year, month = divmod(months, 12)
        return t.replace(year=year, month=month + 1, day=min(t.day, calendar.monthrange(year, month + 1)[1]))

    def reset(self, t: datetime, unit: int) -> datetime:
        zero = {NAMES[one]: 0 for one in self.pinned | self.zeros if one < min(unit, DAY)}
        if unit >= MONTH and self.pinned & {DAY, WEEK}:
            zero["day"] = 1
        if unit == YEAR and MONTH in self.pinned:
            zero["month"] = 1
        return t.replace(**zero)  # type: ignore[arg-type]

    def first_on(self, day: date, leap: datetime, remembered: time) -> datetime | None:
        keeps = (self.unit is None or self.unit >= DAY) and all(unit >= DAY for unit in self.pinned)
        if day > leap.date() and keeps and self.accept(datetime.combine(day, remembered)):
            return datetime.combine(day, remembered)
        return next((t for t in self.moments(day, leap) if t >= leap and self.accept(t)), None)

    def moments(self, day: date, leap: datetime) -> Iterator[datetime]:
        """Yield the moments of a day at which something can begin: whole minutes, and named seconds of them."""
        every = [
            *(v for a in self.ats for v in a),
            *(e for r in self.spec.betweens for pair in r for e in pair),
        ]
        named = {values[SEC].number for values in every if SEC in values} | {0, leap.second}
        seconds = range(60) if self.unit == SEC and self.anchor is not None else sorted(named)
        for minute in range(1440):
            for second in seconds:
                yield datetime.combine(day, time(minute // 60, minute % 60, second))


# Random expressions


def number(unit: int) -> st.SearchStrategy[Val]:
    high = 2025 if unit == YEAR else HIGH[unit]
    low = 2023 if unit == YEAR else LOW[unit]
    few = st.sampled_from(sorted({low, high, (low + high) // 2, low + 1}))
    values = few | st.integers(low, high)
    if unit == WEEK:
        return values.map(lambda n: Val(WEEKDAYS[n], "number", n))
    return values.map(lambda n: Val(f"{NAMES[unit]} {n}", "number", n))


def signed(offset: int) -> str:
    return f" {'-' if offset < 0 else '+'} {abs(offset)}" if offset else ""


MOVING = {"first": "FirstDay", "last": "LastDay", "firstwork": "FirstWeekday", "lastwork": "LastWeekday"}
NTH = ["", "1st", "Second", "3rd", "Fourth", "5th", "Last"]


def moving_days() -> st.SearchStrategy[Val]:
    named = st.builds(
        lambda kind, offset: Val(MOVING[kind] + signed(offset), kind, offset),
        st.sampled_from(sorted(MOVING)),
        st.sampled_from([0, 0, 1, -1, 2, -2, 20, -40]),
    )
    nth = st.builds(
        lambda n, weekday: Val(NTH[n] + WEEKDAYS[weekday], "nth", n, weekday),
        st.integers(1, 6),
        st.integers(1, 7),
    )
    closest = st.integers(1, 31).map(lambda n: Val(f"ClosestWeekdayTo {n}", "closest", n))
    return named | nth | closest


def value(unit: int) -> st.SearchStrategy[Val]:
    return number(unit) | moving_days() if unit == DAY else number(unit)


@st.composite
def alternatives(draw: st.DrawFn, free: list[int]) -> list[Values]:
    units = draw(st.lists(st.sampled_from(free), min_size=1, max_size=3, unique=True))
    one = st.fixed_dictionaries({unit: value(unit) for unit in units})
    return draw(st.lists(one, min_size=1, max_size=draw(st.sampled_from([1, 1, 3]))))


@st.composite
def range_of(draw: st.DrawFn, units: list[int]) -> tuple[Values, Values]:
    first, last = ({unit: draw(number(unit)) for unit in units} for _ in range(2))
    if [first[u].number for u in ORDER if u in first] > [last[u].number for u in ORDER if u in last]:
        first, last = last, first
    assume(WEEK not in units or first[WEEK].number <= last[WEEK].number)
    rest = [unit for unit in ORDER if unit in units and unit != WEEK]
    assume([first[unit].number for unit in rest] <= [last[unit].number for unit in rest])
    return first, last


RANGES = [[HOUR], [HOUR, MIN], [MIN], [SEC], [DAY], [WEEK], [MONTH], [MONTH, DAY], [DAY, HOUR], [HOUR, MIN, SEC],
          [WEEK, HOUR], [MIN, SEC], [YEAR, MONTH]]  # fmt: skip


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    spec = Spec()
    if draw(st.integers(0, 4)):
        unit = draw(st.integers(SEC, YEAR))
        count = draw(st.sampled_from([1, 1, 2, 3, 5, 25, 40]) if unit < WEEK else st.sampled_from([1, 1, 2]))
        anchor = draw(st.none() | st.integers(LOW[unit], 2025 if unit == YEAR else HIGH[unit]))
        spec.every = (count, unit, anchor if draw(st.booleans()) else None)
    free = [unit for unit in range(7) if unit != YEAR and (spec.every is None or unit != spec.every[1])]
    if spec.every and spec.every[1] == WEEK and spec.every[2] is None:
        free.append(WEEK)
    for _ in range(draw(st.integers(0 if spec.every else 1, 3))):
        if free:
            spec.ats.append(draw(alternatives(free)))
            free = [unit for unit in free if unit not in spec.ats[-1][0]]
    if spec.every:
        for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
            units = draw(st.sampled_from(RANGES))
            spec.betweens.append(draw(st.lists(range_of(units), min_size=1, max_size=2)))
    return spec


STARTS = st.datetimes(datetime(2024, 1, 1), datetime(2025, 12, 31)).map(lambda t: t.replace(microsecond=0))
ROUND = STARTS.map(lambda t: t.replace(hour=0, minute=0, second=0))


def check(spec: Spec, start: datetime, count: int) -> None:
    expression, oracle = parse(spec.text), Oracle(spec)
    for _ in range(count):
        expected, found = oracle.next(start), expression.next(start)
        if expected is None:
            assert found is None or found.date() > oracle.looked_until, (spec.text, start)
            return
        assert found == expected, (spec.text, start)
        start = expected


@pytest.mark.timeout(120)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs(), STARTS | ROUND)
def test_the_search_agrees_with_the_oracle(spec: Spec, start: datetime) -> None:
    check(spec, start, 3)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(specs(), st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31)))
def test_occurrences_strictly_increase(spec: Spec, start: datetime) -> None:
    found = [start, *parse(spec.text).upcoming(20, start)]

    assert all(before < after for before, after in pairwise(found))
