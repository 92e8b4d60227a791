"""How many jobs per second the owner of a bucket starts, as far as its last few seconds tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from attrs import define, field

MEMORY: Final = 1.5
"""Seconds over which counts fade: a run that ended that long ago counts for a third of one that has just ended."""
ENOUGH: Final = 0.2
"""Seconds for which slots must have been at work before their pace is known at all."""
SOON: Final = 0.5
"""Seconds within which an owner should start the jobs it keeps: a job may wait beside a free slot for a second, and the
rest of that is for looks, and for passing it on."""
LONGEST_GAP: Final = 5.0
"""Seconds after which earlier counts say nothing any more."""


@define
class Pace:
    """Counts the runs in the slots of one bucket.

    While jobs wait in line all slots are at work, and the pace is the number of runs that end in a given time. It is
    taken to be one run more than observed: of jobs that have run for a fifth of a second without any ending, all may
    end in the next moment, or in an hour. The longer none ends, the less is expected: once none has ended for half a
    second, the next one may well take that long. While slots are free, the pace is the number of runs of the observed
    lengths that fit into a second.
    """

    slots: int
    ended: int = 0
    """Runs that ended since the last look; `busy` is how many seconds they ran in total."""
    busy: float = 0.0
    _ended: float = field(default=0.0, init=False)
    _time: float = field(default=0.0, init=False)
    _looked_at: float | None = field(default=None, init=False)
    _had_line: bool = field(default=False, init=False)
    _quiet: float = field(default=0.0, init=False)
    """Seconds for which no run has ended, as far as looks tell."""

    def ran(self, seconds: float) -> None:
        """Count a run that has ended."""
        self.ended += 1
        self.busy += seconds

    def look(self, now: float, running_for: Sequence[float], *, line: bool) -> float | None:
        """Return the pace in runs per second, None if it is not known yet. Begins a new count.

        Args:
            now: monotonic.
            running_for: for how many seconds each job in a slot has been running.
            line: whether jobs wait for a slot.

        """
        since = None if self._looked_at is None else now - self._looked_at
        ended, busy = self.ended, self.busy
        self.ended, self.busy, self._looked_at = 0, 0.0, now
        if not line:
            self._had_line = False
            return self.slots * ended / max(busy, 1e-6) if ended else None
        self._count(ended, busy, since, running_for)
        self._had_line = True
        self._quiet = 0.0 if ended else self._quiet + (since or 0.0)
        if self._time < ENOUGH:
            return None
        pace = (self._ended + 1) / self._time
        return min(pace, 1 / self._quiet) if self._quiet else pace

    def _count(self, ended: int, busy: float, since: float | None, running_for: Sequence[float]) -> None:
        if since is None or since > LONGEST_GAP or not (self._had_line or ended):
            # A line has just formed behind jobs that have been running for a while.
            self._ended, self._time = 0.0, min(MEMORY, sum(running_for) / self.slots)
        elif self._had_line:
            fading = max(0.0, 1 - since / MEMORY)
            self._ended, self._time = self._ended * fading + ended, self._time * fading + since
        else:  # before the line formed, slots were idle for a time that says nothing
            at_work = busy + sum(min(one, since) for one in running_for)
            self._ended, self._time = float(ended), min(since, at_work / self.slots)
