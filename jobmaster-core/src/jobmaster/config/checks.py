"""The checks of settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Literal, TypeAlias, TypeVar

from attrs import Attribute, fields_dict

from jobmaster._text.showing import shown
from jobmaster._time.durations import to_duration, written
from jobmaster.data import text_fault
from jobmaster.errors import ConfigurationError
from jobmaster.recurrence.zones import zone_of
from jobmaster.states import Priority
from jobmaster.urls import said, said_secret

T = TypeVar("T")

PriorityName: TypeAlias = Literal["very_low", "low", "medium", "high", "critical"]
"""Names that are accepted for a `Priority`; other spellings such as `HIGH` are accepted as well."""

Check = Callable[[Any, "Attribute[Any]", Any], None]
"""attrs calls it with the instance, the attribute and the value; raises `ConfigurationError`."""

LONGEST_NAME = 253
"""The maximum length of the name of a cluster, worker, lane or agent: that of DNS names and pod names."""

_NAME = re.compile(r"[A-Za-z0-9]+(?:[-_.:][A-Za-z0-9]+)*")
_WORKER = re.compile(r"[A-Za-z0-9]+(?:[-_.:]+[A-Za-z0-9]+)*")
_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,20}")


def check_name(setting: str, value: str, longest: int = LONGEST_NAME) -> str:
    """Return `value` if it can name a cluster, lane, agent or definition; raises `ConfigurationError`."""
    return _checked_name(setting, value, _NAME, "single - _ . : between them", longest)


def check_worker_name(value: str) -> str:
    """Return `value` if it can name a worker, as every host or pod name can; raises `ConfigurationError`."""
    return _checked_name("worker name", value, _WORKER, "- _ . : between them", LONGEST_NAME)


def _checked_name(setting: str, value: str, form: re.Pattern[str], between: str, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest or not form.fullmatch(value):
        msg = (
            f"{setting}: {said(value)} is not a valid name; use letters, digits and {between}, "
            f"at most {longest} characters"
        )
        raise ConfigurationError(msg)
    return value if type(value) is str else str.__str__(value)


LONGEST_KEY = 200


def check_key(key: Any) -> str:
    """Return `key` if it can be an idempotency key; raises `ConfigurationError`."""
    if not isinstance(key, str) or not key or len(key) > LONGEST_KEY:
        told = f"{key[:80]!r}"[:80] + "…" if isinstance(key, str) and len(key) > LONGEST_KEY else shown(key)
        msg = f"key: {told} is not a valid idempotency key; use a string of 1 to {LONGEST_KEY} characters without NUL"
        raise ConfigurationError(msg)
    if fault := text_fault(key):
        msg = f"key: {shown(key)} contains {fault}; use a string of 1 to {LONGEST_KEY} characters"
        raise ConfigurationError(msg)
    return str.__str__(key)


def as_text(value: Any) -> Any:
    """Return the plain text of an instance of a subclass such as a `StrEnum`, which drivers would store differently."""
    return str.__str__(value) if isinstance(value, str) and type(value) is not str else value


def as_priority(value: Any) -> Any:
    """Return the priority of a name such as `high` or `very_low`; other values are left to the check."""
    if isinstance(value, str):
        return Priority.__members__.get(value.strip().upper().replace("-", "_"), value)
    return value


def check_priority(setting: str, value: Any) -> Priority:
    """Return `value` if it is a priority; raises `ConfigurationError` with a guess."""
    if isinstance(value, Priority):
        return value
    names = [name.lower() for name in Priority.__members__]
    guess = get_close_matches(value[:100].lower(), names, n=1) if isinstance(value, str) else []
    hint = f"did you mean {guess[0]!r}?" if guess else f"or a name: {', '.join(names)}"
    msg = f"{setting}: {said(value)} is not a Priority; use Priority.MEDIUM, for example; {hint}"
    raise ConfigurationError(msg)


def seconds(setting: str, value: timedelta | float) -> float:
    """Return a duration in seconds; raises `ConfigurationError` unless it is a number or `timedelta`."""
    try:
        return to_duration(value)
    except (TypeError, ValueError) as error:
        msg = f"{setting}: {error}"
        raise ConfigurationError(msg) from None


def between(low: float, high: float, *, optional: bool = False) -> Check:
    """Return a check that a duration is within bounds."""

    def check(_: Any, attribute: Attribute[Any], value: Any) -> None:
        if optional and value is None:
            return
        number = seconds(attribute.name, value)
        if not low <= number <= high:
            msg = f"{attribute.name}: {written(number)} is out of range; it must be from {written(low)} to {written(high)}"
            raise ConfigurationError(msg)

    return check


def to_seconds(value: Any) -> Any:
    """Convert a `timedelta`; leave other values to the check."""
    return value.total_seconds() if isinstance(value, timedelta) else value


def check_zone(_: Any, attribute: Attribute[Any], value: str | None) -> None:
    """Check the name of a time zone; raises `ConfigurationError`."""
    if value is not None:
        zone_of(value, attribute.name)


def check_prefix(_: Any, attribute: Attribute[Any], value: str) -> None:
    """Check the prefix of table names; raises `ConfigurationError`."""
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        msg = f"{attribute.name}: {said(value)} cannot start table names; use lower-case letters, digits and _ (21 at most)"
        raise ConfigurationError(msg)


def whole(low: int, high: int) -> Check:
    """Return a check that a value is a whole number within bounds."""

    def check(_: Any, attribute: Attribute[Any], value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            msg = f"{attribute.name}: {said(value)} is out of range; it must be a whole number from {low} to {high}"
            raise ConfigurationError(msg)

    return check


def positive(most: float) -> Check:
    """Return a check that a value is a positive number up to `most`."""

    def check(_: Any, attribute: Attribute[Any], value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
            msg = f"{attribute.name}: {said(value)} is out of range; it must be a positive number up to {most:g}"
            raise ConfigurationError(msg)

    return check


def instance_of(kind: type[Any], what: str, *, secret: bool = False) -> Check:
    """Return a check of a type; `what` says in errors what to give, `secret` that the value must not be shown."""
    shown = said_secret if secret else said

    def check(_: Any, attribute: Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            msg = f"{attribute.name}: {shown(value)} does not fit; give {what}"
            raise ConfigurationError(msg)

    return check


def check_known(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `ConfigurationError` with a guess for the first unknown setting; `where` may be empty."""
    names = sorted(known)
    for name in given:
        if name not in names:
            guess = get_close_matches(name, names, n=1)
            hint = f"; did you mean {guess[0]!r}?" if guess else f" (available: {', '.join(names)})"
            msg = f"{where}: there is no setting {said(name)}{hint}".removeprefix(": ")
            raise ConfigurationError(msg)


def make(kind: type[T], where: str, given: Mapping[str, Any]) -> T:
    """Build settings from keyword arguments; an unknown name raises `ConfigurationError` with a guess."""
    known = fields_dict(kind)  # type: ignore[arg-type]  # always an attrs class
    check_known(where, given, known)
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        msg = f"{where}: {error}"
        raise ConfigurationError(msg) from error
