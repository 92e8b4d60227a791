"""Schedules in words: `every day between mon and fri at 18:00`. The language is that of `naturalcron`."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from attrs import field, frozen

from jobmaster.errors import InvalidExpressionError
from naturalcron import Expression, ParseError, describe, find_zone, parse

KIND: Final = "natural"
_MOST_STARTS: Final = 1000
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


@frozen
class NaturalRecurrence:
    """The times at which the clock of a zone shows what the words say."""

    text: str
    zone: ZoneInfo
    _expression: Expression = field(eq=False, repr=False)
    _answers: dict[datetime, tuple[datetime, datetime]] = field(
        factory=dict, init=False, eq=False, repr=False
    )
    """The last question and its answer for a start: from there on nothing is counted from the start again."""

    kind = KIND

    def next_after(self, after: datetime, start: datetime) -> datetime | None:
        """Return the first time after a moment; see `Recurrence`."""
        begin, since = start.astimezone(self.zone), after.astimezone(UTC)
        if since < start and not begin.microsecond and self._expression.matches(begin):
            return start.astimezone(UTC)
        since = max(since, start.astimezone(UTC))
        if self._expression.counts_from_start:
            return self._counted(begin, since)
        return _in_utc(self._expression.next(since.astimezone(self.zone)))

    def _counted(self, begin: datetime, since: datetime) -> datetime | None:
        key = begin.astimezone(UTC)
        asked, answer = self._answers.get(key, (key, key))
        if asked <= since < answer:
            return answer
        origin = answer.astimezone(self.zone) if answer <= since else begin
        found = _in_utc(self._expression.resume(origin, since.astimezone(self.zone)))
        if found is not None:
            self._keep(key, since, found)
        return found

    def _keep(self, key: datetime, asked: datetime, answer: datetime) -> None:
        if len(self._answers) >= _MOST_STARTS:
            self._answers.clear()
        self._answers[key] = (asked, answer)

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
