"""Settings of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal, TypeAlias, TypedDict

from attrs import evolve, field, frozen

from jobmaster._time.durations import LONGEST, written
from jobmaster.config.checks import between, check_prefix, check_zone, instance_of, to_seconds, whole
from jobmaster.errors import ConfigurationError
from jobmaster.retry import RetryPolicy
from jobmaster.states import ClusterMode
from jobmaster.urls import hidden, said

ModeName: TypeAlias = Literal["active", "passive", "archived", "migrating"]


class SharedOptions(TypedDict, total=False):
    """The cluster-wide settings, which `Runtime.configure` can change while the cluster runs."""

    default_job_timeout: timedelta | float | None
    default_max_retries: int
    transient_threshold: timedelta | float
    time_zone: str | None
    max_message_bytes: int
    retention: timedelta | float | None


class ClusterOptions(SharedOptions, total=False):
    """The options of `Cluster.configure`: the fields of `Settings`, which describes them."""

    retry: RetryPolicy
    heartbeat: timedelta | float
    lease: timedelta | float
    stop_grace: timedelta | float
    beat: timedelta | float
    poll_interval: timedelta | float
    save_after: timedelta | float
    fallback_patience: timedelta | float | None
    misfire_grace: timedelta | float
    store_timeout: timedelta | float
    table_prefix: str
    auto_migrate: bool
    require_durable: bool
    store_options: Mapping[str, object]


@frozen(kw_only=True)
class Settings:
    """The settings of `Cluster.configure`. Durations are seconds; a `timedelta` is converted.

    Attributes:
        default_job_timeout: how long an attempt may take; None for no limit.
        default_max_retries: how often a failed job is tried again.
        retry: the backoff policy.
        transient_threshold: how long before a job is due an agent accepts it while the master cannot be reached.
        time_zone: IANA name of the zone in which schedules are read; None for the zone of the host that creates them.
        max_message_bytes: the maximum size of encoded message data in bytes.
        retention: how long finished jobs, attempts and logs are kept; None for no limit.
        heartbeat: how often leases are renewed.
        lease: how long a worker without a heartbeat keeps its buckets.
        stop_grace: how long running jobs may continue after a stop is requested.
        beat: jobs that are queued or running for longer than this are shown so on the master.
        poll_interval: the longest time between two checks for work if no notification arrives.
        save_after: a job that is in a bucket of an agent for longer than this is saved on the master before its end.
        fallback_patience: how long due jobs wait for a bucket before a coordinator runs them itself; None: forever.
        misfire_grace: how late a recurring schedule's time may be noticed without counting as missed.
        store_timeout: the deadline of one unit of work on a store.
        table_prefix: the prefix of table names.
        auto_migrate: bring the schema up to date at start.
        require_durable: refuse to start on a store that may lose accepted jobs, instead of a warning.
        store_options: the provider's own settings.

    """

    default_job_timeout: float | None = field(
        default=60.0, converter=to_seconds, validator=between(0.001, LONGEST, optional=True)
    )
    default_max_retries: int = field(default=3, validator=whole(0, 1000))
    retry: RetryPolicy = field(
        factory=RetryPolicy,
        validator=instance_of(RetryPolicy, "a RetryPolicy, e.g. RetryPolicy(default=FixedBackoff(5))"),
    )
    transient_threshold: float = field(default=120.0, converter=to_seconds, validator=between(10, 86400))
    time_zone: str | None = field(default=None, validator=check_zone)
    max_message_bytes: int = field(default=128 * 1024, validator=whole(256, 64 * 1024 * 1024))
    retention: float | None = field(
        default=30 * 86400.0, converter=to_seconds, validator=between(0, LONGEST, optional=True)
    )
    heartbeat: float = field(default=5.0, converter=to_seconds, validator=between(0.01, 3600))
    lease: float = field(default=15.0, converter=to_seconds, validator=between(0.05, 86400))
    stop_grace: float = field(default=30.0, converter=to_seconds, validator=between(0, 86400))
    beat: float = field(default=1.0, converter=to_seconds, validator=between(0.01, 3600))
    poll_interval: float = field(default=2.0, converter=to_seconds, validator=between(0.01, 3600))
    save_after: float = field(default=2.0, converter=to_seconds, validator=between(0.01, 3600))
    fallback_patience: float | None = field(
        default=60.0, converter=to_seconds, validator=between(0, LONGEST, optional=True)
    )
    misfire_grace: float = field(default=10.0, converter=to_seconds, validator=between(0.1, 86400))
    store_timeout: float = field(default=10.0, converter=to_seconds, validator=between(0.1, 600))
    table_prefix: str = field(default="jm_", validator=check_prefix)
    auto_migrate: bool = field(default=True, validator=instance_of(bool, "True or False"))
    require_durable: bool = field(default=False, validator=instance_of(bool, "True or False"))
    store_options: Mapping[str, Any] = field(
        factory=dict, validator=instance_of(Mapping, "a mapping", secret=True), repr=hidden
    )

    def __attrs_post_init__(self) -> None:
        """Check the settings that depend on each other."""
        if self.lease < 2 * self.heartbeat:
            msg = (
                f"lease: {written(self.lease)} leaves no room for a late heartbeat; "
                f"make it at least twice heartbeat ({written(self.heartbeat)})"
            )
            raise ConfigurationError(msg)

    @property
    def options(self) -> Mapping[str, Any]:
        """The provider's own settings, under the name that providers know."""
        return self.store_options

    def shared(self) -> dict[str, Any]:
        """Return the cluster-wide settings as JSON values, as they are stored on the master."""
        return {name: getattr(self, name) for name in SHARED}

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """Return these settings with changes to cluster-wide ones; other changes are ignored.

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


def cluster_mode(mode: ClusterMode | ModeName) -> ClusterMode:
    """Return a cluster mode; raises `ConfigurationError` for an invalid one."""
    if mode not in list(ClusterMode):
        msg = f"mode: {said(mode)} is not a cluster mode; use one of {', '.join(ClusterMode)}"
        raise ConfigurationError(msg)
    return ClusterMode(mode)
