"""Single values of rows, readable even if they are damaged.

A row that was written by hand, by a later version or by a broken disk affects only itself: lists, counts and the other jobs
of a bucket still work. A value that cannot be read becomes a stand-in, and `damage` reports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeAlias
from uuid import UUID

import orjson

from jobmaster.clock import from_micros, to_micros
from jobmaster.states import CodedEnum, Priority

FIRST: Final = datetime(1, 1, 2, tzinfo=UTC)
"""Stands for moments before the calendar begins. One day later, so that it can be shown in every time zone."""
LAST: Final = datetime(9999, 12, 30, tzinfo=UTC)
"""Stands for moments after the calendar ends."""

_MILLION: Final = 1_000_000
_LAST_EPOCH: Final = 2**31 - 1
_LONGEST: Final = 40
"""Number of characters quoted from a value."""
_LEAST: Final = to_micros(datetime.min.replace(tzinfo=UTC))
_MOST: Final = to_micros(datetime.max.replace(tzinfo=UTC))


# Reading


# Jobs that are created, due or finished together share their moments.
@lru_cache(maxsize=4096)
def moment_of(stored: int) -> datetime:
    """Return a stored moment as an aware datetime; a moment beyond the calendar becomes `FIRST` or `LAST`."""
    try:
        return from_micros(stored)
    except OverflowError:
        return FIRST if stored < 0 else LAST
    except TypeError:
        return FIRST


def moment(stored: int | None) -> datetime | None:
    """Return a stored moment as `moment_of` does, or None."""
    return None if stored is None else moment_of(stored)


def seconds(stored: int | None) -> float | None:
    """Return stored microseconds as seconds, or None; a value that is not a number also becomes None."""
    try:
        return None if stored is None else stored / _MILLION
    except TypeError:
        return None


def priority_of(code: int) -> Priority:
    """Return the priority of a code, or a stand-in that equals nothing else."""
    return _PRIORITIES.get(code) or Priority.from_code(code if isinstance(code, int) else 0)


_PRIORITIES: Final = {int(priority): priority for priority in Priority}


def mapping_of(text: str) -> dict[str, Any]:
    """Return the object of a JSON text, or an empty one."""
    found = _parsed(text)
    return found if isinstance(found, dict) else {}


def list_of(text: str) -> list[Any]:
    """Return the list of a JSON text, or an empty one."""
    found = _parsed(text)
    return found if isinstance(found, list) else []


def _parsed(text: str) -> Any:
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return None


# Describing damage

Check: TypeAlias = Callable[[Any], str | None]
"""Returns what is wrong with a value, as the end of a sentence, or None."""


def damage(row: Sequence[Any], checks: Mapping[str, tuple[int, Check]]) -> str | None:
    """Return which values of a row cannot be read; `checks` maps the names of values to their places and checks."""
    found = [f"{name} {fault}" for name, (place, check) in checks.items() if (fault := check(row[place]))]
    return "; ".join(found) or None


def is_moment(stored: Any) -> str | None:
    """Check a moment."""
    if stored is None or (isinstance(stored, int) and _LEAST <= stored <= _MOST):
        return None
    return (
        f"{_shown(stored)} is beyond the calendar"
        if isinstance(stored, int)
        else f"{_shown(stored)} is not a moment"
    )


def is_id(stored: Any) -> str | None:
    """Check an id, where a database keeps it as text."""
    if stored is None or isinstance(stored, UUID):
        return None
    try:
        UUID(stored)
    except (AttributeError, TypeError, ValueError):
        return f"{_shown(stored)} is not an id"
    return None


def is_epoch(stored: Any) -> str | None:
    """Check a bucket's epoch: a bucket whose epoch is the largest possible number cannot be taken over."""
    return (
        None if isinstance(stored, int) and 0 < stored < _LAST_EPOCH else f"{_shown(stored)} is out of range"
    )


def is_span(stored: Any) -> str | None:
    """Check a duration."""
    return None if stored is None or isinstance(stored, int) else f"{_shown(stored)} is not a duration"


def is_object(text: Any) -> str | None:
    """Check the text of a JSON object."""
    return None if isinstance(_parsed(text), dict) else f"{_shown(text)} is not a JSON object"


def is_list(text: Any) -> str | None:
    """Check the text of a JSON list."""
    return None if isinstance(_parsed(text), list) else f"{_shown(text)} is not a JSON list"


def is_priority(code: Any) -> str | None:
    """Check a priority's code."""
    return None if code in _PRIORITIES else f"{_shown(code)} is unknown to this version"


def is_code_of(kind: type[CodedEnum]) -> Check:
    """Return the check for the codes of a kind of states."""
    known = {member.code for member in kind}
    return lambda code: (
        None if code is None or code in known else f"{_shown(code)} is unknown to this version"
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
