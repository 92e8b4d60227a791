"""What the scenarios schedule: mixes of jobs, made from a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jobmaster import JobDefinition, JobRequest

NOOP = JobDefinition("Noop", max_retries=0)
NAP = JobDefinition("Nap", max_retries=0)
THINK = JobDefinition("Think", max_retries=0)
COMPUTE = JobDefinition("Compute", max_retries=0)
FLAKY = JobDefinition("Flaky", max_retries=1)
DEADLY = JobDefinition("Deadly", max_retries=0)
"""Without retries to spare: one that a crash used up would fail the job."""

SOON = 10.0
"""Seconds: the shortest transient threshold that there can be, within which jobs go to buckets."""

Make = Callable[[random.Random], JobRequest]

_SHORT: Mapping[Make, int] = {
    lambda _: NOOP.request(): 30,
    lambda r: NAP.request({"seconds": r.uniform(0.001, 0.05)}): 40,
    lambda r: THINK.request({"seconds": r.uniform(0.001, 0.02)}): 15,
    lambda r: COMPUTE.request({"seconds": r.uniform(0.0005, 0.003)}): 5,
    lambda _: FLAKY.request(): 10,
}
"""Kinds of short jobs, each with its share in percent."""


def short_jobs(seed: int, count: int) -> list[JobRequest]:
    """Return a mix of short jobs: nothing, asynchronous, in threads, computing, failing once."""
    chance = random.Random(seed)
    kinds = chance.choices(list(_SHORT), weights=list(_SHORT.values()), k=count)
    return [make(chance) for make in kinds]


def long_jobs(seed: int, count: int, shortest: float = 1.0, longest: float = 2.0) -> list[JobRequest]:
    """Return jobs that take seconds: every third one in a thread, every third one fails once at its end."""
    chance = random.Random(seed)
    kinds = (NAP, THINK, FLAKY)
    return [kinds[n % 3].request({"seconds": chance.uniform(shortest, longest)}) for n in range(count)]


def delayed_jobs(seed: int, count: int, shortest: float, longest: float) -> list[JobRequest]:
    """Return short jobs that are due in so many seconds."""
    chance = random.Random(seed)
    naps = [{"seconds": chance.uniform(0.001, 0.05)} for _ in range(count)]
    return [NAP.request(data, after=chance.uniform(shortest, longest)) for data in naps]


def keyed_jobs(prefix: str, count: int) -> list[JobRequest]:
    """Return short jobs with idempotency keys, which only the master can tell apart."""
    return [NOOP.request(key=f"{prefix}-{number}") for number in range(count)]


def shuffled(seed: int, *parts: Sequence[Any]) -> list[Any]:
    """Return all of the parts in a random order."""
    mixed = [one for part in parts for one in part]
    random.Random(seed).shuffle(mixed)
    return mixed


def calls(requests: Sequence[JobRequest], size: int) -> list[Sequence[JobRequest]]:
    """Return the requests in chunks, in order, those apart that can only go to the master.

    Jobs of one call go the same way: one with a key, or one that is not due for long, would take all along.
    """
    quick = [request for request in requests if not _is_for_master(request)]
    others = [request for request in requests if _is_for_master(request)]
    return chunks(quick, size) + chunks(others, size)


def _is_for_master(request: JobRequest) -> bool:
    after = request.options.after
    return request.options.key is not None or (isinstance(after, float) and after > SOON)


def chunks(items: Sequence[JobRequest], size: int) -> list[Sequence[JobRequest]]:
    """Return the items in order, in chunks."""
    return [items[start : start + size] for start in range(0, len(items), size)]
