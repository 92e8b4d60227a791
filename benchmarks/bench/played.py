"""The results of a round of S: which worker ran which jobs and when, and the figures computed from them.

Pure functions. Moments are seconds on the clock that all processes share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from bench.ideal import Presence, Span, Work, ideal_schedule, idle_spans, needless_wait

SHARE_OF_IDEAL = 1.15
"""The factor of the ideal schedule's time that we may take, plus one second."""
FULL = 0.9
"""The share of the rate at which a second counts as one without a dip."""

Figures = Mapping[str, Any]


@frozen
class Run:
    """A handler's run. It has no end if its process was killed, or if it still runs."""

    number: int
    began: float
    ended: float | None = None

    def until(self, ended: float) -> Run:
        """Return the run with its end."""
        return evolve(self, ended=ended)


Note = tuple[str, int, float]
"""A worker's note about a job: `began` or `ended`, its number, and the moment."""


def runs_noted(notes: Iterable[Note]) -> list[Run]:
    """Return the runs that one worker noted, in the order in which they began; a job may have been run again."""
    runs: list[Run] = []
    places: dict[int, int] = {}
    for what, number, moment in notes:
        if what == "began":
            places[number] = len(runs)
            runs.append(Run(number, moment))
        elif what == "ended":
            runs[places[number]] = runs[places[number]].until(moment)
    return runs


@frozen
class Played:
    """A round: the jobs by number, the workers, and the runs of each of them."""

    jobs: Sequence[Work]
    workers: Sequence[Presence]
    runs: Sequence[Sequence[Run]]

    @property
    def all_runs(self) -> list[Run]:
        """Every run of any worker, in the order in which they began."""
        return sorted((run for runs in self.runs for run in runs), key=lambda run: run.began)

    @property
    def waits(self) -> list[Span]:
        """Return how long each job waited for its first run."""
        began: dict[int, float] = {}
        for run in self.all_runs:
            began.setdefault(run.number, run.began)
        return [Span(job.due, began[number]) for number, job in enumerate(self.jobs)]

    @property
    def ends(self) -> list[float]:
        """Return when each job was first done."""
        ended: dict[int, float] = {}
        for run in self.all_runs:
            if run.ended is not None:
                ended[run.number] = min(run.ended, ended.get(run.number, run.ended))
        return [ended[number] for number in range(len(self.jobs))]

    @property
    def ideal(self) -> list[Span]:
        """Return when each job would have run in the ideal schedule."""
        return ideal_schedule(self.jobs, self.workers)


def figures(played: Played) -> Figures:
    """Return the total time and the jobs' waiting times, next to the ideal schedule."""
    start = min(job.due for job in played.jobs)
    makespan = max(played.ends) - start
    ideal = max(span.ended for span in played.ideal) - start
    return {
        "makespan_s": makespan,
        "ideal_s": ideal,
        "ratio": makespan / ideal,
        "excess_s": makespan - SHARE_OF_IDEAL * ideal,
        "needless_s": _needless(played),
        "shares": [len(runs) for runs in played.runs],
    }


def _needless(played: Played) -> float:
    idle = [
        span
        for worker, runs in zip(played.workers, played.runs, strict=True)
        for span in idle_spans(
            worker, [Span(r.began, worker.left if r.ended is None else r.ended) for r in runs]
        )
    ]
    return needless_wait(played.waits, idle)


def wait_figures(played: Played, numbers: Sequence[int]) -> Figures:
    """Return how long some of the jobs waited, next to the ideal schedule."""
    waits = [played.waits[number].seconds for number in numbers]
    ideal = max(played.ideal[number].began - played.jobs[number].due for number in numbers)
    return {
        "wait_s": max(waits),
        "ideal_wait_s": ideal,
        "wait_excess_s": max(waits) - SHARE_OF_IDEAL * ideal,
        "stuck": sum(wait > ideal + 1 for wait in waits),
    }


def dip_figures(played: Played, killed: float, rate: float) -> Figures:
    """Return what a kill did to a steady load.

    Jobs are distinguished by their state at the kill: `new_wait_s` is for jobs that were sent after the kill, `old_wait_s`
    for jobs that were sent before and had not begun, `again_s` for jobs that had begun and are run once more, because it is
    unknown how far they got. Seconds count from the kill, or from the call if that was later.
    """
    waits = played.waits
    new = [wait.seconds for wait in waits if wait.began >= killed]
    old = [wait.ended - killed for wait in waits if wait.began < killed <= wait.ended]
    again = _second_begins(played)
    lasts = max(job.due for job in played.jobs)
    before, after = _per_second(played.ends, killed, lasts)
    return {
        "new_wait_s": max(new),
        "delayed": sum(seconds > 1 for seconds in new),
        "old_wait_s": max(old, default=0.0),
        "again": len(again),
        "again_s": max((began - killed for began in again), default=0.0),
        "lowest": min(after) / rate,
        "low_seconds": sum(count < FULL * rate for count in after),
        "per_second_before": before,
        "per_second": after,
    }


def _second_begins(played: Played) -> list[float]:
    seen: set[int] = set()
    again = []
    for run in played.all_runs:
        if run.number in seen:
            again.append(run.began)
        seen.add(run.number)
    return again


def _per_second(ends: Sequence[float], killed: float, lasts: float) -> tuple[list[int], list[int]]:
    """Return how many jobs ended in each whole second before and after the kill, while jobs were sent."""
    whole = int(lasts - killed)
    counts = dict.fromkeys(range(-3, whole), 0)
    for end in ends:
        second = int((end - killed) // 1)
        if second in counts:
            counts[second] += 1
    return [counts[s] for s in range(-3, 0)], [counts[s] for s in range(whole)]
