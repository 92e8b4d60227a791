"""The interfaces that a provider implements. A provider has to pass the suite in `jobmaster_testing`."""

from jobmaster.contracts.agent import AgentRepository, Backlog, Message, SavePending
from jobmaster.contracts.agents import AgentStore
from jobmaster.contracts.capabilities import Capabilities
from jobmaster.contracts.control import ClusterChange, ControlStore, Orders
from jobmaster.contracts.durability import DurabilityRisk
from jobmaster.contracts.handovers import Handover, HandoverResult, HandoverStore, Room
from jobmaster.contracts.master import (
    OUT_OF_REACH,
    REQUESTS_KEPT,
    Assignment,
    BucketStore,
    CancelAnswer,
    ClusterStore,
    HeartbeatReply,
    JobStore,
    Mark,
    MasterRepository,
)
from jobmaster.contracts.schedules import ScheduleStore
from jobmaster.contracts.stores import NotificationListener, SchemaStore
from jobmaster.contracts.topics import Topics
from jobmaster.contracts.transfers import (
    Departure,
    Moving,
    Rejection,
    RejectReason,
    Standing,
    TransferStore,
    WholeJob,
)

__all__ = [
    "OUT_OF_REACH",
    "REQUESTS_KEPT",
    "AgentRepository",
    "AgentStore",
    "Assignment",
    "Backlog",
    "BucketStore",
    "CancelAnswer",
    "Capabilities",
    "ClusterChange",
    "ClusterStore",
    "ControlStore",
    "Departure",
    "DurabilityRisk",
    "Handover",
    "HandoverResult",
    "HandoverStore",
    "HeartbeatReply",
    "JobStore",
    "Mark",
    "MasterRepository",
    "Message",
    "Moving",
    "NotificationListener",
    "Orders",
    "RejectReason",
    "Rejection",
    "Room",
    "SavePending",
    "ScheduleStore",
    "SchemaStore",
    "Standing",
    "Topics",
    "TransferStore",
    "WholeJob",
]
