"""Settings of a cluster and of its workers, checked when they are made."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from math import isnan
from typing import Any, TypeVar

from attrs import Attribute, evolve, field, fields_dict, frozen
from attrs.validators import optional

from jobmaster._policy.retry import RetryPolicy
from jobmaster.errors import ConfigurationError
from jobmaster.models import STANDALONE
from jobmaster.recurrence import zone_of
from jobmaster.states import ClusterMode, Priority, WorkerMode

T = TypeVar("T")

_CLUSTER_ID = re.compile(r"[A-Za-z0-9]+(?:[-_.:][A-Za-z0-9]+)*")
_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,20}")
DEFAULT_LANE = "default"
MOST_BUCKETS = 100
MOST_PARALLELISM = 1000


def check_name(setting: str, value: str, longest: int = 50) -> str:
    """Return `value` if it can name a cluster, worker, lane or definition; raises `ConfigurationError`."""
    if not isinstance(value, str) or len(value) > longest or not _CLUSTER_ID.fullmatch(value):
        msg = (
            f"{setting}: {value!r} is no valid name; use letters, digits and single - _ . : between them, "
            f"at most {longest} characters"
        )
        raise ConfigurationError(msg)
    return value


def seconds(setting: str, value: timedelta | float) -> float:
    """Return a duration in seconds; raises `ConfigurationError` unless it is a number or `timedelta`."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or isnan(value):
        msg = f"{setting}: {value!r} is no duration; give seconds as a number, or a timedelta"
        raise ConfigurationError(msg)
    return float(value)


LONGEST = 100 * 365.25 * 86400
"""The longest duration in seconds that settings and delays may have: a hundred years."""


def _between(
    low: float, high: float, *, optional: bool = False
) -> Callable[[Any, Attribute[Any], Any], None]:
    def check(_: Any, attribute: Attribute[Any], value: Any) -> None:
        if optional and value is None:
            return
        number = seconds(attribute.name, value)
        if not low <= number <= high:
            msg = f"{attribute.name}: {value} is out of range; it must be from {low:g} to {high:g}"
            raise ConfigurationError(msg)

    return check


def _to_seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _check_zone(_: Any, attribute: Attribute[Any], value: str | None) -> None:
    if value is not None:
        zone_of(value, attribute.name)


def _check_prefix(_: Any, attribute: Attribute[Any], value: str) -> None:
    if not isinstance(value, str) or not _PREFIX.fullmatch(value):
        msg = f"{attribute.name}: {value!r} cannot start table names; use lower-case letters, digits and _ (21 at most)"
        raise ConfigurationError(msg)


