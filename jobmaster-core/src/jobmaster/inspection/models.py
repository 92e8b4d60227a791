"""What a cluster looks like now: plain records of what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from attrs import field, frozen

from jobmaster._policy.placement import Place
from jobmaster._runtime.durability import lines
from jobmaster._runtime.start_warnings import NO_HANDLERS, parked_line
from jobmaster.contracts import Backlog, DurabilityRisk
from jobmaster.models import (
    AgentRecord,
    Bucket,
    ClusterRecord,
    HostRecord,
    JobRecord,
    WorkerRecord,
)
from jobmaster.recurrence import Recurrence, upcoming
from jobmaster.schedule_models import ScheduleRecord
from jobmaster.states import BucketStatus, ClusterMode, JobStatus, WorkerStatus

RUNNING = frozenset({WorkerStatus.ACTIVE, WorkerStatus.STOPPING})

Backlogs = Mapping[UUID, Backlog]


@frozen(kw_only=True)
class AgentSnapshot:
    """An agent: its record on the master, the content of its buckets, or why that is unknown."""

    record: AgentRecord
    backlogs: Backlogs | None = None
    problem: str | None = None
    risks: Sequence[DurabilityRisk] = ()

    @property
    def messages(self) -> int | None:
        """The number of its messages."""
        return None if self.backlogs is None else sum(one.messages for one in self.backlogs.values())

    @property
    def save_pending(self) -> int | None:
        """The number of those whose jobs the master does not know yet."""
        return None if self.backlogs is None else sum(one.save_pending for one in self.backlogs.values())

    @property
    def oldest_save_pending(self) -> float | None:
        """The age of the oldest of those in seconds."""
        ages = [one.oldest_save_pending for one in (self.backlogs or {}).values()]
        return max((age for age in ages if age is not None), default=None)


@frozen
class Lane:
    """A lane: whether it is paused, and how many running workers serve it."""

    name: str
    paused: bool
    workers: int


@frozen(kw_only=True)
class Snapshot:
    """A cluster at one moment, `now` by its master's clock."""

    now: datetime
    cluster: ClusterRecord
    jobs: Mapping[JobStatus, int]
    """Including those that only an agent knows, if it could be reached."""
    workers: Sequence[WorkerRecord]
    buckets: Sequence[Bucket]
    agents: Sequence[AgentSnapshot] = ()
    hosts: Sequence[HostRecord] = ()
    due: frozenset[Place] = frozenset()
    """Lanes and priorities of held jobs that are due."""
    holdings: Mapping[UUID, int] = field(factory=dict)
    """Unfinished jobs by bucket, as the master knows them."""
    known_waiting: Mapping[str, int] = field(factory=dict)
    """Jobs that are due and do not run, by lane, as the master knows them."""
    pending: Sequence[str] = ()
    """Names of pending migrations."""
    parked: int = 0
    some_parked: Sequence[JobRecord] = ()
    """How many jobs wait for a handler, and the newest of them."""
    without_handlers: frozenset[str] = frozenset()
    """Ids of workers that reported that they have no handlers."""
    volatile: Sequence[str] = ()
    """Warnings about stores in memory."""
    risks: Mapping[str, Sequence[DurabilityRisk]] = field(factory=dict)
    """The settings with which stores may lose accepted jobs, by store, as far as the stores could be reached."""

    @property
    def waiting_by_lane(self) -> Mapping[str, int]:
        """Due jobs that do not run, by lane, including those that only an agent knows, if it could be reached."""
        found = Counter(self.known_waiting)
        for bucket in self.buckets:
            for agent in self.agents:
                if agent.record.name == bucket.agent and bucket.id in (agent.backlogs or {}):
                    found[bucket.lane] += (agent.backlogs or {})[bucket.id].save_pending
        return +found

    def is_alive(self, worker: WorkerRecord) -> bool:
        """Whether a worker runs and its lease has not run out."""
        in_time = worker.lease_until is not None and worker.lease_until >= self.now
        return worker.status in RUNNING and in_time

    def is_suspended(self, worker: WorkerRecord) -> bool:
        """Whether a live worker must not run jobs, because of the cluster's mode or its lane."""
        rests = self.cluster.mode is not ClusterMode.ACTIVE or worker.lane in self.cluster.paused_lanes
        return rests and worker.mode.executes and self.is_alive(worker)

    def listed(self, *, every: bool) -> list[WorkerRecord]:
        """Return the running workers; with `every` also ended ones, but not the former sessions of one process.

        A worker that suspends, resumes or has lost its lease begins a new session, which is a separate registration.
        """
        newest: set[tuple[str, str, int]] = set()
        found = []
        for worker in sorted(self.workers, key=lambda one: one.status not in RUNNING):
            place = (worker.name, worker.host, worker.pid)
            if worker.status in RUNNING or (every and place not in newest):
                found.append(worker)
            newest.add(place)
        return found

    def age(self, moment: datetime | None) -> float | None:
        """Return the seconds since a moment."""
        return None if moment is None else (self.now - moment).total_seconds()

    def messages(self, bucket: Bucket) -> int | None:
        """Return how many jobs are in a bucket; None if its agent was not asked."""
        if not bucket.is_on_agent:
            return self.holdings.get(bucket.id, 0)
        agent = next((one for one in self.agents if one.record.name == bucket.agent), None)
        if agent is None or agent.backlogs is None:
            return None
        return agent.backlogs[bucket.id].messages if bucket.id in agent.backlogs else 0

    def waiting(self, bucket: Bucket) -> int | None:
        """Return how many jobs in a bucket do not run, by its owner's last report; None if its agent was not asked."""
        messages = self.messages(bucket)
        return None if messages is None else max(0, messages - bucket.running)

    def found_buckets(
        self, *, every: bool = False, lane: str | None = None, agent: str | None = None
    ) -> list[Bucket]:
        """Return the buckets of a lane, on an agent; with `every` also empty ones that are ready to be deleted."""
        return [
            one
            for one in self.buckets
            if (every or one.status is not BucketStatus.READY_TO_DELETE)
            and lane in (None, one.lane)
            and agent in (None, one.agent)
        ]

    def lanes(self) -> list[Lane]:
        """Return the lanes that running workers serve, and the paused lanes, by name."""
        served = [w.lane for w in self.workers if w.status in RUNNING and w.mode.executes]
        paused = self.cluster.paused_lanes
        return [Lane(lane, lane in paused, served.count(lane)) for lane in sorted({*served, *paused})]

    @property
    def unfinished(self) -> int:
        """How many jobs have not reached a terminal state."""
        return sum(count for status, count in self.jobs.items() if not status.is_terminal)

    def warnings(self) -> list[str]:
        """Return what an operator should look at."""
        found = [*self._of_the_cluster(), *self._of_workers(), *self._of_places(), *self._of_agents()]
        return [*found, *lines(self.risks), *self.volatile]

    def unserved(self) -> frozenset[Place]:
        """Return the lanes and priorities that have due jobs and no active bucket, without paused lanes."""
        alive = {worker.id for worker in self.workers if self.is_alive(worker)}
        active = [b for b in self.buckets if b.status is BucketStatus.ACTIVE and b.worker_id in alive]
        missing = self.due - {(bucket.lane, bucket.priority) for bucket in active}
        return frozenset(place for place in missing if place[0] not in self.cluster.paused_lanes)

    def _of_the_cluster(self) -> Iterator[str]:
        if self.pending:
            yield f"migrations are pending ({', '.join(self.pending)}); run `jobmaster migrate`"
        if self.cluster.mode is not ClusterMode.ACTIVE:
            yield f"the cluster is {self.cluster.mode}: no jobs run"
        if self.cluster.paused_lanes:
            yield f"paused lanes: {', '.join(sorted(self.cluster.paused_lanes))}; their jobs wait"

    def _of_workers(self) -> Iterator[str]:
        alive = [worker for worker in self.workers if self.is_alive(worker)]
        if not alive:
            yield f"no worker is alive; unfinished jobs: {self.unfinished:,}"
        if alive and not any(worker.mode.coordinates for worker in alive):
            yield "no worker coordinates: held jobs stay where they are; start a full or coordinator worker"
        if alive and not any(worker.mode.executes for worker in alive):
            yield "no worker runs jobs: they wait; start a full or execution worker"
        for worker in alive:
            if str(worker.id) in self.without_handlers:
                yield f"worker {worker.name}: {NO_HANDLERS}"
        expired = [w.name for w in self.workers if w.status in RUNNING and not self.is_alive(w)]
        if expired:
            rescued = any(worker.mode.rescues for worker in alive)
            then = (
                "a live worker will take over its jobs"
                if rescued
                else "start a full, coordinator or drain worker to bring its jobs back"
            )
            yield f"the lease of {', '.join(expired)} has run out; {then}"

    def _of_places(self) -> Iterator[str]:
        """Name the jobs that wait for a worker to start, while other jobs of the cluster may run."""
        if line := parked_line(self.some_parked, self.parked):
            yield line
        unserved = self.unserved()
        if self.cluster.mode is not ClusterMode.ACTIVE or not unserved:
            return
        for lane in sorted({lane for lane, _ in unserved}):
            priorities = sorted((priority for one, priority in unserved if one == lane), reverse=True)
            names = ", ".join(priority.name for priority in priorities)
            yield f"no worker serves lane {lane} ({names}), and it has due jobs; start a worker with lane={lane!r}"

    def _of_agents(self) -> Iterator[str]:
        for agent in self.agents:
            if agent.problem:
                yield f"agent {agent.record.name}: {agent.problem}"


