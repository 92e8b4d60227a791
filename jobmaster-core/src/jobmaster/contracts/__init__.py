"""The interfaces that a provider implements. A provider has to pass the suite in `jobmaster_testing`."""

from jobmaster.contracts.agent import AgentRepository
from jobmaster.contracts.agent_buckets import AgentBucketStore, Backlog
from jobmaster.contracts.asides import AsideStore
from jobmaster.contracts.assignments import Assignment, AssignmentStore, Room
from jobmaster.contracts.buckets import BucketStore
from jobmaster.contracts.capabilities import Capabilities
from jobmaster.contracts.claims import ClaimStore
from jobmaster.contracts.clusters import ClusterStore
from jobmaster.contracts.control import ClusterChange, ControlStore, Orders
from jobmaster.contracts.durability import DurabilityRisk
from jobmaster.contracts.handovers import Handover, HandoverResult, HandoverStore
from jobmaster.contracts.jobs import JobStore
from jobmaster.contracts.logs import LogStore
from jobmaster.contracts.master import MasterRepository
from jobmaster.contracts.members import MemberStore
from jobmaster.contracts.messages import Message, MessageStore, SavePending
from jobmaster.contracts.notifications import NotificationChannel
from jobmaster.contracts.outcomes import Mark, OutcomeStore
from jobmaster.contracts.repository import Repository
from jobmaster.contracts.requests import OUT_OF_REACH, CancelAnswer, RequestStore
from jobmaster.contracts.rescue import RescueStore
from jobmaster.contracts.schedules import ScheduleStore
from jobmaster.contracts.schema import NoSchema, SchemaStore
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
from jobmaster.contracts.workers import REQUESTS_KEPT, HeartbeatReply, WorkerStore

__all__ = [
    "OUT_OF_REACH",
    "REQUESTS_KEPT",
    "AgentBucketStore",
    "AgentRepository",
    "AsideStore",
    "Assignment",
    "AssignmentStore",
    "Backlog",
    "BucketStore",
    "CancelAnswer",
    "Capabilities",
    "ClaimStore",
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
    "LogStore",
    "Mark",
    "MasterRepository",
    "MemberStore",
    "Message",
    "MessageStore",
    "Moving",
    "NoSchema",
    "NotificationChannel",
    "Orders",
    "OutcomeStore",
    "RejectReason",
    "Rejection",
    "Repository",
    "RequestStore",
    "RescueStore",
    "Room",
    "SavePending",
    "ScheduleStore",
    "SchemaStore",
    "Standing",
    "Topics",
    "TransferStore",
    "WholeJob",
    "WorkerStore",
]
