"""The best possible schedule, and how long a job waited although a slot was free.

Pure functions. Moments are seconds on any one clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf

from attrs import define, frozen


@frozen
class Work:
    """A job: when it is due, and how many seconds its handler takes."""

    due: float
    seconds: float


@frozen
class Presence:
    """A worker: how many jobs it runs at once, and from when until when it may begin jobs."""

    slots: int
    joined: float
    left: float = inf


@frozen
class Span:
    """A period: a run, a wait, a time with a free slot."""

    began: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.ended - self.began

    def shared(self, other: Span) -> float:
        """Return how many seconds two spans have in common, negative if they are apart."""
        return min(self.ended, other.ended) - max(self.began, other.began)


@define
class _Slot:
    free: float
    left: float

    def start(self, due: float) -> float:
        """Return when the slot could begin a job; infinity if its worker has left by then."""
        start = max(self.free, due)
        return start if start < self.left else inf


def ideal_schedule(work: Iterable[Work], workers: Iterable[Presence]) -> list[Span]:
    """Return when each job would run if it went to the slot that is free first: list scheduling.

    Jobs are taken in the order in which they are due. Moving one costs nothing, and a worker that leaves finishes the jobs
    that it has begun. Of slots that could begin a job at the same moment, the one that leaves first is used. Raises
    `ValueError` if the workers leave before all jobs have begun.
    """
    slots = [_Slot(worker.joined, worker.left) for worker in workers for _ in range(worker.slots)]
    jobs = list(work)
    spans: dict[int, Span] = {}
    for number in sorted(range(len(jobs)), key=lambda number: jobs[number].due):
        spans[number] = _placed(jobs[number], slots)
    return [spans[number] for number in range(len(jobs))]


def _placed(job: Work, slots: Sequence[_Slot]) -> Span:
    slot = min(slots, key=lambda slot: (slot.start(job.due), slot.left), default=_Slot(inf, inf))
    start = slot.start(job.due)
    if start == inf:
        raise ValueError(f"no worker is left for a job that is due at {job.due:g}")
    slot.free = start + job.seconds
    return Span(start, slot.free)


def idle_spans(worker: Presence, runs: Sequence[Span]) -> list[Span]:
    """Return when a worker that ran these jobs had a free slot, from joining to leaving."""
    changes = sorted([(run.began, 1) for run in runs] + [(run.ended, -1) for run in runs])
    spans, running, since = [], 0, worker.joined
    for moment, change in changes:
        if running < worker.slots <= running + change:
            spans.append(Span(since, moment))
        elif running + change < worker.slots <= running:
            since = moment
        running += change
    if running < worker.slots:
        spans.append(Span(since, inf))
    return [Span(span.began, min(span.ended, worker.left)) for span in spans if span.began < worker.left]


def needless_wait(waits: Iterable[Span], idle: Sequence[Span]) -> float:
    """Return the longest time that a job waited while one worker had a free slot throughout.

    Args:
        waits: of each job, from its due time to its start.
        idle: the `idle_spans` of all workers.
    """
    longest = 0.0
    for wait in waits:
        if wait.seconds > longest:
            longest = max([longest, *(wait.shared(span) for span in idle)])
    return longest
