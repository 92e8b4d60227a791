"""When a failed job is tried again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol, TypeAlias

from attrs import field, frozen, validators

Random: TypeAlias = Callable[[], float]
"""Returns a float in [0, 1), as `random.random` does."""


class Backoff(Protocol):
    """Says how long to wait before retry number `retry` (from 1), in seconds."""

    def delay(self, retry: int, random: Random) -> float:
        """Return the delay in seconds, not negative."""
        ...


def _seconds(value: timedelta | float) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


_not_negative = validators.ge(0.0)


@frozen
class ExponentialBackoff:
    """`base * factor ** (retry - 1)` seconds, at most `cap`, then spread by jitter.

    With `jitter` j the delay is even over [(1 - j) · d, d]: it never exceeds the cap, and jobs that failed
    together do not come back together. Durations are seconds or `timedelta`.
    """

    base: float = field(default=1.0, converter=_seconds, validator=_not_negative)
    factor: float = field(default=2.0, validator=validators.ge(1.0))
    cap: float = field(default=600.0, converter=_seconds, validator=_not_negative)
    jitter: float = field(default=0.5, validator=[_not_negative, validators.le(1.0)])

    def delay(self, retry: int, random: Random) -> float:
        """Return the delay before retry number `retry` in seconds."""
        full = self._unspread(retry)
        return full * (1 - self.jitter * random())

    def _unspread(self, retry: int) -> float:
        try:
            return min(self.cap, self.base * self.factor ** (retry - 1))
        except OverflowError:
            return self.cap if self.base else 0.0


@frozen
class FixedBackoff:
    """The same delay before every retry: `seconds`, a float or `timedelta`."""

    seconds: float = field(converter=_seconds, validator=_not_negative)

    def delay(self, retry: int, random: Random) -> float:  # noqa: ARG002 - the protocol's signature
        """Return the delay in seconds."""
        return self.seconds


@frozen
class RetryPolicy:
    """Backoff by exception type: the first entry of `by_error` whose type matches, else `default`.

    `give_up_on` lists exception types that are never retried.
    """

    default: Backoff = field(factory=ExponentialBackoff)
    by_error: Mapping[type[BaseException], Backoff] = field(factory=dict)
    give_up_on: tuple[type[BaseException], ...] = ()

    def next_delay(
        self, error: BaseException, retries: int, max_retries: int, random: Random
    ) -> float | None:
        """Return the seconds until the next try after `retries` used ones, or None to fail for good."""
        if retries >= max_retries or isinstance(error, self.give_up_on):
            return None
        backoff = next((b for kind, b in self.by_error.items() if isinstance(error, kind)), self.default)
        return backoff.delay(retries + 1, random)
