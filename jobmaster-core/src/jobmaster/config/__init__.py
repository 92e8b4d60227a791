"""Settings of a cluster, of its workers and of its agents, checked when they are made."""

from jobmaster.config.agent import AgentSettings
from jobmaster.config.checks import (
    LONGEST_NAME,
    as_priority,
    as_text,
    check_key,
    check_known,
    check_name,
    check_priority,
    make,
    seconds,
)
from jobmaster.config.cluster import SHARED, Settings, cluster_mode
from jobmaster.config.worker import DEFAULT_LANE, WorkerSettings, default_parallelism
from jobmaster.durations import LONGEST
from jobmaster.states import ClusterMode

__all__ = [
    "DEFAULT_LANE",
    "LONGEST",
    "LONGEST_NAME",
    "SHARED",
    "AgentSettings",
    "ClusterMode",
    "Settings",
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
    "seconds",
]
