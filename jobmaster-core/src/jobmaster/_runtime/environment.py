"""The environment that all parts of a running cluster share."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import anyio.lowlevel
from attrs import define, field

from jobmaster._flow.handover import HandoverPusher
from jobmaster._flow.storeclock import StoreClock
from jobmaster._policy.liveness import Watch
from jobmaster._policy.sharing import LATE, Silence
from jobmaster._process.signals import Signal
from jobmaster.contracts import MasterRepository, Topics
from jobmaster.errors import ConfigurationError
from jobmaster.ids import new_id
from jobmaster.models import ClusterRecord, Job, JobReceipt, NewJob, Report
from jobmaster.states import ClusterMode, JobStatus

if TYPE_CHECKING:
    from jobmaster._runtime.agents import Agents
    from jobmaster._runtime.destination import Destination
    from jobmaster._runtime.durability import Durability
    from jobmaster._runtime.notifier import Notifier
    from jobmaster._upkeep.keep_static_schedules import Declaration
    from jobmaster.clock import Clock
    from jobmaster.config import Settings
    from jobmaster.handlers import Registry
    from jobmaster.hookspecs import JobObserver
    from jobmaster.plugins import Plugins

LISTENING_POLLS_LESS = 5
"""How many times longer the safety net may wait while notifications arrive."""
SELDOM = 30.0
"""Longest time in seconds between two looks for rare events, while notifications arrive."""


def _host_name() -> str:
    """Return the current name of this host; it may change while a process lives."""
    return socket.gethostname()


@define(eq=False)
class Environment:
    """One cluster in one process."""

    cluster_id: str
    settings: Settings
    plugins: Plugins
    master: MasterRepository
    agents: Agents
    notify: Notifier
    registry: Registry
    """The handlers available in this process."""
    clock: Clock
    durability: Durability
    serves: bool = True
    """Whether this process serves its handlers and their schedules, rather than merely having them imported."""
    mode: ClusterMode = ClusterMode.ACTIVE
    paused_lanes: frozenset[str] = frozenset()
    observers: Sequence[JobObserver] = ()
    declarations: Sequence[Declaration] = ()
    move_to: Destination | None = None
    archive_to: Destination | None = None
    host: str = field(factory=_host_name)
    pid: int = field(factory=os.getpid)
    process_id: UUID = field(factory=new_id)
    waiters: dict[UUID, list[Callable[[], None]]] = field(factory=dict)
    orders: Signal = field(factory=Signal)
    """Set to have this process read its orders from the master."""
    heed: Callable[[], Awaitable[None]] = anyio.lowlevel.checkpoint
    """Reads this process's orders from the master, and returns once it follows them; raises `StoreError`."""
    due_left: bool = False
    """Whether a coordinator of this process left due jobs on the master, for lack of room, when it last looked."""
    assigns: bool = True
    assigns_asked_at: float = float("-inf")
    """Whether a coordinating worker was alive at the last check."""
    renew: Signal = field(factory=Signal)
    """Set to have all leases renewed at once."""
    watch: Watch = field(init=False)
    """How long the master has answered without a break, as seen by the heartbeats."""
    silence: Silence = field(init=False)
    """Which bucket owners are silent."""
    store_clock: StoreClock = field(init=False)
    """What the master's clock may be trusted for."""
    _configured: Settings = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Keep the settings that this process was started with."""
        self._configured = self.settings
        self.watch = Watch(self.clock, self.settings.lease)
        self.silence = Silence(LATE * self.settings.heartbeat)
        self.store_clock = StoreClock(self.cluster_id, self.master, self.clock)

    def record(self) -> ClusterRecord:
        """Return the cluster as this process registers it: with the settings that the process was started with."""
        return ClusterRecord(id=self.cluster_id, mode=self.mode, settings=self._configured.shared())

    def follow(self, cluster: ClusterRecord) -> None:
        """Follow a cluster's mode, lanes, and changed settings; raises `ConfigurationError` for a wrong one."""
        if cluster.damaged:
            msg = (
                f"the row of cluster {cluster.id!r} on the master cannot be read: {cluster.damaged}; correct it there "
                "(changes '{}' and paused_lanes '[]' stand for none)"
            )
            raise ConfigurationError(msg)
        self.mode, self.paused_lanes = cluster.mode, cluster.paused_lanes
        self.settings = self._configured.changed(cluster.changes)

    def suspends(self, lane: str) -> bool:
        """Return whether workers of a lane must run nothing now."""
        return self.mode is not ClusterMode.ACTIVE or lane in self.paused_lanes

    async def close(self) -> None:
        """Close all stores."""
        for destination in (self.move_to, self.archive_to):
            if destination is not None:
                await destination.close()
        await self.agents.close()
        await self.master.close()

    def monotonic(self) -> float:
        """Return monotonic seconds."""
        return self.clock.monotonic()

    @property
    def misfire_grace(self) -> timedelta:
        """Return how late a nominal time may be noticed without counting as missed."""
        return timedelta(seconds=self.settings.misfire_grace)

    def poll_interval(self, notifications: Notifier | None = None) -> float:
        """Return the longest time between two looks for work that `notifications` announces (default: the master's)."""
        factor = LISTENING_POLLS_LESS if (notifications or self.notify).listening else 1
        return self.settings.poll_interval * factor

    def seldom(self, otherwise: float) -> float:
        """Return the longest time between two looks for rare events; `otherwise` without notifications."""
        return max(SELDOM, otherwise) if self.notify.listening else otherwise

    def handover_age(self) -> float:
        """Return the age in seconds at which any process may take over a handover: no push can still be under way."""
        return max(self.settings.lease, 2 * self.settings.store_timeout)

    def handover_pusher(self) -> HandoverPusher:
        """Return the pusher of handovers to the agents of this process."""
        patience = self.handover_age() - self.settings.store_timeout
        return HandoverPusher(self.master.handovers, self.agents, self.clock, patience)

    def tell_bucket(self, agent: str, bucket_id: UUID) -> None:
        """Notify a bucket's owner that the bucket has something new."""
        self.agents.notifications_of(agent).tell(Topics.bucket(bucket_id))

    def jobs_made(self, jobs: Iterable[Job]) -> None:
        """Notify observers of jobs that were made for recurring schedules."""
        for job in jobs:
            receipt = JobReceipt(job_id=job.id, accepted_by="master")
            for observer in self.observers:
                observer.on_scheduled(NewJob(job=job), receipt)

    def reports_written(self, reports: Sequence[Report]) -> None:
        """Send notifications of the work that a batch of reports leaves, and wake callers that wait for a job's end."""
        if any(report.parked for report in reports):
            self.notify.tell(Topics.parked(self.cluster_id))
        if any(report.status is JobStatus.HELD_ON_MASTER and not report.parked for report in reports):
            self.notify.tell(Topics.held(self.cluster_id))
        if self.waiters:
            for report in reports:
                for wake in self.waiters.get(report.job_id, ()):
                    wake()
