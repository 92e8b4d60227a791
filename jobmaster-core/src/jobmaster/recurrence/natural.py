"""Schedules in words: `every day between mon and fri at 18:00`. The language is that of `naturalcron`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from attrs import field, frozen

from jobmaster.errors import InvalidExpressionError
from naturalcron import Expression, ParseError, describe, find_zone, parse

KIND: Final = "natural"
_DAY: Final = timedelta(days=1)
_MICROSECOND: Final = timedelta(microseconds=1)
_MOST_ANSWERS: Final = 4
_MOST_STARTS: Final = 10_000
_KEPT: Final = 4096


def _read(given: Any) -> Expression:
    """Return the expression of a text; raises `InvalidExpressionError` that points at what is wrong."""
    if not isinstance(given, str):
        reason = 'a text expected, such as "every day at 18:00"'
        raise InvalidExpressionError(KIND, given, reason)
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


def _checked(given: Any) -> str:
    return _read(given).text


@frozen
class NaturalCron:
    """A schedule in words: `NaturalCron("every day at 18:00")`. Raises `InvalidExpressionError` if it is wrong."""

    text: str = field(converter=_checked)
    """The words, with single blanks between them."""

    def __str__(self) -> str:
        return self.text


class _Answer(NamedTuple):
    """The first time after a moment that was asked about."""

    asked: datetime
    found: datetime


@frozen
class NaturalRecurrence:
    """The times at which the clock of a zone shows what the words say."""

    text: str
    zone: ZoneInfo
    _expression: Expression = field(eq=False, repr=False)
    _answers: dict[datetime, tuple[_Answer, ...]] = field(factory=dict, init=False, eq=False, repr=False)
    """The last answers for each start, from which others follow without counting from the start again."""

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
        # Who asks for one moment asks for others around it; a planner looks back from where it stands.
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
        """Return what it means in plain English, with the zone whose clock counts."""
        text = describe(self._expression)
        return text if self._expression.zone else f"{text}, {self.zone.key} time"


def _in_utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


class NaturalKind:
    """The kind `natural`."""

    name = KIND

    def accepts(self, expression: Any) -> bool:
        """Say whether an expression is in words: a `NaturalCron`, or any text."""
        return isinstance(expression, str | NaturalCron)

    def compile(self, expression: Any, zone: ZoneInfo) -> NaturalRecurrence:
        """Return the recurrence of a `NaturalCron` or a text; a zone in the text comes before `zone`."""
        made = expression if isinstance(expression, NaturalCron) else NaturalCron(expression)
        return _compiled(made.text, zone)


@lru_cache(maxsize=_KEPT)
def _compiled(text: str, zone: ZoneInfo) -> NaturalRecurrence:
    """Return the same recurrence for the same text, so that what it has worked out is kept."""
    expression = parse(text)
    return NaturalRecurrence(text, find_zone(expression.zone) if expression.zone else zone, expression)
