"""What can go wrong. Everything the library raises on purpose is one of these.

NaturalCronError
├── ParseError           the text is no valid expression; says where and why
├── UnknownZoneError     the time zone database has no zone of this name
└── ConversionError      there is no exact equivalent in the other language; says all reasons

All three are also `ValueError`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

_LONGEST_SHOWN: Final = 60


class ErrorCode(StrEnum):
    """What is wrong with a text. The values are stable: programs may compare and store them."""

    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105 - a token of the language, not a secret
    """A word or character that the language does not have."""
    UNEXPECTED = "unexpected"
    """A known word in a place where it makes no sense."""
    MISSING = "missing"
    """Something has to follow and does not."""
    OUT_OF_RANGE = "out_of_range"
    """A number that its unit does not have, like day 45."""
    BAD_DATE = "bad_date"
    """A date with dashes that is not YYYY-MM, YYYY-MM-DD or MM-DD."""
    BAD_TIME = "bad_time"
    """A time that is not HH:MM or HH:MM:SS."""
    BAD_ANCHOR = "bad_anchor"
    """An anchor that cannot be read, or that its unit does not have."""
    UNEVEN_LIST = "uneven_list"
    """Alternatives of a list that do not set the same units."""
    UNEVEN_RANGE = "uneven_range"
    """Ends of a range that do not set the same units in the same order."""
    REVERSED_RANGE = "reversed_range"
    """A range that ends before it starts; ranges do not wrap around."""
    NOTHING_TO_SCHEDULE = "nothing_to_schedule"
    """Neither an interval nor a point in time."""
    DUPLICATE_EVERY = "duplicate_every"
    """More than one interval."""
    AT_SAME_UNIT_AS_EVERY = "at_same_unit_as_every"
    """A point on the very unit that the interval counts."""
    WEEK_ANCHOR_WITH_WEEK_RULE = "week_anchor_with_week_rule"
    """An anchored week together with a weekday."""
    DUPLICATE_AT_UNIT = "duplicate_at_unit"
    """Two points on the same unit without a list."""
    BETWEEN_WITHOUT_EVERY = "between_without_every"
    """A range without an interval."""
    NON_POSITIVE_INTERVAL = "non_positive_interval"
    """An interval of zero."""
    UNKNOWN_ZONE = "unknown_zone"
    """A time zone that the zone database does not have."""
    DUPLICATE_ZONE = "duplicate_zone"
    """More than one time zone."""
    CRON_LINE = "cron_line"
    """Not words, but the fields of a cron line."""


class NaturalCronError(Exception):
    """Root of all errors of this library."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a text.

    `line` and `column` count from 1; `end_column` is exclusive and on the same line. A text that is wrong as
    a whole has its problem at its end.
    """

    code: ErrorCode
    message: str
    line: int
    column: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.line}:{self.column}-{self.end_column}: {self.message}"


class ParseError(NaturalCronError, ValueError):
    """A text is no valid expression.

    `text` is the text, and `problems` holds every `Problem` found in it, in the order of their positions. The
    message shows each below the line it is about.
    """

    def __init__(self, text: str, problems: Sequence[Problem]) -> None:
        self.text = text
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))
        super().__init__(text, self.problems)

    def with_hint(self, hint: str) -> ParseError:
        """Return the same error, whose first problem ends with a hint."""
        first, *others = self.problems
        # What the message itself says to write is known by the place alone, and the hint by the whole text.
        what = re.split(r"; |(?<=\?) ", first.message, maxsplit=1)[0]
        message = f"{what} {hint[0].upper()}{hint[1:]}" if what.endswith("?") else f"{what}; {hint}"
        return ParseError(self.text, [replace(first, message=message), *others])

    @property
    def code(self) -> ErrorCode:
        """The code of the first problem."""
        return self.problems[0].code

    def __str__(self) -> str:
        lines = split_lines(self.text)
        return "\n".join(f"{problem}\n{_pointed(lines, problem)}" for problem in self.problems)


def split_lines(text: str) -> list[str]:
    """Return the lines of a text without their ends; an empty text has one."""
    return re.split(r"\r\n|\r|\n", text)


def _pointed(lines: Sequence[str], problem: Problem) -> str:
    line = "".join(map(_shown, lines[problem.line - 1]))
    # Tabs stay tabs below the line, so that the mark stands where the reader's terminal puts the word.
    margin = "".join("\t" if char == "\t" else " " for char in line[: problem.column - 1])
    marks = "^" * max(1, problem.end_column - problem.column)
    return f"    {line}\n    {margin}{marks}"


def _shown(char: str) -> str:
    """Return a character, or one in its place: what moves a cursor, hides or turns around is not printed."""
    is_unsafe = char != "\t" and unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return "\N{REPLACEMENT CHARACTER}" if is_unsafe else char


class UnknownZoneError(NaturalCronError, ValueError):
    """The zone database has no time zone `zone`.

    `suggestion` is the zone that may be meant, or None. `advice` is the end of the message: the suggestion, or why the
    name is none of a zone (an abbreviation, an offset), with what to write; empty if neither is known.
    """

    def __init__(self, zone: str, suggestion: str | None = None, reason: str = "") -> None:
        self.zone, self.suggestion = zone, suggestion
        self.advice = reason or did_you_mean(suggestion)
        super().__init__(zone, suggestion, reason)

    def __str__(self) -> str:
        return f"unknown time zone {quoted(self.zone)}{self.advice}"


class ConversionError(NaturalCronError, ValueError):
    """`source` has no exact equivalent as `target`; `reasons` names every part that stands in the way."""

    def __init__(self, source: str, target: str, reasons: Iterable[str]) -> None:
        self.source, self.target, self.reasons = source, target, tuple(reasons)
        super().__init__(source, target, self.reasons)

    def __str__(self) -> str:
        return f"{self.source!r} has no exact equivalent as {self.target}: {'; '.join(self.reasons)}"


def quoted(word: str) -> str:
    """Return a word in quotes, cut if it is very long."""
    return repr(word if len(word) <= _LONGEST_SHOWN else f"{word[:_LONGEST_SHOWN]}…")


def did_you_mean(word: str | None) -> str:
    """Return the end of a message that suggests a word, or nothing without one."""
    return f"; did you mean {word!r}?" if word else ""
