"""Settings of a cluster, its workers and its agents, checked on creation."""

from jobmaster._time.durations import LONGEST
from jobmaster.config.agent import AgentOptions, AgentSettings
from jobmaster.config.checks import (
    LONGEST_NAME,
    PriorityName,
    as_priority,
    as_text,
    check_key,
    check_known,
    check_name,
    check_priority,
    make,
    seconds,
)
from jobmaster.config.cluster import SHARED, ClusterOptions, ModeName, Settings, SharedOptions, cluster_mode
from jobmaster.config.worker import (
    DEFAULT_LANE,
    WorkerOptions,
    WorkerSettings,
    default_parallelism,
    said_twice,
)
from jobmaster.states import ClusterMode

__all__ = [
    "DEFAULT_LANE",
    "LONGEST",
    "LONGEST_NAME",
    "SHARED",
    "AgentOptions",
    "AgentSettings",
    "ClusterMode",
    "ClusterOptions",
    "ModeName",
    "PriorityName",
    "Settings",
    "SharedOptions",
    "WorkerOptions",
    "WorkerSettings",
    "as_priority",
    "as_text",
    "check_key",
    "check_known",
    "check_name",
    "check_priority",
    "cluster_mode",
    "default_parallelism",
    "make",
    "said_twice",
    "seconds",
]
