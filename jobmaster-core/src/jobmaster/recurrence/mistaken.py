"""Expressions of another kind than the one that reads them: the error names the kind that fits."""

from __future__ import annotations

import re
from typing import Final

_FIRST_WORDS: Final = frozenset(
    [
        "every",
        "each",
        "at",
        "on",
        "in",
        "daily",
        "hourly",
        "weekly",
        "monthly",
        "yearly",
        "minutely",
        "secondly",
    ],
)
_INTERVAL: Final = re.compile(
    r"(?:[0-9]+(?:\.[0-9]+)? ?(?:w|d|h|m|s|weeks?|days?|hours?|hrs?|minutes?|mins?|seconds?|secs?) ?)+|P[0-9DWTHMS.]+",
    re.IGNORECASE,
)
_NAMES: Final = frozenset({"@hourly", "@daily", "@weekly", "@monthly", "@yearly"})
"""Names of cron that could be words, too, and would mean something else: `@daily` is at midnight, `daily` is not."""


def is_cron_line(text: str) -> bool:
    """Say whether a text is meant as a cron line: five or six fields, or an `@name`."""
    if text.strip().lower() in _NAMES:
        return True
    from naturalcron import ErrorCode, try_parse

    _, problems = try_parse(text)
    return any(problem.code is ErrorCode.CRON_LINE for problem in problems)


def is_interval(text: str) -> bool:
    """Say whether a text is meant as a length of time, such as `90s` or `PT5M`."""
    return _INTERVAL.fullmatch(text.strip()) is not None


def is_in_words(text: str) -> bool:
    """Say whether a text begins as schedules in words do."""
    return (text.lower().split() or [""])[0].lstrip("@") in _FIRST_WORDS and text[:1] != "@"


def remedy_for(text: str, kind: str) -> str:
    """Return what to pass for a text that another kind than `kind` reads, or nothing if there is none."""
    if kind != "cron" and is_cron_line(text):
        return f'these are the fields of a cron line: pass kind="cron", or Cron({text.strip()!r})'
    if kind != "interval" and is_interval(text):
        return f'this is an interval: pass kind="interval", or Interval({text.strip()!r})'
    if kind != "natural" and is_in_words(text):
        return 'these are words: pass kind="natural", or leave kind out'
    return ""
