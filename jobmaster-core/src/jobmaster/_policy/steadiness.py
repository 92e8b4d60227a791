"""Whether the store's clock may be trusted to end something for good. A single reading is never enough."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from attrs import define, field, frozen

from jobmaster.models import WorkerRecord

SETTLING: Final = 600.0
"""Seconds for which this process must have seen a store's clock run steadily before anything is deleted by it."""
DOUBTFUL_GAP: Final = 86_400.0
"""Seconds from which on a clock is in doubt if it is that far ahead of everything else, or jumps ahead by that much."""
CONFIRMING: Final = 86_400.0
"""Seconds for which a clock in doubt must run steadily: time for an operator to set it right."""
TOLERANCE: Final = 1.0
"""Seconds by which the distance of two readings may differ from the monotonic clock's."""
TOLERATED_SHARE: Final = 0.001
"""Share of the time between them that is tolerated in addition: clocks are slewed, and no two run alike."""
JUMPS_KEPT: Final = 16


@frozen
class Reading:
    """A store's clock, and this host's monotonic one just before it was asked and when it had answered."""

    store: datetime
    asked_at: float
    answered_at: float

    def drift_since(self, before: Reading) -> float:
        """Return by how many seconds the store's clock went ahead of the monotonic one (negative: fell behind).

        Differences that the store's answering time, or the usual drift of clocks, can explain are not counted.
        """
        passed = (self.store - before.store).total_seconds()
        least, most = self.asked_at - before.answered_at, self.answered_at - before.asked_at
        drift = max(passed - most, 0.0) + min(passed - least, 0.0)
        return drift if abs(drift) > TOLERANCE + TOLERATED_SHARE * most else 0.0


@define(eq=False)
class Steadiness:
    """How long a store's clock has agreed with the monotonic one.

    A first reading says nothing by itself; one far ahead of what other processes have written is in doubt, as is a clock
    that jumped ahead by that much. A jump in either direction restarts the wait.
    """

    _last: Reading | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)
    _in_doubt: bool = field(default=False, init=False)
    _jumps: deque[tuple[float, float]] = field(factory=lambda: deque(maxlen=JUMPS_KEPT), init=False)
    """When the last jumps were noticed, by the monotonic clock, and by how many seconds the clock jumped."""

    def begin(self, reading: Reading, newest: datetime | None) -> None:
        """Take a first reading; `newest` is the newest moment that other processes have written, if any."""
        gap = 0.0 if newest is None else (reading.store - newest).total_seconds()
        self._restart(reading, in_doubt=gap > DOUBTFUL_GAP)

    def note(self, reading: Reading) -> float:
        """Take another reading; return by how many seconds the store's clock jumped since the last one, mostly 0."""
        drift = 0.0 if self._last is None else reading.drift_since(self._last)
        if drift:
            self._jumps.append((reading.answered_at, drift))
        if drift or self._last is None:
            self._restart(reading, in_doubt=drift > DOUBTFUL_GAP)
        self._last = reading
        return drift

    def is_calm(self, now: float, seconds: float, least: float = 0.0) -> bool:
        """Return whether no jump of at least `least` seconds was noticed in the last `seconds`."""
        return not any(now - at < seconds and abs(size) >= least for at, size in self._jumps)

    @property
    def begun(self) -> bool:
        """Whether there was a first reading."""
        return self._last is not None

    def cutoff(self, age: float) -> datetime | None:
        """Return the moment before which items `age` seconds old may be ended for good, or None if none may yet.

        Items kept for less than the wait need no longer wait than that: they would be gone by then.
        """
        if self._last is None:
            return None
        return None if self.wait(age) else self._last.store - timedelta(seconds=age)

    def wait(self, age: float) -> float:
        """Return for how many more seconds the clock must run steadily until `cutoff` returns a moment."""
        if self._last is None:
            return 0.0
        needed = min(age, CONFIRMING if self._in_doubt else SETTLING)
        return max(0.0, needed - (self._last.answered_at - self._since))

    def _restart(self, reading: Reading, *, in_doubt: bool) -> None:
        self._last, self._since, self._in_doubt = reading, reading.asked_at, in_doubt


def newest_of(workers: Iterable[WorkerRecord], now: datetime) -> datetime | None:
    """Return the newest heartbeat of workers, except those that registered recently.

    Those may have started with the same wrong clock.
    """
    limit = now - timedelta(seconds=SETTLING)
    beats = [w.heartbeat_at for w in workers if w.heartbeat_at and w.started_at and w.started_at <= limit]
    return max(beats, default=None)
