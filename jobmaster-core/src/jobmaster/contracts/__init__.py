"""What a provider implements. A provider is whatever passes the suite in `jobmaster_testing`."""

from jobmaster.contracts.agent import AgentRepository, Message
from jobmaster.contracts.capabilities import Capabilities
from jobmaster.contracts.master import (
    Assignment,
    BucketStore,
    CancelAnswer,
    ClusterStore,
    JobStore,
    Mark,
    MasterRepository,
    NewsListener,
    Room,
    SchemaStore,
)
from jobmaster.contracts.schedules import ScheduleStore
from jobmaster.contracts.topics import Topics

__all__ = [
    "AgentRepository",
    "Assignment",
    "BucketStore",
    "CancelAnswer",
    "Capabilities",
    "ClusterStore",
    "JobStore",
    "Mark",
    "MasterRepository",
    "Message",
    "NewsListener",
    "Room",
    "ScheduleStore",
    "SchemaStore",
    "Topics",
]
