"""The contract of the master: the source of truth and the audit trail.

Every hot method takes and returns sequences. Every call is one short unit of work: it commits before it returns, has
its own deadline, and leaves nothing behind when it raises. `StoreUnavailableError` means "not known to have happened":
every method may be called again with the same arguments.

A job is in exactly one of two places: it has a *live row* (it waits or runs) or its last attempt record is
*final* (succeeded, failed, cancelled). Attempt records are only ever appended.
"""

from __future__ import annotations

from attrs import define, field

from jobmaster.contracts.assignments import AssignmentStore
from jobmaster.contracts.buckets import BucketStore
from jobmaster.contracts.claims import ClaimStore
from jobmaster.contracts.clusters import ClusterStore
from jobmaster.contracts.control import ControlStore
from jobmaster.contracts.handovers import HandoverStore
from jobmaster.contracts.jobs import JobStore
from jobmaster.contracts.logs import LogStore
from jobmaster.contracts.members import MemberStore
from jobmaster.contracts.notifications import NotificationChannel
from jobmaster.contracts.outcomes import OutcomeStore
from jobmaster.contracts.repository import Repository
from jobmaster.contracts.requests import RequestStore
from jobmaster.contracts.rescue import RescueStore
from jobmaster.contracts.schedules import ScheduleStore
from jobmaster.contracts.schema import NoSchema, SchemaStore
from jobmaster.contracts.transfers import TransferStore
from jobmaster.contracts.workers import WorkerStore


@define(kw_only=True, eq=False, repr=False, slots=False)
class MasterRepository(Repository):
    """A master: one URL, any number of clusters, and a store for each part of the contract.

    A provider subclasses it, passes its stores to `super().__init__`, and implements `Repository`.

    Attributes:
        clusters: clusters and their settings.
        members: the agents and hosts of clusters.
        control: what operators change while a cluster runs.
        workers: workers and their leases.
        buckets: buckets as a whole.
        claims: reading buckets of the master's own rows.
        rescue: what was left behind by lost workers.
        jobs: inserting and querying jobs.
        assignments: held jobs on their way into buckets of the master's own rows.
        handovers: held jobs on their way into buckets on agents.
        outcomes: what owners record about jobs in flight.
        requests: what users ask for existing jobs.
        schedules: recurring schedules.
        transfers: moving jobs and schedules between clusters.
        logs: log lines about workers, buckets and clusters.
        notifications: the channel to other processes.
        schema: the tables and their migrations.

    """

    clusters: ClusterStore
    members: MemberStore
    control: ControlStore
    workers: WorkerStore
    buckets: BucketStore
    claims: ClaimStore
    rescue: RescueStore
    jobs: JobStore
    assignments: AssignmentStore
    handovers: HandoverStore
    outcomes: OutcomeStore
    requests: RequestStore
    schedules: ScheduleStore
    transfers: TransferStore
    logs: LogStore
    notifications: NotificationChannel
    schema: SchemaStore = field(factory=NoSchema)
