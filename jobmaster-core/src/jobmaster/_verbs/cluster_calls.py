"""What the public verbs do once they know the cluster."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from jobmaster._pipeline.schedule import Schedule
from jobmaster._runtime.cluster_view import cluster_view
from jobmaster._runtime.directory import Directory, InBackground
from jobmaster._runtime.job_commands import JobCommands
from jobmaster._runtime.job_router import MASTER, JobRouter
from jobmaster._verbs.recurring_calls import RecurringCalls
from jobmaster.errors import ClusterArchivedError
from jobmaster.states import ClusterMode

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment
    from jobmaster._runtime.runtime_scope import RuntimeScope
    from jobmaster.definitions import JobRequest
    from jobmaster.models import JobReceipt


class ClusterCalls:
    """The calls of one running cluster: scheduling, and changing jobs and schedules.

    Attributes:
        env: the cluster's environment.
        directory: the view of active buckets by which jobs are placed.
        commands: changes of jobs.
        recurring: recurring schedules.

    """

    def __init__(self, env: Environment, scope: RuntimeScope, in_background: InBackground) -> None:
        self.env, self._scope = env, scope
        self._schedule = Schedule(env.cluster_id, lambda: env.settings, env.clock)
        self.directory = Directory(lambda: cluster_view(env), env.monotonic, in_background)
        self.router = JobRouter(env, self.directory)
        self.commands = JobCommands(env)
        self.recurring = RecurringCalls(env, self._schedule)

    def check_open(self) -> None:
        """Raise `NotRunningError` or `ClusterArchivedError` unless the cluster takes calls."""
        self._scope.check()
        if self.env.mode is ClusterMode.ARCHIVED:
            raise ClusterArchivedError(self.env.cluster_id)

    def submit(self, requests: Sequence[JobRequest]) -> Awaitable[Sequence[JobReceipt]]:
        """Check requests and store their jobs, all or none; return (to be awaited) the receipts in order."""
        jobs = self._schedule.jobs(requests)
        wanted = self.env.agents.distributed and any(r.options.confirm == MASTER for r in requests)
        return self.router.store(jobs, on_master=wanted)
