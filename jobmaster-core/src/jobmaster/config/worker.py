"""Settings of a worker."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from attrs import Attribute, field, frozen
from attrs.validators import optional

from jobmaster.config.checks import (
    PriorityName,
    as_priority,
    as_text,
    check_name,
    check_priority,
    check_worker_name,
    positive,
    whole,
)
from jobmaster.errors import ConfigurationError
from jobmaster.states import Priority, WorkerMode
from jobmaster.urls import said

DEFAULT_LANE = "default"
AT_ONCE = 16 * 1024 * 1024
MOST_BUCKETS = 100
MOST_PARALLELISM = 1000
MOST_CONCURRENCY = MOST_PARALLELISM * Priority.MEDIUM.slots


def default_parallelism() -> float:
    """Return the default of a worker's `parallelism`: the number of CPUs, at most 10."""
    return float(min(os.cpu_count() or 1, 10))


def _worker_mode(value: WorkerMode | str) -> WorkerMode:
    if value not in list(WorkerMode):
        msg = f"mode: {said(value)} is not a worker mode; use one of {', '.join(WorkerMode)}"
        raise ConfigurationError(msg)
    return WorkerMode(value)


def _buckets(value: Any) -> Any:
    """Return the mapping with names replaced by priorities; other values are left to the check."""
    if not isinstance(value, Mapping):
        return value
    named = {as_priority(priority): count for priority, count in value.items()}
    if len(named) < len(value):
        msg = f"buckets: {said(dict(value))} names a priority twice; give each one count"
        raise ConfigurationError(msg)
    return named


def _check_buckets(_: Any, attribute: Attribute[Any], value: Mapping[Priority, int]) -> None:
    if not isinstance(value, Mapping):
        msg = f"{attribute.name}: {said(value)} is not a mapping; write e.g. buckets={{Priority.HIGH: 2}}"
        raise ConfigurationError(msg)
    for priority, count in value.items():
        check_priority(attribute.name, priority)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST_BUCKETS:
            wrong = f"{attribute.name}: {said(count)} buckets of {priority.name}"
            msg = f"{wrong}; give a whole number from 0 to {MOST_BUCKETS}"
            raise ConfigurationError(msg)


_is_multiplier = positive(MOST_PARALLELISM)


def _check_parallelism(instance: Any, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None:
        _is_multiplier(instance, attribute, value)


def said_twice() -> ConfigurationError:
    """Return the error for a number of slots that is given in two ways."""
    return ConfigurationError(
        "parallelism, concurrency: both say how many jobs run at once; give one (concurrency=50 is parallelism=10)"
    )


class WorkerOptions(TypedDict, total=False):
    """The options of `Cluster.add_worker`: the fields of `WorkerSettings`, which describes them."""

    name: str | None
    agent: str | None
    lane: str
    mode: WorkerMode | Literal["full", "coordinator", "execution", "drain"]
    batch_size: int
    batch_bytes: int
    parallelism: float | None
    concurrency: int | None
    buckets: Mapping[Priority | PriorityName, int]


@frozen(kw_only=True)
class WorkerSettings:
    """The settings of `Cluster.add_worker`.

    Attributes:
        name: unique among the running workers of a process; generated from host and process if not given.
        agent: the agent that its buckets are on; needed only if the cluster has several.
        lane: the lane it serves.
        mode: the duties it takes.
        batch_size: the maximum number of jobs that one bucket holds in memory, and that one write contains.
        batch_bytes: the maximum bytes of jobs that one bucket holds in memory beside running ones; one job is always read.
        parallelism: multiplies the slots of every priority; by default the CPU count, at most 10.
        concurrency: an alternative to `parallelism`, in jobs: how many jobs of `Priority.MEDIUM`, the default, run at
            once in one bucket. The other priorities keep their proportion, with at least one slot. Give only one of the
            two.
        buckets: number of buckets by priority (`Priority.HIGH` or `"high"`), 1 if not given; 0 leaves a priority out.

    """

    name: str | None = field(default=None, converter=as_text)
    agent: str | None = field(default=None, converter=as_text)
    lane: str = field(default=DEFAULT_LANE, converter=as_text)
    mode: WorkerMode = field(default=WorkerMode.FULL, converter=_worker_mode)
    batch_size: int = field(default=1000, validator=whole(1, 100_000))
    batch_bytes: int = field(default=AT_ONCE, validator=whole(1024, 4 * 1024**3))
    parallelism: float = field(default=None, validator=_check_parallelism)  # None only until it is computed
    concurrency: int | None = field(default=None, validator=optional(whole(1, MOST_CONCURRENCY)))
    buckets: Mapping[Priority, int] = field(factory=dict, converter=_buckets, validator=_check_buckets)

    def __attrs_post_init__(self) -> None:
        """Compute the slots; check names, and that there is something to do."""
        self._settle_parallelism()
        check_name("lane", self.lane)
        if self.name is not None:
            check_worker_name(self.name)
        if self.agent is not None:
            check_name("agent", self.agent)
        if self.mode.executes and not any(self.bucket_count(priority) for priority in Priority):
            msg = "buckets: every priority is set to 0, so this worker could run nothing; leave one in"
            raise ConfigurationError(msg)

    def _settle_parallelism(self) -> None:
        wanted = self.parallelism
        if self.concurrency is not None:
            wanted = self.concurrency / Priority.MEDIUM.slots
            if self.parallelism not in (None, wanted):  # a copy of settings has both, with the same value
                raise said_twice()
        elif wanted is None:
            wanted = default_parallelism()
        object.__setattr__(self, "parallelism", wanted)

    def bucket_count(self, priority: Priority) -> int:
        """Return how many buckets of a priority the worker owns."""
        return self.buckets.get(priority, 1)

    def slots(self, priority: Priority) -> int:
        """Return how many jobs run at once in one bucket of a priority."""
        return max(1, round(priority.slots * self.parallelism))