@frozen
class JobPage:
    """A page of jobs, the newest first, without attempts.

    Args:
        jobs: the jobs.
        next: the id of the last job if there may be more; a query with `after` this id returns the next page.
        notes: for a page without jobs, a note for each unknown name in the query: it may be misspelled.

    """

    jobs: Sequence[JobRecord]
    next: UUID | None = None
    notes: Sequence[str] = ()


@frozen
class Times:
    """When something fires next, on the clock of a zone, and a description in plain English.

    `problem` says why this process cannot determine it.
    """

    zone: ZoneInfo
    next: Sequence[datetime] = ()
    description: str = ""
    problem: str = ""


@frozen
class Preview:
    """An expression as it was read, and its times."""

    kind: str
    text: str
    times: Times

    @classmethod
    def of(cls, made: Recurrence, zone: ZoneInfo, start: datetime, count: int) -> Preview:
        """Return the preview of the first `count` times after a start."""
        found = upcoming(made, start, start, count)
        return cls(made.kind, made.text, Times(zone, found, made.describe()))


@frozen
class SchedulePage:
    """A page of schedules by descending id.

    Args:
        schedules: the schedules.
        next: the id of the last schedule if there may be more; a query with `after` this id returns the next page.
        notes: for a page without schedules, a note if the handler in the query is unknown: it may be misspelled.

    """

    schedules: Sequence[ScheduleRecord]
    next: UUID | None = None
    notes: Sequence[str] = ()
