"""Schedules in words: `every day between mon and fri at 18:00`. The language is that of `naturalcron`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from attrs import field, frozen

from jobmaster.errors import InvalidExpressionError
from jobmaster.recurrence.kinds import NATURAL as KIND
from jobmaster.recurrence.mistaken import remedy_for
from jobmaster.recurrence.zones import warn_of
from naturalcron import ErrorCode, Expression, ParseError, Problem, describe, find_zone, parse, try_parse

log = logging.getLogger("jobmaster.recurrence")

_DAY: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_ANSWERS: Final = 4
_MOST_STARTS: Final = 10_000
_KEPT: Final = 4096


def checked(given: Any) -> str:
    """Return words with single blanks between them; raises `InvalidExpressionError` that points at the mistake."""
    return _read(given).text


def _read(given: Any) -> Expression:
    """Return the expression of a text; raises `InvalidExpressionError` that points at the mistake."""
    if not isinstance(given, str):
        reason = 'expected a string, such as "every day at 18:00"'
        raise InvalidExpressionError(KIND, given, reason)
    remedy = remedy_for(given, KIND)
    if remedy:
        raise InvalidExpressionError(KIND, given, remedy, code="other_kind")
    try:
        return parse(" ".join(parse(given).text.split()))
    except ParseError as error:
        raise _translated(error) from None


def _translated(error: ParseError) -> InvalidExpressionError:
    first, *others = error.problems
    return InvalidExpressionError(
        KIND,
        error.text,
        first.message,
        code=first.code.value,
        line=first.line,
        column=first.column,
        end_column=first.end_column,
        more=[f"also, at {problem}" for problem in others],
    )


def refusal_without(start: str, text: str) -> InvalidExpressionError:
    """Return why a text cannot be read, not even with the start that it may leave out.

    If its first words only lack the start, the error is about the rest, at its place in the text.
    """
    own, longer = try_parse(text)[1], try_parse(f"{start}{text}")[1]
    behind = _lacks_start(own, text) or _says_more(longer, own)
    return _translated(ParseError(text, [_moved(one, -len(start)) for one in longer] if behind else own))


def _says_more(longer: Sequence[Problem], own: Sequence[Problem]) -> bool:
    """Return whether both have the same problem, and only the longer text's message says what to write instead."""
    said, other = longer[0].message, own[0].message
    return said != other and said.startswith(other)


def _lacks_start(problems: Sequence[Problem], text: str) -> bool:
    blanks = text[: len(text) - len(text.lstrip())]
    first = len(blanks.rpartition("\n")[2]) + 1
    return any(one.code is ErrorCode.UNEXPECTED and one.column == first for one in problems)


def _moved(problem: Problem, by: int) -> Problem:
    """Return a problem moved to its place in a text that begins elsewhere on the first line."""
    if problem.line > 1:
        return problem
    column, end = problem.column + by, problem.end_column + by
    return replace(problem, column=max(column, 1), end_column=max(end, 2))


class _Answer(NamedTuple):
    """The first time after a moment that was asked for."""

    asked: datetime
    found: datetime


@frozen
class NaturalRecurrence:
    """The times at which the clock of a zone shows a time of the words."""

    text: str
    zone: ZoneInfo
    _expression: Expression = field(eq=False, repr=False)
    _answers: dict[datetime, tuple[_Answer, ...]] = field(factory=dict, init=False, eq=False, repr=False)
    """The last answers for each start, from which others are computed without counting from the start again."""

    kind = KIND

    def next_after(self, after: datetime, start: datetime) -> datetime | None:
        """Return the first time after a moment; see `Recurrence`."""
        try:
            return self._first_after(after.astimezone(UTC), start.astimezone(UTC))
        except OverflowError:  # the clock of a zone may show the year 10000
            return None

    def _first_after(self, after: datetime, start: datetime) -> datetime | None:
        begin = start.astimezone(self.zone)
        if not self._expression.counts_from_start:
            since = max(after, start - _MICROSECOND)
            return _in_utc(self._expression.next(since.astimezone(self.zone)))
        if after < start and not start.microsecond and self._expression.matches(begin):
            return start
        return self._counted(begin, max(after, start))

    def _counted(self, begin: datetime, since: datetime) -> datetime | None:
        known = self._answers.get(begin.astimezone(UTC), ())
        for answer in known:
            if answer.asked <= since < answer.found:
                return answer.found
        passed = [answer.found for answer in known if answer.found <= since]
        if passed:
            return self._resumed(begin, max(passed), since)
        # A caller that asks for one moment asks for others around it; a planner looks back from its current moment.
        before = max(begin.astimezone(UTC), since - _DAY)
        found = self._resumed(begin, begin, before)
        return found if found is None or found > since else self._resumed(begin, found, since)

    def _resumed(self, begin: datetime, origin: datetime, since: datetime) -> datetime | None:
        zone, key = self.zone, begin.astimezone(UTC)
        found = _in_utc(self._expression.resume(origin.astimezone(zone), since.astimezone(zone)))
        if found is not None:
            if len(self._answers) >= _MOST_STARTS:
                self._answers.clear()
            self._answers[key] = (*self._answers.get(key, ())[1 - _MOST_ANSWERS :], _Answer(since, found))
        return found

    def describe(self) -> str:
        """Return its meaning in plain English, with the zone whose clock applies."""
        text = describe(self._expression)
        return text if self._expression.zone else f"{text}, {self.zone.key} time"


def _in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


@lru_cache(maxsize=_KEPT)
def compiled(text: str, zone: ZoneInfo) -> NaturalRecurrence:
    """Return the same recurrence for the same text, so that its answers are kept."""
    expression = parse(text)
    for warning in expression.warnings:
        log.warning("natural expression %r: %s", text, warning)
    if not expression.zone:
        return NaturalRecurrence(text, zone, expression)
    own = find_zone(expression.zone)
    warn_of(own)
    return NaturalRecurrence(text, own, expression)
