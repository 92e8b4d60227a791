"""The interface of a kind of recurrence, and the registry of all kinds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from jobmaster._text.showing import named, shown
from jobmaster.errors import InvalidExpressionError

CRON: Final = "cron"
NATURAL: Final = "natural"
LONGEST_TEXT: Final = 4000
"""The maximum number of characters of a text that databases store."""


class Recurrence(Protocol):
    """A compiled expression: determines when a schedule fires. Immutable, so that a whole process may share it."""

    @property
    def kind(self) -> str:
        """The name of the kind that compiled it."""
        ...

    @property
    def text(self) -> str:
        """The canonical text, which is what databases store. Compiling it gives an equal recurrence."""
        ...

    def next_after(self, after: datetime, start: datetime) -> datetime | None:
        """Return the first nominal time strictly after a moment, in UTC, or None if there are no more.

        Args:
            after: an aware datetime.
            start: when the schedule starts, an aware datetime that never changes. Recurrences that count (intervals)
                count from here, so that the answer does not depend on earlier calls. No time is before it; it is itself
                a time if it fits.

        """
        ...

    def describe(self) -> str:
        """Return its meaning in plain English."""
        ...


class RecurrenceKind(Protocol):
    """A language of expressions. Created by a plug-in, and kept for as long as its cluster."""

    @property
    def name(self) -> str:
        """The name that users give as `kind=`, and that databases store: at most 50 characters."""
        ...

    def accepts(self, expression: Any) -> bool:
        """Return whether an expression is of this kind if its schedule names none."""
        ...

    def compile(self, expression: Any, zone: ZoneInfo) -> Recurrence:
        """Return the recurrence of an expression, which is an object of this kind or a text.

        Args:
            expression: what the schedule was given, or the text of an earlier recurrence.
            zone: the schedule's time zone.

        Raises:
            InvalidExpressionError: the expression is wrong; the message says where, and what was expected.

        """
        ...


class Kinds:
    """The kinds of recurrence that a cluster knows, in the order in which they are offered an expression."""

    def __init__(self, kinds: Iterable[RecurrenceKind]) -> None:
        self._kinds = {kind.name: kind for kind in kinds}

    @property
    def names(self) -> list[str]:
        """The names of all kinds, sorted."""
        return sorted(self._kinds)

    def compile(self, expression: Any, kind: str | None, zone: ZoneInfo) -> Recurrence:
        """Return the recurrence of an expression.

        Args:
            expression: an object that implies its kind (`timedelta`, `Interval`, `NaturalCron`, `Cron`), or
                a text, which is NaturalCron unless `kind` says otherwise.
            kind: the name of a kind, or None for the one that the expression implies.
            zone: the schedule's time zone.

        Raises:
            InvalidExpressionError: the expression is wrong, or no kind of this name is known.

        """
        _check_length(kind or "", expression)
        chosen = self._implied(expression) if kind is None else self._named(kind, expression)
        with _contained(chosen.name, expression):
            made = chosen.compile(expression, zone)
            if made.kind != chosen.name:
                msg = f"it made a recurrence of the kind {made.kind!r}"
                raise TypeError(msg)
        _check_length(made.kind, made.text)
        return made

    def _named(self, name: str, expression: Any) -> RecurrenceKind:
        try:
            return self._kinds[name]
        except (KeyError, TypeError):
            reason = f"there is no kind {shown(name)} of recurrence (known: {', '.join(self.names)})"
            raise InvalidExpressionError(named(name), expression, reason) from None

    def _implied(self, expression: Any) -> RecurrenceKind:
        for kind in self._kinds.values():
            with _contained(kind.name, expression):
                if kind.accepts(expression):
                    return kind
        reason = (
            f"{type(expression).__name__} does not imply a kind of recurrence; give a timedelta, an Interval, "
            f"a NaturalCron, a Cron or a text, or name the kind (known: {', '.join(self.names)})"
        )
        raise InvalidExpressionError("", expression, reason)


def _check_length(kind: str, expression: Any) -> None:
    if isinstance(expression, str) and len(expression) > LONGEST_TEXT:
        reason = f"it has {len(expression)} characters, and {LONGEST_TEXT} at most are stored"
        raise InvalidExpressionError(kind, f"{expression[:60]}…", reason, code="too_long")


@contextmanager
def _contained(kind: str, expression: Any) -> Iterator[None]:
    """Within the block, raise unexpected errors of a kind as `InvalidExpressionError`."""
    try:
        yield
    except InvalidExpressionError:
        raise
    except Exception as error:
        reason = f"the kind failed with {type(error).__name__}: {error}"
        raise InvalidExpressionError(kind, expression, reason) from error


def upcoming(recurrence: Recurrence, after: datetime, start: datetime, count: int) -> list[datetime]:
    """Return the next `count` nominal times after a moment, in UTC; fewer if there are no more."""
    return list(islice(_times(recurrence, after, start), count))


def _times(recurrence: Recurrence, after: datetime, start: datetime) -> Iterator[datetime]:
    found = recurrence.next_after(after, start)
    while found is not None:
        yield found
        found = recurrence.next_after(found, start)
