"""Occurrences in a time zone whose clock changes.

Four rules, the answer to what other schedulers leave open:

* A wall time that the clock skips is moved forward by what it skips: 02:30 becomes 03:30.
* A wall time that comes twice counts once, at the first time.
* Intervals of hours, minutes or seconds count real time, unless a clause sets a time unit: they go on through both.
* Occurrences strictly increase in real time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from naturalcron.counting import last_until, restarts
from naturalcron.plan import Plan
from naturalcron.search import accepts, add, first_on_or_after, next_wall, part_of, step_from
from naturalcron.units import Unit

_DAY = timedelta(days=1)
_SECOND = timedelta(seconds=1)


class Timeline:
    """Real time, and the wall clock of one zone. Instants are aware and UTC, wall times naive."""

    def __init__(self, plan: Plan, zone: tzinfo) -> None:
        self._plan = plan
        self._zone = zone

    def next(self, start: datetime) -> datetime | None:
        """Return the first occurrence after an instant."""
        if self._plan.is_elastic:
            return self._next_elastic(start)
        return self._next_pinned(start)

    def restarted(self, found: datetime, limit: datetime) -> datetime:
        """Return the latest occurrence until `limit` that is one wherever the count came from, or else `found`."""
        wall, until = self.wall(found).replace(fold=0), self.wall(limit).replace(fold=0, microsecond=0)
        for restart, gap in restarts(self._plan, wall, until):
            instant = self.instant(restart)
            # A clock that changes on the way would lead elsewhere.
            if found < instant <= limit and self.offset(instant - gap - _DAY) == self.offset(instant + _DAY):
                return instant
        return found

    def last_until(self, found: datetime, limit: datetime) -> datetime:
        """Return the last occurrence until `limit` that follows the occurrence `found` before the clock changes."""
        wall, ahead = self.wall(found).replace(fold=0), self.offset(found)
        if not accepts(self._plan, wall) or (self._plan.lists_times and self._skipped_before(found)):
            return found
        end = min(limit, self._same_offset_until(found, limit)) + ahead
        return (
            last_until(self._plan, wall, end.replace(tzinfo=None, microsecond=0)).replace(tzinfo=UTC) - ahead
        )

    def _same_offset_until(self, instant: datetime, limit: datetime) -> datetime:
        """Return the last second until about `limit` up to which the clock does not change."""
        offset, moment = self.offset(instant), instant
        if self._zone.utcoffset(None) is not None:
            return limit  # the same at all times
        while moment < limit:
            following = moment + min(_DAY, limit - moment)
            if self.offset(following) != offset:
                return self._change(moment, following) - _SECOND
            moment = following
        return limit

    # Real time

    def _next_elastic(self, start: datetime) -> datetime | None:
        wall = self.wall(start).replace(fold=0)
        step = step_from(self._plan, wall, lambda steps: self._part_after(start, steps))
        unit, count = step or (Unit.SECOND, 1)
        moment = add(start, unit, count)
        return self._first_from(moment) if moment else None

    def _part_after(self, start: datetime, steps: int) -> int | None:
        unit = self._plan.unit
        assert unit is not None  # noqa: S101 - elastic plans have an interval
        moment = add(start, unit, steps)
        return part_of(self.wall(moment), unit) if moment else None

    def _first_from(self, instant: datetime | None) -> datetime | None:
        """Return the first instant from one on at which the wall clock shows what all clauses let through."""
        # All of it may be skipped: a quarter of an hour of the night in which the clock is put forward.
        last_year = self._plan.agenda.horizon(instant.year) if instant else 0
        while instant is not None and instant.year <= last_year:
            wall = self.wall(instant)
            found = first_on_or_after(self._plan, wall.replace(fold=0))
            again = self._end_of_first_pass(instant, wall)
            if again is not None and (found is None or self.instant(found) >= again):
                instant = again
                continue
            if found is None:
                return None
            if not self.is_skipped(found):
                first = self.instant(found)
                return first if first >= instant else self.instant(found, fold=1)
            instant = self._change(self.instant(found, fold=1), self.instant(found))
        return None

    def _end_of_first_pass(self, instant: datetime, wall: datetime) -> datetime | None:
        """Return when the clock goes back, if the wall time at an instant will come a second time."""
        second = self.instant(wall, fold=1)
        return self._change(instant, second) if wall.fold == 0 and second > instant else None

    def _change(self, before: datetime, after: datetime) -> datetime:
        """Return the first second with the later of two offsets; the clock changes once between the instants."""
        offset = self.offset(before)
        while after - before > _SECOND:
            middle = before + (after - before) // 2
            middle = middle.replace(microsecond=0)
            if self.offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after

    # Wall time

    def _next_pinned(self, start: datetime) -> datetime | None:
        wall = self._unmoved(start)
        found = next_wall(self._plan, wall)
        while found is not None and self.instant(found) <= start:
            found = next_wall(self._plan, found)
        candidates = [] if found is None else [self.instant(found)]
        if self._plan.lists_times:
            candidates += [*self._overtaken(start, found), *self._still_to_come(start)]
        return min(candidates, default=None)

    def _unmoved(self, start: datetime) -> datetime:
        """Return the wall time of an instant; where an occurrence was moved to it, the time it was moved from."""
        wall = self.wall(start).replace(fold=0)
        if not accepts(self._plan, wall):
            earlier = self._skipped_before(start)
            if earlier is not None and accepts(self._plan, earlier):
                return earlier
        return wall

    def _skipped_before(self, start: datetime) -> datetime | None:
        """Return the wall time that is moved to an instant because the clock skips it, if there is one."""
        earlier = start.replace(tzinfo=None) + self.offset(start - _DAY)
        return earlier if self.is_skipped(earlier) else None

    def _overtaken(self, start: datetime, found: datetime | None) -> Iterator[datetime]:
        """Yield an occurrence on the clock that one of a skipped time, being moved, would pass over."""
        if found is not None and self.is_skipped(found):
            change = self._change(self.instant(found, fold=1), self.instant(found))
            resumes = self.wall(max(change, start + _SECOND)).replace(fold=0)
            other = first_on_or_after(self._plan, resumes)
            if other is not None:
                yield self.instant(other)

    def _still_to_come(self, start: datetime) -> Iterator[datetime]:
        """Yield an occurrence of a skipped time that is moved to after the start."""
        earlier = self._skipped_before(start)
        other = first_on_or_after(self._plan, earlier + _SECOND) if earlier is not None else None
        if other is not None and self.is_skipped(other):
            yield self.instant(other)

    # Both

    def wall(self, instant: datetime) -> datetime:
        """Return what the clock shows; `fold` is 1 when it shows it for the second time."""
        return instant.astimezone(self._zone).replace(tzinfo=None)

    def instant(self, wall: datetime, fold: int = 0) -> datetime:
        """Return when the clock shows a time: for the first time, or with `fold` 1 the second.

        A time that the clock skips is read with the offset before the change, which moves it forward.
        """
        return wall.replace(tzinfo=self._zone, fold=fold).astimezone(UTC)

    def offset(self, instant: datetime) -> timedelta:
        """Return what the zone's clock is ahead of UTC."""
        return instant.astimezone(self._zone).utcoffset() or timedelta(0)

    def is_skipped(self, wall: datetime) -> bool:
        """Say whether the clock never shows a time."""
        return self.wall(self.instant(wall)).replace(fold=0) != wall
