"""Expressions that are read as the wrong kind: the error names the kind that fits."""

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
"""Cron names that could also be words, with a different meaning: `@daily` is at midnight, `daily` is not."""


def is_cron_line(text: str) -> bool:
    """Return whether a text is meant as a cron line: five or six fields, or an `@name`."""
    if text.strip().lower() in _NAMES:
        return True
    from naturalcron import ErrorCode, try_parse

    _, problems = try_parse(text)
    return any(problem.code is ErrorCode.CRON_LINE for problem in problems)


def is_interval(text: str) -> bool:
    """Return whether a text is meant as a length of time, such as `90s` or `PT5M`."""
    return _INTERVAL.fullmatch(text.strip()) is not None


def is_in_words(text: str) -> bool:
    """Return whether a text begins like a schedule in words."""
    return (text.lower().split() or [""])[0].lstrip("@") in _FIRST_WORDS and text[:1] != "@"


def remedy_for(text: str, kind: str) -> str:
    """Return what to pass for a text of another kind than `kind`; empty if there is nothing."""
    if kind != "cron" and is_cron_line(text):
        return f'these are the fields of a cron line: pass kind="cron", or Cron({text.strip()!r})'
    if kind != "interval" and is_interval(text):
        return f'this is an interval: pass kind="interval", or Interval({text.strip()!r})'
    if kind != "natural" and is_in_words(text):
        return 'these are words: pass kind="natural", or leave kind out'
    return ""
