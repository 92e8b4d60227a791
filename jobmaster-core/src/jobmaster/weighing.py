"""The size of jobs in bytes, and how much is sent at once: a thousand jobs may be a megabyte, or sixty gigabytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from jobmaster.models import Job, LogLine, NewJob, Report

T = TypeVar("T")

AT_ONCE: Final = 16 * 1024 * 1024
"""Bytes of jobs in one statement and in one shared flush; a larger job is sent alone."""
PAGE_BYTES: Final = 8 * 1024 * 1024
"""Bytes of jobs after which a page ends, with the job that exceeds them."""
MOST_TOGETHER: Final = 256 * 1024 * 1024
"""Bytes of the jobs of one bulk call, which is all or nothing: a store writes it in one transaction."""
MOST_JOBS: Final = 500_000
"""Jobs of one bulk call."""

_PATIENCE: Final = 60.0
_PACE: Final = 2 * 1024 * 1024
"""Seconds that a large transaction may take, and the number of bytes that add one more second."""


def job_weight(job: Job) -> int:
    """Return the bytes, or at least the characters, of a job's data and metadata."""
    return job.data.size + job.metadata.size


def new_weight(new: NewJob) -> int:
    """Return the bytes of a new job."""
    return job_weight(new.job)


def report_weight(report: Report) -> int:
    """Return the approximate bytes of a report: its job, if it is new, its error and its log lines."""
    size = 0 if report.job is None else job_weight(report.job)
    if report.error is not None:
        size += len(report.error.message) + len(report.error.traceback)
    return size + sum(map(line_weight, report.logs))


def line_weight(line: LogLine) -> int:
    """Return the approximate bytes of a log line."""
    return len(line.message) + sum(len(v) if isinstance(v, str) else 8 for v in line.fields.values())


def in_parts(things: Sequence[T], weight: Callable[[T], int], most: int = AT_ONCE) -> Iterator[Sequence[T]]:
    """Yield things, in order, in parts of at most `most` bytes, or of one thing."""
    start = size = 0
    for place, thing in enumerate(things):
        size += (added := weight(thing))
        if size > most and place > start:
            yield things[start:place]
            start, size = place, added
    if start < len(things):
        yield things[start:] if start else things


def patience_for(size: int) -> float | None:
    """Return how many seconds a transaction of `size` bytes may take; None for a usual size."""
    return None if size <= AT_ONCE else _PATIENCE + size / _PACE
