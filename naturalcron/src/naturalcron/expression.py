"""Expressions: text that was parsed, and the questions one can ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from itertools import islice
from zoneinfo import ZoneInfo

from naturalcron.advice import advised
from naturalcron.counting import last_until, restarts
from naturalcron.cronphase import phase_of
from naturalcron.errors import ParseError, Problem
from naturalcron.lexer import fail
from naturalcron.model import Clause, Zone
from naturalcron.parser import parse_clauses
from naturalcron.plan import Plan, make_plan
from naturalcron.readings import Reading, readings_of
from naturalcron.rules import Rule, rules_of
from naturalcron.search import accepts, next_wall
from naturalcron.timeline import Timeline
from naturalcron.validation import faults_of
from naturalcron.zones import find_zone

_DAY = timedelta(days=1)
_EARLIEST = datetime(1, 1, 1)  # noqa: DTZ001 - on the clock that counts


@dataclass(frozen=True, eq=False, repr=False)
class Expression:
    """A recurring schedule. Made by `parse`; immutable, so threads may share it.

    Two expressions are equal if their clauses are, in whatever order and spelling.

    Which clock counts: with a time zone clause that of the zone. Otherwise the wall clock of the start that is
    handed in, whatever its zone. Results come in the zone of the start; a naive start means the clock that
    counts, and gives naive results.
    """

    text: str
    """The text as it was parsed."""
    clauses: tuple[Clause, ...]
    """What the text says, for code that wants to look inside; `rules` is the simpler view."""

    def next(self, start: datetime, *, until: datetime | None = None) -> datetime | None:
        """Return the first occurrence after `start`, or None if there is none.

        Fractions of a second of `start` are cut off, and `start` itself is never returned. `until` is a limit,
        exclusive, of the same kind as `start` (both aware or both naive; `TypeError` otherwise).
        """
        found = self._next(start)
        if found is None or until is None or _is_before(found, until):
            return found
        return None

    def occurrences(self, start: datetime, *, until: datetime | None = None) -> Iterator[datetime]:
        """Yield the occurrences after `start` in order, endlessly or before `until`; see `next`."""
        found = self.next(start, until=until)
        while found is not None:
            yield found
            found = self.next(found, until=until)

    def upcoming(self, n: int, start: datetime, *, until: datetime | None = None) -> list[datetime]:
        """Return the next `n` occurrences after `start`, fewer if there are no more; see `next`."""
        return list(islice(self.occurrences(start, until=until), n))

    def resume(self, start: datetime, after: datetime) -> datetime | None:
        """Return the first occurrence after `after` of those that follow `start`.

        The same as going through `occurrences(start)`, only faster: what counts, counts from `start`. Both are
        aware or both naive (`TypeError` otherwise), and an `after` before `start` means `start`.
        """
        if _is_before(after, start):
            after = start
        if not self.counts_from_start:
            return self.next(after)
        found = self.next(start)
        if found is not None and not _is_before(after, found):
            found = self._restarted(found, after)
        while found is not None and not _is_before(after, found):
            found = self.next(self._last_until(found, after))
        return found

    def matches(self, moment: datetime) -> bool:
        """Say whether all clauses let a moment through, on the clock that counts. Fractions are cut off."""
        wall = moment.astimezone(self._zone) if self._zone and moment.tzinfo else moment
        return accepts(self._plan, wall.replace(tzinfo=None, fold=0))

    @cached_property
    def counts_from_start(self) -> bool:
        """Whether the occurrences depend on the start: on more than that they come after it."""
        return bool(phase_of(self._plan, aligned=False).reasons)

    @property
    def zone(self) -> str | None:
        """The time zone of the expression by its proper name, or None without one."""
        return self._zone.key if self._zone else None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What the text says, rule by rule, with the values as they were written."""
        return rules_of(self.clauses)

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed but may be meant otherwise, or has no effect; with what to write instead."""
        reading = Reading(self.text, self.clauses, _parses, lambda: self.next(_EARLIEST) is not None)
        return tuple(dict.fromkeys(readings_of(reading)))

    def __eq__(self, other: object) -> bool:
        return self._meaning == other._meaning if isinstance(other, Expression) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._meaning)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"parse({self.text!r})"

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return parse, (self.text,)

    @cached_property
    def _meaning(self) -> frozenset[Clause]:
        return frozenset(self.clauses)

    @cached_property
    def _plan(self) -> Plan:
        return make_plan(self.clauses)

    @cached_property
    def _zone(self) -> ZoneInfo | None:
        name = next((clause.name for clause in self.clauses if isinstance(clause, Zone)), None)
        return find_zone(name) if name else None

    def _restarted(self, found: datetime, after: datetime) -> datetime:
        """Return the latest occurrence until `after` that is one wherever the count came from, or else `found`."""
        return self._ahead(found, after, Timeline.restarted, lambda *both: next(restarts(*both), (found,))[0])

    def _last_until(self, found: datetime, after: datetime) -> datetime:
        """Return an occurrence that follows `found` and is not after `after`: the last one, if no clock changes."""
        return self._ahead(found, after, Timeline.last_until, last_until)

    def _ahead(
        self,
        found: datetime,
        after: datetime,
        in_zone: Callable[[Timeline, datetime, datetime], datetime],
        on_wall: Callable[[Plan, datetime, datetime], datetime],
    ) -> datetime:
        zone = self._zone or found.tzinfo
        if zone is None:
            return on_wall(self._plan, found, after)
        aware = found if found.tzinfo else found.replace(tzinfo=zone)
        limit = after if after.tzinfo else after.replace(tzinfo=zone)
        try:
            ahead = in_zone(Timeline(self._plan, zone), aware.astimezone(UTC), limit.astimezone(UTC))
        except OverflowError:  # as in `_next`
            return found
        return ahead.astimezone(found.tzinfo) if found.tzinfo else ahead.astimezone(zone).replace(tzinfo=None)

    def _next(self, start: datetime) -> datetime | None:
        start = start.replace(microsecond=0)
        zone = self._zone or start.tzinfo
        if zone is None:
            return next_wall(self._plan, start.replace(fold=0))
        try:
            return self._next_in(zone, start)
        except OverflowError:
            # A zone's clock shows the year 0 or 10000 within a day of the calendar's ends.
            return self._next(start + _DAY) if start.year == 1 else None

    def _next_in(self, zone: tzinfo, start: datetime) -> datetime | None:
        aware = start if start.tzinfo else start.replace(tzinfo=zone)
        if zone.utcoffset(None) is not None:
            found = next_wall(self._plan, aware.astimezone(zone).replace(tzinfo=None))
            instant = found.replace(tzinfo=zone) if found else None
        else:
            instant = Timeline(self._plan, zone).next(aware.astimezone(UTC))
        if instant is None:
            return None
        return (
            instant.astimezone(start.tzinfo)
            if start.tzinfo
            else instant.astimezone(zone).replace(tzinfo=None)
        )


def _is_before(moment: datetime, limit: datetime) -> bool:
    # Python compares two moments of one zone by their wall clocks, which go back once a year.
    if moment.tzinfo and limit.tzinfo:
        return moment.astimezone(UTC) < limit.astimezone(UTC)
    return moment < limit


def parse(text: str) -> Expression:
    """Return the expression that a text means; raises `ParseError`, which says where and why not."""
    try:
        return _parsed(text)
    except ParseError as error:
        raise advised(error, _parsed) from None


def _parsed(text: str) -> Expression:
    clauses = parse_clauses(text)
    faults = faults_of(text, clauses)
    if faults:
        raise fail(text, faults)
    return Expression(text, tuple(clauses))


def _parses(text: str) -> bool:
    try:
        _parsed(text)
    except ParseError:
        return False
    return True


def try_parse(text: str) -> tuple[Expression | None, tuple[Problem, ...]]:
    """Return the expression that a text means and no problems, or None and all problems found."""
    try:
        return parse(text), ()
    except ParseError as error:
        return None, error.problems
