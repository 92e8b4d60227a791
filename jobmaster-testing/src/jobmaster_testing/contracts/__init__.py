"""The contract suite: a provider is whatever passes it.

A provider's test module imports a contract and names its store:

    from jobmaster_testing.contracts import MasterContract

    class TestSqliteMaster(MasterContract):
        @pytest.fixture
        def store_url(self, tmp_path): return f"sqlite:///{tmp_path}/jobs.db"
"""

from jobmaster_testing.contracts.agent_claims_pull import PullingContract
from jobmaster_testing.contracts.agent_fault_model import LifeContract
from jobmaster_testing.contracts.agent_inline import InlineOnlyContract
from jobmaster_testing.contracts.agent_messages import CarryingContract
from jobmaster_testing.contracts.agent_messages_acknowledge import LeavingContract
from jobmaster_testing.contracts.agent_messages_push import PushingContract
from jobmaster_testing.contracts.agent_messages_read_all import DrainingContract, DroppingContract
from jobmaster_testing.contracts.agent_messages_unsaved import NotingContract, UnsavedContract
from jobmaster_testing.contracts.agent_messages_withdraw import WithdrawingContract
from jobmaster_testing.contracts.agent_schema import AgentNotificationsContract, AgentSchemaContract
from jobmaster_testing.contracts.assignments_assign_due import AssigningContract
from jobmaster_testing.contracts.base import Contract
from jobmaster_testing.contracts.buckets_hold_unread import LoadContract, SettingAsideContract, TakingContract
from jobmaster_testing.contracts.buckets_own import OwningContract
from jobmaster_testing.contracts.buckets_release import LettingGoContract
from jobmaster_testing.contracts.claims_pull import ReadingContract
from jobmaster_testing.contracts.clusters import ClusterContract
from jobmaster_testing.contracts.clusters_separate import SeparationContract
from jobmaster_testing.contracts.control import ControlContract
from jobmaster_testing.contracts.crash_recovery import SurvivingContract
from jobmaster_testing.contracts.end_to_end import ManyJobsContract, RunningContract
from jobmaster_testing.contracts.handovers_finish import CarryContract
from jobmaster_testing.contracts.handovers_hand_over import HandingOverContract
from jobmaster_testing.contracts.histories import HistoryContract
from jobmaster_testing.contracts.jobs_insert import InsertingContract
from jobmaster_testing.contracts.jobs_metadata import MetadataContract
from jobmaster_testing.contracts.jobs_query import FindingContract
from jobmaster_testing.contracts.members import MemberContract
from jobmaster_testing.contracts.notifications import NotificationsContract
from jobmaster_testing.contracts.outcomes_mark import MarkingContract
from jobmaster_testing.contracts.outcomes_new_jobs import ArrivingContract
from jobmaster_testing.contracts.outcomes_report import ReportingContract
from jobmaster_testing.contracts.requests import CancelContract, RescheduleContract
from jobmaster_testing.contracts.requests_remote import RemoteContract
from jobmaster_testing.contracts.schedules import PlanningContract, ScheduleKeepingContract
from jobmaster_testing.contracts.schedules_end_to_end import RecurringContract
from jobmaster_testing.contracts.store_schema import SchemaContract
from jobmaster_testing.contracts.store_units import UnitContract
from jobmaster_testing.contracts.transfers_admit import AdmittingContract
from jobmaster_testing.contracts.transfers_depart import GivingUpContract
from jobmaster_testing.contracts.transfers_move import MovingContract, ReadingToMoveContract

__all__ = [
    "AgentContract",
    "BucketContract",
    "ClusterContract",
    "Contract",
    "ControlContract",
    "EndToEndContract",
    "HandoverContract",
    "InlineContract",
    "JobContract",
    "MasterContract",
    "MemberContract",
    "NotificationsContract",
    "QueryContract",
    "ScheduleContract",
    "SchemaContract",
    "SeparationContract",
    "TransferContract",
    "TransportContract",
    "UnitContract",
]


class BucketContract(ReadingContract, OwningContract, LoadContract, TakingContract, suite=True):
    """Buckets: reading, losing, taking over and giving up, and what other callers take out of them."""


class JobContract(
    InsertingContract,
    AssigningContract,
    MarkingContract,
    ReportingContract,
    ArrivingContract,
    CancelContract,
    RescheduleContract,
    LettingGoContract,
    HistoryContract,
    suite=True,
):
    """Jobs, from the first insert to the end."""


class HandoverContract(HandingOverContract, CarryContract, RemoteContract, suite=True):
    """Jobs on their way to agents and back, and requests for them there."""


class QueryContract(FindingContract, MetadataContract, suite=True):
    """Finding, counting and deleting jobs."""


class ScheduleContract(ScheduleKeepingContract, PlanningContract, suite=True):
    """Recurring schedules: storing them, and making their jobs once."""


class TransferContract(
    MovingContract, ReadingToMoveContract, GivingUpContract, AdmittingContract, suite=True
):
    """Moving jobs and schedules from one cluster to another."""


class MasterContract(
    SchemaContract,
    ClusterContract,
    ControlContract,
    MemberContract,
    BucketContract,
    JobContract,
    HandoverContract,
    QueryContract,
    ScheduleContract,
    TransferContract,
    SeparationContract,
    NotificationsContract,
    UnitContract,
    suite=True,
):
    """All requirements for a `MasterRepository`."""


class TransportContract(PushingContract, PullingContract, LeavingContract, suite=True):
    """Requirements for every agent: with messages of its own, or over the master's rows."""


class AgentContract(
    TransportContract,
    CarryingContract,
    UnsavedContract,
    NotingContract,
    DrainingContract,
    DroppingContract,
    SettingAsideContract,
    WithdrawingContract,
    LifeContract,
    AgentSchemaContract,
    AgentNotificationsContract,
    suite=True,
):
    """All requirements for an `AgentRepository` that a provider's `jobmaster_agent` returns."""


class InlineContract(InlineOnlyContract, TransportContract, suite=True):
    """All requirements for a master that `InlineAgent` makes an agent of."""


class EndToEndContract(RunningContract, ManyJobsContract, SurvivingContract, RecurringContract, suite=True):
    """Jobs from the scheduling call to their end, in real clusters on a provider's store."""
