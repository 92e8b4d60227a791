"""The server's clock, as observed by this process."""

from __future__ import annotations

import time
from typing import Final

from attrs import define, field

_STEP_BACK: Final = 1_000_000
"""Microseconds: an observation this far behind means that the server's clock was set back."""
_FADE: Final = 2_000
"""Microseconds by which an earlier observation counts for less after a new one: clocks drift."""
_OBSERVED_EVERY: Final = 30.0


@define(eq=False)
class ServerTime:
    """The least that the server's clock shows, in microseconds since 1970.

    What a server says is a moment ago when it arrives: so the estimate never is ahead of the server's clock, and behind it
    by no more than the quickest answer took. Nothing is handed out before it is due.
    """

    _ahead: int | None = field(default=None, init=False)
    """The server's clock minus this process' monotonic one."""
    _observed_at: float = field(default=0.0, init=False)

    @property
    def is_old(self) -> bool:
        """Whether the server's clock should be read again."""
        return self._ahead is None or time.monotonic() - self._observed_at > _OBSERVED_EVERY

    def now(self) -> int:
        """Return the least that the server's clock shows now."""
        return _micros() + (self._ahead or 0)

    def note_now(self, told: int) -> None:
        """Note the time that the server has just told."""
        ahead = told - _micros()
        if self._ahead is None or ahead < self._ahead - _STEP_BACK:
            self._ahead = ahead
        else:
            self._ahead = max(ahead, self._ahead - _FADE)
        self._observed_at = time.monotonic()

    def note_past(self, stamped: int) -> None:
        """Note a moment that the server's clock has passed: it is on a message that arrived."""
        ahead = stamped - _micros()
        if self._ahead is None or ahead > self._ahead:
            self._ahead = ahead


def _micros() -> int:
    return time.monotonic_ns() // 1000