def _check_whole(low: int, high: int) -> Callable[[Any, Attribute[Any], Any], None]:
    def check(_: Any, attribute: Attribute[Any], value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            msg = (
                f"{attribute.name}: {value!r} is out of range; it must be a whole number from {low} to {high}"
            )
            raise ConfigurationError(msg)

    return check


def _instance_of(kind: type[Any], what: str) -> Callable[[Any, Attribute[Any], Any], None]:
    def check(_: Any, attribute: Attribute[Any], value: Any) -> None:
        if not isinstance(value, kind):
            msg = f"{attribute.name}: {value!r} does not fit; give {what}"
            raise ConfigurationError(msg)

    return check


@frozen(kw_only=True)
class Settings:
    """What `Cluster.configure` can set. Durations are seconds; a `timedelta` is converted.

    Attributes:
        default_job_timeout: how long an attempt may take; None for no limit.
        default_max_retries: how often a failed job is tried again.
        retry: the backoff policy.
        transient_threshold: jobs due within it go to buckets, later ones are held on the master.
        time_zone: IANA name of the zone schedules are read in; None for that of the host they are made on.
        max_message_bytes: the most bytes of encoded message data.
        retention: how long finished jobs, attempts and logs are kept; None for ever.
        heartbeat: how often leases are renewed.
        lease: how long a worker that says nothing keeps its buckets.
        stop_grace: how long running jobs may go on after a stop is asked for.
        beat: jobs that are queued or running for longer than this are shown so on the master.
        poll_interval: the longest time between two looks for work when no news arrives.
        save_after: a job that lies in a bucket of an agent for longer than this is saved on the master before its end.
        fallback_patience: how long due jobs wait for a bucket before a coordinator runs them itself; None: for ever.
        misfire_grace: how late a recurring schedule's time may be noticed without counting as missed.
        store_timeout: the deadline of one unit of work on a store.
        table_prefix: what table names start with.
        auto_migrate: bring the schema up to date at start.
        store_options: the provider's own settings.

    """

    default_job_timeout: float | None = field(
        default=60.0, converter=_to_seconds, validator=_between(0.001, LONGEST, optional=True)
    )
    default_max_retries: int = field(default=3, validator=_check_whole(0, 1000))
    retry: RetryPolicy = field(
        factory=RetryPolicy,
        validator=_instance_of(RetryPolicy, "a RetryPolicy, e.g. RetryPolicy(default=FixedBackoff(5))"),
    )
    transient_threshold: float = field(default=120.0, converter=_to_seconds, validator=_between(10, 86400))
    time_zone: str | None = field(default=None, validator=_check_zone)
    max_message_bytes: int = field(default=128 * 1024, validator=_check_whole(256, 64 * 1024 * 1024))
    retention: float | None = field(
        default=30 * 86400.0, converter=_to_seconds, validator=_between(0, LONGEST, optional=True)
    )
    heartbeat: float = field(default=5.0, converter=_to_seconds, validator=_between(0.01, 3600))
    lease: float = field(default=15.0, converter=_to_seconds, validator=_between(0.05, 86400))
    stop_grace: float = field(default=30.0, converter=_to_seconds, validator=_between(0, 86400))
    beat: float = field(default=1.0, converter=_to_seconds, validator=_between(0.01, 3600))
    poll_interval: float = field(default=2.0, converter=_to_seconds, validator=_between(0.01, 3600))
    save_after: float = field(default=2.0, converter=_to_seconds, validator=_between(0.01, 3600))
    fallback_patience: float | None = field(
        default=60.0, converter=_to_seconds, validator=_between(0, LONGEST, optional=True)
    )
    misfire_grace: float = field(default=10.0, converter=_to_seconds, validator=_between(0.1, 86400))
    store_timeout: float = field(default=10.0, converter=_to_seconds, validator=_between(0.1, 600))
    table_prefix: str = field(default="jm_", validator=_check_prefix)
    auto_migrate: bool = field(default=True, validator=_instance_of(bool, "True or False"))
    store_options: Mapping[str, Any] = field(factory=dict, validator=_instance_of(Mapping, "a mapping"))

    def __attrs_post_init__(self) -> None:
        """Check what concerns two settings at once."""
        if self.lease < 2 * self.heartbeat:
            msg = (
                f"lease: {self.lease:g} s leaves no room for a late heartbeat; "
                f"make it at least twice heartbeat ({self.heartbeat:g} s)"
            )
            raise ConfigurationError(msg)

    @property
    def options(self) -> Mapping[str, Any]:
        """The provider's own settings, under the name that providers know."""
        return self.store_options

    def shared(self) -> dict[str, Any]:
        """Return the cluster-wide settings as JSON values, the form that is stored on the master."""
        return {name: getattr(self, name) for name in SHARED}

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """Return these settings with changes to cluster-wide ones; others are left out.

        Raises `ConfigurationError` for a value that does not fit.
        """
        return evolve(self, **{name: changes[name] for name in SHARED if name in changes})


SHARED = (
    "default_job_timeout",
    "default_max_retries",
    "transient_threshold",
    "time_zone",
    "max_message_bytes",
    "retention",
)
"""The cluster-wide settings: those that can be changed while the cluster runs."""


def default_parallelism() -> float:
    """Return the default of a worker's `parallelism`: the number of CPUs, at most 10."""
    return float(min(os.cpu_count() or 1, 10))


def _check_parallelism(_: Any, attribute: Attribute[Any], value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_PARALLELISM:
        msg = f"{attribute.name}: {value!r} is out of range; it must be a positive number up to {MOST_PARALLELISM}"
        raise ConfigurationError(msg)


def cluster_mode(mode: ClusterMode | str) -> ClusterMode:
    """Return a cluster mode; raises `ConfigurationError` for what is none."""
    try:
        return ClusterMode(mode)
    except ValueError:
        names = ", ".join(ClusterMode)
        msg = f"mode: {mode!r} is no cluster mode; use one of {names}"
        raise ConfigurationError(msg) from None


def _worker_mode(value: WorkerMode | str) -> WorkerMode:
    try:
        return WorkerMode(value)
    except ValueError:
        msg = f"mode: {value!r} is no worker mode; use one of {', '.join(WorkerMode)}"
        raise ConfigurationError(msg) from None


def _check_buckets(_: Any, attribute: Attribute[Any], value: Mapping[Priority, int]) -> None:
    if not isinstance(value, Mapping):
        msg = f"{attribute.name}: {value!r} is no mapping; write buckets={{Priority.HIGH: 2}}, for one"
        raise ConfigurationError(msg)
    for priority, count in value.items():
        if not isinstance(priority, Priority):
            msg = f"{attribute.name}: {priority!r} is no Priority; use Priority.MEDIUM, for one"
            raise ConfigurationError(msg)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= MOST_BUCKETS:
            msg = f"{attribute.name}: {count!r} buckets of {priority.name}; give a whole number from 0 to {MOST_BUCKETS}"
            raise ConfigurationError(msg)


@frozen(kw_only=True)
class WorkerSettings:
    """What `Cluster.add_worker` can set.

    Attributes:
        name: unique among the running workers of a process; generated from host and process if not given.
        agent: the agent that its buckets are on; needed only where the cluster has several.
        lane: the lane it serves.
        mode: which duties it takes.
        batch_size: the most jobs one bucket holds in memory, and that one write carries.
        parallelism: multiplies the slots of every priority; the CPU count by default, at most 10.
        buckets: number of buckets by priority, 1 where not given; 0 leaves a priority out.

    """

    name: str | None = None
    agent: str | None = None
    lane: str = DEFAULT_LANE
    mode: WorkerMode = field(default=WorkerMode.FULL, converter=_worker_mode)
    batch_size: int = field(default=1000, validator=_check_whole(1, 100_000))
    parallelism: float = field(factory=default_parallelism, validator=_check_parallelism)
    buckets: Mapping[Priority, int] = field(factory=dict, validator=_check_buckets)

    def __attrs_post_init__(self) -> None:
        """Check names, and that there is something to do."""
        check_name("lane", self.lane)
        if self.name is not None:
            check_name("worker name", self.name)
        if self.agent is not None:
            check_name("agent", self.agent)
        if self.mode.executes and not any(self.bucket_count(priority) for priority in Priority):
            msg = "buckets: every priority is set to 0, so this worker could run nothing; leave one in"
            raise ConfigurationError(msg)

    def bucket_count(self, priority: Priority) -> int:
        """Return how many buckets of a priority the worker owns."""
        return self.buckets.get(priority, 1)

    def slots(self, priority: Priority) -> int:
        """Return how many jobs run at once in one bucket of a priority."""
        return max(1, round(priority.slots * self.parallelism))


MOST_WEIGHT = 1000.0


def _check_own_prefix(agent: Any, attribute: Attribute[Any], value: str | None) -> None:
    if value is not None:
        _check_prefix(agent, attribute, value)


def _check_weight(_: Any, attribute: Attribute[Any], value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_WEIGHT:
        msg = (
            f"{attribute.name}: {value!r} is out of range; it must be a positive number up to {MOST_WEIGHT:g}"
        )
        raise ConfigurationError(msg)


@frozen(kw_only=True)
class AgentSettings:
    """What `Cluster.add_agent` can set.

    Attributes:
        name: unique in the cluster, for good: jobs and buckets carry it.
        url: where the agent's store is.
        weight: the share of new jobs it is to get, compared with that of the other agents.
        repoint: allow a name that is known for another store, once nothing is left in that one.
        table_prefix: what the agent's table names start with; the cluster's if not given.
        store_options: the provider's own settings; the cluster's if not given.

    """

    name: str
    url: str = field(validator=_instance_of(str, "a URL, for example postgresql://host/database"))
    weight: float = field(default=1.0, validator=_check_weight)
    repoint: bool = field(default=False, validator=_instance_of(bool, "True or False"))
    table_prefix: str | None = field(default=None, validator=_check_own_prefix)
    store_options: Mapping[str, Any] | None = field(
        default=None, validator=optional(_instance_of(Mapping, "a mapping"))
    )

    def options(self, cluster: Settings) -> Settings:
        """Return the settings that the agent's store is opened with."""
        prefix = cluster.table_prefix if self.table_prefix is None else self.table_prefix
        options = cluster.store_options if self.store_options is None else self.store_options
        return evolve(cluster, table_prefix=prefix, store_options=options)

    def __attrs_post_init__(self) -> None:
        """Check the name."""
        check_name("agent", self.name)
        if self.name.lower() in RESERVED_AGENTS:
            msg = f"agent: {self.name!r} means the cluster database itself; choose another name"
            raise ConfigurationError(msg)


RESERVED_AGENTS = frozenset({STANDALONE, "master"})
"""Names that receipts and buckets carry when no agent is involved."""


def check_known(where: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise `ConfigurationError` with a guess for the first setting that there is not."""
    names = sorted(known)
    for name in given:
        if name not in names:
            guess = get_close_matches(name, names, n=1)
            hint = f"; did you mean {guess[0]!r}?" if guess else f" (there are: {', '.join(names)})"
            msg = f"{where}: there is no setting {name!r}{hint}"
            raise ConfigurationError(msg)


def make(kind: type[T], where: str, given: Mapping[str, Any]) -> T:
    """Build settings from keyword arguments; an unknown name raises `ConfigurationError` with a guess."""
    known = fields_dict(kind)  # type: ignore[arg-type]  # always an attrs class
    check_known(where, given, known)
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        msg = f"{where}: {error}"
        raise ConfigurationError(msg) from error


__all__ = [
    "DEFAULT_LANE",
    "LONGEST",
    "SHARED",
    "AgentSettings",
    "ClusterMode",
    "Settings",
    "WorkerSettings",
    "check_known",
    "check_name",
    "cluster_mode",
    "default_parallelism",
    "make",
    "seconds",
]
