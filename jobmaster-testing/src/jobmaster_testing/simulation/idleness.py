"""The rule of sharing: no slot is idle for long beside a due job that it may run and that has not begun anywhere.

It is told when slots open, fill, become free and close, and which jobs wait, and measures how long an idle slot and a
waiting job existed together. It knows nothing about clusters: a simulation reports everything that happens to it, and a test
with real processes reports their notes. Moments are seconds of any one clock, and come in order.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping, Sequence
from typing import Final, TypeAlias

from attrs import define, field

Place: TypeAlias = tuple[str, int]
"""A lane and a priority."""
Kind: TypeAlias = tuple[Place, str]
"""Jobs that the same slots may run: their place, and their definition's id."""
LONGEST_GAP: Final = 0.25
"""Maximum seconds between two jobs that do not count, however long the slots were busy before."""


@define(eq=False)
class _Slots:
    """The slots that one worker has for a place. Only the number of busy slots matters, not which ones."""

    worker: str
    count: int
    knows: Container[str]
    counted_to: float
    gaps: float
    idle: float = 0.0
    """The seconds up to `counted_to` in which at least one of them was idle, as far as these count."""
    earned: float = 0.0
    """The seconds of the next gap that do not count."""
    busy: int = 0

    def count_to(self, at: float) -> None:
        """Count the time since `counted_to`."""
        passed = max(0.0, at - self.counted_to)
        self.counted_to += passed
        if self.busy >= self.count:
            self.earned = min(LONGEST_GAP, self.earned + self.gaps * passed)
        else:
            free = min(self.earned, passed)
            self.earned -= free
            self.idle += passed - free


@define(eq=False)
class _Waiting:
    """A job that is due and has not begun."""

    since: float
    before: Mapping[_Slots, float]
    """How long slots had been idle before `since`."""
    told: bool = False

    def beside(self, slots: _Slots) -> float:
        """Return how long slots were idle while the job waited."""
        return slots.idle - self.before.get(slots, 0.0)


@define(eq=False)
class Idleness:
    """Records each waiting job beside which a slot was idle for more than `bound` seconds in total: once, in `found`.

    In total, since a slot that runs later jobs, and idles in between, could have run it. For each busy second, `gaps` more
    seconds are allowed: it takes a moment from one job to the next, and in a long backlog these moments add up. The rule
    concerns pairs of a slot and a job: a slot may be idle while one job after another waits for a moment, and begins
    elsewhere.
    """

    bound: float
    gaps: float = 0.0
    found: list[str] = field(factory=list, init=False)
    longest: float = field(default=0.0, init=False)
    """The longest time that a slot was idle beside one waiting job, in seconds."""
    _slots: dict[Place, dict[str, _Slots]] = field(factory=dict, init=False)
    _waiting: dict[Kind, dict[Hashable, _Waiting]] = field(factory=dict, init=False)
    _kinds: dict[Hashable, Kind] = field(factory=dict, init=False)
    _from: float = field(default=float("-inf"), init=False)
    """The moment from which idleness counts."""

    # Slots

    def opened(self, worker: str, places: Mapping[Place, int], knows: Container[str], at: float) -> None:
        """Give a worker this many slots for each place from now on, and handlers for these definitions."""
        self.look(at)
        for place, count in places.items():
            slots = _Slots(worker, count, knows, max(at, self._from), self.gaps)
            self._slots.setdefault(place, {})[worker] = slots

    def closed(self, worker: str, at: float) -> None:
        """Record that a worker begins no more jobs."""
        self.look(at)
        for workers in self._slots.values():
            workers.pop(worker, None)

    def begins(self, job: Hashable, worker: str, place: Place, at: float) -> None:
        """Record that a job begins, in a slot of this worker if it has any (the job no longer waits in any case)."""
        self.gone(job, at)
        slots = self._slots.get(place, {}).get(worker)
        if slots is not None:
            slots.busy += 1

    def ends(self, worker: str, place: Place, at: float) -> None:
        """Record that a job which began there has ended."""
        self.look(at)
        slots = self._slots.get(place, {}).get(worker)
        if slots is not None:
            slots.busy -= 1

    # Jobs

    def waits(self, job: Hashable, place: Place, definition: str, at: float) -> None:
        """Record that a job waits from now on. Repeated calls change nothing."""
        if job not in self._kinds:
            self.look(at)
            kind = self._kinds[job] = place, definition
            self._waiting.setdefault(kind, {})[job] = _Waiting(at, self._idle_before(kind))

    def gone(self, job: Hashable, at: float) -> None:
        """Record that a job no longer waits, if it did: it has begun, or need not begin, or cannot be expected to."""
        self.look(at)
        kind = self._kinds.pop(job, None)
        if kind is not None:
            del self._waiting[kind][job]

    def waiting(self) -> set[Hashable]:
        """Return the waiting jobs."""
        return set(self._kinds)

    # Judging

    def counts_from(self, moment: float, at: float) -> None:
        """Ignore everything before this moment, which may be in the future: the cluster has to recover first."""
        self.look(at)
        self._from = max(self._from, moment)
        for workers in self._slots.values():
            for slots in workers.values():
                slots.counted_to = max(slots.counted_to, self._from)
        for kind, jobs in self._waiting.items():
            for waiting in jobs.values():
                waiting.before = self._idle_before(kind)

    def look(self, at: float) -> None:
        """Record pairs that have exceeded the bound by now."""
        for workers in self._slots.values():
            for slots in workers.values():
                slots.count_to(at)
        for kind, jobs in self._waiting.items():
            able = self._able(kind) if jobs else ()
            for job, waiting in jobs.items():
                self._judge(job, kind, waiting, able)

    def _able(self, kind: Kind) -> Sequence[_Slots]:
        place, definition = kind
        return [slots for slots in self._slots.get(place, {}).values() if definition in slots.knows]

    def _idle_before(self, kind: Kind) -> Mapping[_Slots, float]:
        return {slots: slots.idle for slots in self._able(kind)}

    def _judge(self, job: Hashable, kind: Kind, waiting: _Waiting, able: Sequence[_Slots]) -> None:
        slots = max(able, key=waiting.beside, default=None)
        if slots is None:
            return
        together = waiting.beside(slots)
        self.longest = max(self.longest, together)
        if together > self.bound and not waiting.told:
            waiting.told = True
            self.found.append(
                f"job {_named(job)} ({_said(kind)}) has waited since {waiting.since:.2f} s, has not begun anywhere, and for "
                f"{together:.2f} s a slot of {slots.worker} that may run it was idle (the bound is {self.bound:.2f} s)"
            )


def _named(job: Hashable) -> str:
    return "#".join(map(str, job)) if isinstance(job, tuple) else str(job)


def _said(kind: Kind) -> str:
    (lane, priority), definition = kind
    return f"{definition}, lane {lane}, priority {priority:d}"
