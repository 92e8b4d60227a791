"""For how long slots were idle beside jobs that they could run: worked out from what handlers wrote into the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final
from uuid import UUID

from attrs import define, evolve, field, frozen

from jobmaster_testing.simulation.idleness import Idleness
from jobmaster_testing.simulation.idlewatch import GAPS
from tests.e2e.ledger import START, Entry

PLACE: Final = ("default", 3)
"""All of these jobs have the default lane and the default priority."""
ANY: Final = "any"
"""All workers know all handlers, so that definitions make no difference."""

Step = tuple[float, Callable[[Idleness], None]]


@define
class Shift:
    """From when to when a process takes jobs, in monotonic seconds, and in how many slots."""

    pid: int
    slots: int
    begins: float
    ends: float = float("inf")


@define(eq=False)
class Sharing:
    """Shifts of processes, and the moments at which jobs were due."""

    due: dict[UUID, float] = field(factory=dict)
    shifts: list[Shift] = field(factory=list)

    def judged(self, entries: Sequence[Entry], bound: float) -> Idleness:
        """Return what the ledger says: what was idle for longer than `bound` seconds, and the longest time."""
        idleness = Idleness(bound, GAPS)
        for at, step in sorted(self._steps(entries), key=lambda step: step[0]):
            idleness.look(at)
            step(idleness)
        return idleness

    def _steps(self, entries: Sequence[Entry]) -> Iterator[Step]:
        yield from (self._opening(shift) for shift in self._noticed_at_once(entries))
        yield from (self._closing(shift) for shift in self.shifts if shift.ends < float("inf"))
        yield from (self._waiting(job_id, at) for job_id, at in self.due.items())
        yield from (_running(entry) for entry in entries)

    def _noticed_at_once(self, entries: Sequence[Entry]) -> Sequence[Shift]:
        """Return the shifts as they began: a process may have started jobs before it was seen to be there."""
        first: dict[int, float] = {}
        for entry in entries:
            first[entry.pid] = min(entry.monotonic, first.get(entry.pid, entry.monotonic))
        return [
            evolve(shift, begins=min(shift.begins, first.get(shift.pid, shift.begins)))
            for shift in self.shifts
        ]

    def _opening(self, shift: Shift) -> Step:
        slots = {PLACE: shift.slots}
        return shift.begins, lambda idle: idle.opened(str(shift.pid), slots, [ANY], shift.begins)

    def _closing(self, shift: Shift) -> Step:
        return shift.ends, lambda idle: idle.closed(str(shift.pid), shift.ends)

    def _waiting(self, job_id: UUID, at: float) -> Step:
        return at, lambda idle: idle.waits(job_id, PLACE, ANY, at)


def _running(entry: Entry) -> Step:
    at, worker = entry.monotonic, str(entry.pid)
    if entry.event == START:
        return at, lambda idle: idle.begins(entry.job_id, worker, PLACE, at)
    return at, lambda idle: idle.ends(worker, PLACE, at)


@frozen
class Wait:
    """How long a job waited for its first start, and from when on, in monotonic seconds."""

    due: float
    seconds: float


def waits(due: Mapping[UUID, float], entries: Iterable[Entry]) -> Sequence[Wait]:
    """Return how long jobs waited that have started, by their first start."""
    first: dict[UUID, float] = {}
    for entry in entries:
        if entry.event == START:
            first.setdefault(entry.job_id, entry.monotonic)
    return [Wait(at, first[job_id] - at) for job_id, at in due.items() if job_id in first]
