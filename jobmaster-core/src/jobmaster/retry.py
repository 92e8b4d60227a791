"""When a failed job is tried again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, Protocol, TypeAlias

from attrs import Attribute, field, frozen

from jobmaster._time.durations import to_delay, to_duration
from jobmaster.errors import ConfigurationError
from jobmaster.urls import said

log = logging.getLogger("jobmaster.retry")

Random: TypeAlias = Callable[[], float]
"""Returns a float in [0, 1), as `random.random` does."""


class Backoff(Protocol):
    """Says how long to wait before retry number `retry` (from 1)."""

    def delay(self, retry: int, random: Random) -> float | timedelta:
        """Return the delay, in seconds or as a `timedelta`: not negative; more than a hundred years count as that."""
        ...


# Checking what is declared


def _delay(setting: str, value: timedelta | float) -> float:
    try:
        return to_delay(value)
    except (TypeError, ValueError) as error:
        msg = f"{setting}: {error}"
        raise ConfigurationError(msg) from None


def _base(value: timedelta | float) -> float:
    return _delay("base", value)


def _cap(value: timedelta | float) -> float:
    return _delay("cap", value)


def _fixed(value: timedelta | float) -> float:
    return _delay("seconds", value)


def _between(low: float, high: float) -> Callable[[Any, Attribute[float], Any], None]:
    def check(_: Any, attribute: Attribute[float], value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            msg = f"{attribute.name}: {said(value)} is out of range; it must be a number from {low:g} to {high:g}"
            raise ConfigurationError(msg)

    return check


def as_backoff(setting: str, value: Any) -> Backoff:
    """Return a backoff; a number of seconds or a `timedelta` stands for a fixed one.

    Raises `ConfigurationError`, which names the setting, for any other value.
    """
    if callable(getattr(value, "delay", None)) and not isinstance(value, type):
        backoff: Backoff = value
        return backoff
    try:
        return FixedBackoff(to_duration(value))
    except (TypeError, ValueError, ConfigurationError):
        msg = f"{setting}: {said(value)} is not a backoff; give seconds, a timedelta, or an object with delay(retry, random)"
        raise ConfigurationError(msg) from None


def _default(value: Backoff | timedelta | float) -> Backoff:
    return as_backoff("default", value)


def _by_error(
    value: Mapping[type[BaseException], Backoff | timedelta | float],
) -> Mapping[type[BaseException], Backoff]:
    if not isinstance(value, Mapping):
        msg = f"by_error: {said(value)} is not a mapping; write e.g. by_error={{ConnectionError: FixedBackoff(30)}}"
        raise ConfigurationError(msg)
    return {_error_type("by_error", kind): as_backoff("by_error", backoff) for kind, backoff in value.items()}


def _give_up_on(
    value: type[BaseException] | Iterable[type[BaseException]],
) -> tuple[type[BaseException], ...]:
    kinds = value if isinstance(value, Iterable) else (value,)
    return tuple(_error_type("give_up_on", kind) for kind in kinds)


def _error_type(setting: str, value: Any) -> type[BaseException]:
    if isinstance(value, type) and issubclass(value, BaseException):
        return value
    msg = f"{setting}: {said(value)} is not an exception type; name a class, such as ConnectionError"
    raise ConfigurationError(msg)


# Backoffs


@frozen
class ExponentialBackoff:
    """`base * factor ** (retry - 1)` seconds, at most `cap`, then spread by jitter.

    With `jitter` j the delay is uniform over [(1 - j) · d, d]: it never exceeds the cap, and jobs that failed
    together do not come back together. Durations are seconds or `timedelta`, and count as a hundred years at most.
    Raises `ConfigurationError` for a setting that is out of range.
    """

    base: float = field(default=1.0, converter=_base)
    factor: float = field(default=2.0, validator=_between(1, float("inf")))
    cap: float = field(default=600.0, converter=_cap)
    jitter: float = field(default=0.5, validator=_between(0, 1))

    def delay(self, retry: int, random: Random) -> float:
        """Return the delay before retry number `retry` in seconds."""
        full = self._unspread(retry)
        return full * (1 - self.jitter * random())

    def _unspread(self, retry: int) -> float:
        if not self.base:
            return 0.0
        try:
            return min(self.cap, self.base * self.factor ** (retry - 1))
        except OverflowError:
            return self.cap


@frozen
class FixedBackoff:
    """The same delay before every retry: `seconds`, a number or `timedelta`, which counts as a hundred years at most.

    Raises `ConfigurationError` if the value is not a delay.
    """

    seconds: float = field(converter=_fixed)

    def delay(self, retry: int, random: Random) -> float:  # noqa: ARG002 - the protocol's signature
        """Return the delay in seconds."""
        return self.seconds


@frozen
class RetryPolicy:
    """Backoff by exception type: the first entry of `by_error` whose type matches, else `default`.

    Wherever a backoff is expected, seconds or a `timedelta` stand for a fixed one. `give_up_on` lists exception types
    that are never retried. Raises `ConfigurationError` for any other value.
    """

    default: Backoff = field(factory=ExponentialBackoff, converter=_default)
    by_error: Mapping[type[BaseException], Backoff] = field(factory=dict, converter=_by_error)
    give_up_on: tuple[type[BaseException], ...] = field(default=(), converter=_give_up_on)

    def next_delay(
        self, error: BaseException, retries: int, max_retries: int, random: Random
    ) -> float | None:
        """Return the seconds until the next try after `retries` used ones, or None to fail for good.

        If a backoff raises, or returns something other than a delay, the default backoff decides.
        """
        if retries >= max_retries or isinstance(error, self.give_up_on):
            return None
        backoff = next((b for kind, b in self.by_error.items() if isinstance(error, kind)), self.default)
        try:
            return to_delay(backoff.delay(retries + 1, random))
        except BaseException:
            log.exception(
                "%s did not return a delay; the default backoff decides", type(backoff).__qualname__
            )
            return ExponentialBackoff().delay(retries + 1, random)


DEFAULT_POLICY: Final = RetryPolicy()
