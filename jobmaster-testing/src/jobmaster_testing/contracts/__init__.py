"""The contract suite: a provider is whatever passes it.

A provider's test module imports a contract and says where its store is:

    from jobmaster_testing.contracts import MasterContract

    class TestSqliteMaster(MasterContract):
        @pytest.fixture
        def store_url(self, tmp_path): return f"sqlite:///{tmp_path}/jobs.db"
"""

from jobmaster_testing.contracts.admitting import AdmittingContract
from jobmaster_testing.contracts.agent_schema import AgentNewsContract, AgentSchemaContract
from jobmaster_testing.contracts.arriving import ArrivingContract
from jobmaster_testing.contracts.assigning import AssigningContract
from jobmaster_testing.contracts.base import Contract
from jobmaster_testing.contracts.carrying import CarryingContract
from jobmaster_testing.contracts.clusters import ClusterContract
from jobmaster_testing.contracts.control import ControlContract
from jobmaster_testing.contracts.departing import GivingUpContract
from jobmaster_testing.contracts.draining import DrainingContract, DroppingContract
from jobmaster_testing.contracts.end_to_end import ManyJobsContract, RunningContract
from jobmaster_testing.contracts.handing import HandingOverContract
from jobmaster_testing.contracts.handovers import CarryContract
from jobmaster_testing.contracts.histories import HistoryContract
from jobmaster_testing.contracts.inline import InlineOnlyContract
from jobmaster_testing.contracts.inserting import InsertingContract
from jobmaster_testing.contracts.leaving import LeavingContract
from jobmaster_testing.contracts.letting_go import LettingGoContract
from jobmaster_testing.contracts.lives import LifeContract
from jobmaster_testing.contracts.marking import MarkingContract
from jobmaster_testing.contracts.members import AgentStoreContract
from jobmaster_testing.contracts.metadata import MetadataContract
from jobmaster_testing.contracts.moving import MovingContract, ReadingToMoveContract
from jobmaster_testing.contracts.news import NewsContract
from jobmaster_testing.contracts.owning import OwningContract
from jobmaster_testing.contracts.pulling import PullingContract
from jobmaster_testing.contracts.pushing import PushingContract
from jobmaster_testing.contracts.queries import FindingContract
from jobmaster_testing.contracts.reading import ReadingContract
from jobmaster_testing.contracts.recurring import RecurringContract
from jobmaster_testing.contracts.remote import RemoteContract
from jobmaster_testing.contracts.reporting import ReportingContract
from jobmaster_testing.contracts.requests import CancelContract, RescheduleContract
from jobmaster_testing.contracts.saving import NotingContract, UnsavedContract
from jobmaster_testing.contracts.schedules import PlanningContract, ScheduleKeepingContract
from jobmaster_testing.contracts.schema import SchemaContract
from jobmaster_testing.contracts.separation import SeparationContract
from jobmaster_testing.contracts.surviving import SurvivingContract
from jobmaster_testing.contracts.taking import LoadContract, SettingAsideContract, TakingContract
from jobmaster_testing.contracts.units import UnitContract
from jobmaster_testing.contracts.withdrawing import WithdrawingContract

__all__ = [
    "AgentContract",
    "AgentStoreContract",
    "BucketContract",
    "ClusterContract",
    "Contract",
    "ControlContract",
    "EndToEndContract",
    "HandoverContract",
    "InlineContract",
    "JobContract",
    "MasterContract",
    "NewsContract",
    "QueryContract",
    "ScheduleContract",
    "SchemaContract",
    "SeparationContract",
    "TransferContract",
    "TransportContract",
    "UnitContract",
]


class BucketContract(ReadingContract, OwningContract, LoadContract, TakingContract, suite=True):
    """Buckets: reading, losing, taking over and giving up, and what others take out of them."""


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
    """Jobs on their way to agents and back, and what can be asked about them there."""


class QueryContract(FindingContract, MetadataContract, suite=True):
    """Finding, counting and forgetting jobs."""


class ScheduleContract(ScheduleKeepingContract, PlanningContract, suite=True):
    """Recurring schedules: keeping them, and making their jobs once."""


class TransferContract(
    MovingContract, ReadingToMoveContract, GivingUpContract, AdmittingContract, suite=True
):
    """Moving jobs and schedules from one cluster to another."""


class MasterContract(
    SchemaContract,
    ClusterContract,
    ControlContract,
    AgentStoreContract,
    BucketContract,
    JobContract,
    HandoverContract,
    QueryContract,
    ScheduleContract,
    TransferContract,
    SeparationContract,
    NewsContract,
    UnitContract,
    suite=True,
):
    """All that is required of a `MasterRepository`."""


class TransportContract(PushingContract, PullingContract, LeavingContract, suite=True):
    """What is required of every agent: with messages of its own, or over the master's rows."""


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
    AgentNewsContract,
    suite=True,
):
    """All that is required of an `AgentRepository` that a provider's `jobmaster_agent` returns."""


class InlineContract(InlineOnlyContract, TransportContract, suite=True):
    """All that is required of a master for `InlineAgent` to make an agent of it."""


class EndToEndContract(RunningContract, ManyJobsContract, SurvivingContract, RecurringContract, suite=True):
    """Jobs from the scheduling call to their end, in real clusters on the provider's store."""
