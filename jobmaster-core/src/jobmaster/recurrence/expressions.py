"""Expressions in words and cron lines, and their kinds. Their parsers are slow to import, so this is done on demand."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from attrs import field, frozen

from jobmaster.recurrence.kinds import CRON, NATURAL, Recurrence


def import_readers() -> None:
    """Import the parsers of expressions, so that the import does not block a running event loop later."""
    import jobmaster.recurrence.cron
    import jobmaster.recurrence.natural  # noqa: F401 - both are imported for their sake


# In words


def _words(given: str) -> str:
    from jobmaster.recurrence.natural import checked

    return checked(given)


@frozen
class NaturalCron:
    """A schedule in words: `NaturalCron("every day at 18:00")`. Raises `InvalidExpressionError` if it is wrong."""

    text: str = field(converter=_words)
    """The words, with single blanks between them."""

    def __str__(self) -> str:
        return self.text


class NaturalKind:
    """The kind `natural`."""

    name = NATURAL

    def accepts(self, expression: Any) -> bool:
        """Return whether an expression is in words: a `NaturalCron`, or any text."""
        return isinstance(expression, str | NaturalCron)

    def compile(self, expression: Any, zone: ZoneInfo) -> Recurrence:
        """Return the recurrence of a `NaturalCron` or a text; a zone in the text overrides `zone`."""
        made = expression if isinstance(expression, NaturalCron) else NaturalCron(expression)
        from jobmaster.recurrence.natural import compiled

        return compiled(made.text, zone)


# Cron lines


def _cron_line(given: str) -> str:
    from jobmaster.recurrence.cron import checked

    return checked(given)


@frozen
class Cron:
    """A cron line: `Cron("*/5 * * * *")`. Raises `InvalidExpressionError` if it is wrong or never fires."""

    text: str = field(converter=_cron_line)
    """The line, with single blanks between its fields."""

    def __str__(self) -> str:
        return self.text


class CronKind:
    """The kind `cron`."""

    name = CRON

    def accepts(self, expression: Any) -> bool:
        """Return whether an expression is a cron line: only a `Cron`, as a plain text is in words."""
        return isinstance(expression, Cron)

    def compile(self, expression: Any, zone: ZoneInfo) -> Recurrence:
        """Return the recurrence of a `Cron` or a text, on the clock of a zone."""
        made = expression if isinstance(expression, Cron) else Cron(expression)
        from jobmaster.recurrence.cron import compiled

        return compiled(made.text, zone)
