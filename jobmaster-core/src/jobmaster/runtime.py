"""`Runtime`: a running cluster, and the registry of those in this process."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from jobmaster._runtime.destination import Destination
from jobmaster._runtime.durability import all_risks
from jobmaster._runtime.environment import Environment
from jobmaster._runtime.mover import Move
from jobmaster._runtime.runtime_scope import RuntimeScope
from jobmaster._runtime.supervisor import Supervisor
from jobmaster._upkeep.move_cluster import MoveResult
from jobmaster._verbs.cluster_calls import ClusterCalls
from jobmaster._verbs.control_verbs import ControlVerbs
from jobmaster.config.targets import MoveTarget
from jobmaster.contracts import DurabilityRisk, MasterRepository
from jobmaster.errors import ConfigurationError, NotRunningError
from jobmaster.jobs import Jobs
from jobmaster.loops import in_a_loop, start_in
from jobmaster.models import AgentRecord, Bucket, HostRecord, WorkerRecord
from jobmaster.moves import MoveSummary
from jobmaster.scheduler import Scheduler
from jobmaster.schedules import Schedules

if TYPE_CHECKING:
    from jobmaster.cluster import Cluster

_running: dict[str, list[Runtime]] = {}
"""The runtimes of this process by cluster id, the newest last."""


class Runtime(ControlVerbs):
    """A running cluster. `scheduler` schedules and changes, `jobs` and `schedules` read.

    The methods of `ControlVerbs` control the cluster itself.
    """

    def __init__(
        self,
        cluster: Cluster,
        env: Environment,
        supervisor: Supervisor,
        group: TaskGroup,
        scope: RuntimeScope,
    ) -> None:
        self.cluster = cluster
        self.id = cluster.id
        self.scope = scope
        self.over = anyio.Event()
        """Set when the cluster has stopped, or failed."""
        self._environment = env
        self._supervisor = supervisor
        self._control = supervisor.control
        self._group = group
        self._calls = ClusterCalls(env, scope, self._in_background)
        self.scheduler = Scheduler(self._calls, find_calls)
        self.jobs = Jobs(env, scope)
        self.schedules = Schedules(env, scope)

    def _in_background(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        start_in(self._group, work)

    @property
    def master(self) -> MasterRepository:
        """The master's repository, for tools and tests."""
        return self._environment.master

    async def workers_ready(self) -> None:
        """Wait until every worker of this process takes jobs, and its static schedules are registered.

        Raises `NotRunningError` if the cluster stops before that.
        """
        supervisor = self._supervisor
        await self._all_of([*(worker.ready for worker in supervisor.workers), supervisor.declared])

    async def workers_stopped(self) -> None:
        """Wait until every worker of this process was asked to stop, and has stopped; without workers, forever.

        Raises `NotRunningError` if the cluster ends in another way, for example by a failure.
        """
        workers = self._supervisor.workers
        await self._all_of([worker.stopped for worker in workers] or [anyio.Event()])

    async def _all_of(self, events: Iterable[anyio.Event]) -> None:
        """Wait for events; raises `NotRunningError` if the cluster is over before they are all set."""
        self.scope.check()
        async with anyio.create_task_group() as group:
            group.start_soon(self._cancel_when_over, group.cancel_scope)
            for event in events:
                await event.wait()
            group.cancel_scope.cancel()
            return
        self.scope.check()

    async def _cancel_when_over(self, scope: anyio.CancelScope) -> None:
        await self.over.wait()
        scope.cancel()

    async def list_workers(self) -> list[WorkerRecord]:
        """Return the cluster's workers, the newest first."""
        return list(await self._env.master.workers.list_all(self.id))

    async def list_buckets(self) -> list[Bucket]:
        """Return the cluster's buckets."""
        return list(await self._env.master.buckets.list_all(self.id))

    async def list_agents(self) -> list[AgentRecord]:
        """Return the cluster's agents by name; none for a standalone cluster."""
        return list(await self._env.master.members.list_agents(self.id))

    async def list_hosts(self) -> list[HostRecord]:
        """Return the hosts that workers of the cluster run on, by name."""
        return list(await self._env.master.members.list_hosts(self.id))

    async def durability_risks(self) -> dict[str, Sequence[DurabilityRisk]]:
        """Return the settings with which stores may lose accepted jobs, by store: `master` or an agent's name.

        Agents that this process cannot reach now are left out. What can be detected depends on the provider.
        """
        return await all_risks(self._env.master, self._env.agents)

    async def move(
        self,
        target: MoveTarget | None = None,
        *,
        patience: float = 60.0,
        on_moved: Callable[[MoveResult], None] = lambda _: None,
    ) -> MoveSummary:
        """Move the whole cluster, and return a summary. It can be repeated, regardless of the result.

        The cluster's mode becomes `migrating`, and stays so: jobs that are scheduled here later wait here.

        Args:
            target: what `Cluster.target` returns; by default the target of `Cluster.move_to`.
            patience: how many seconds to wait for jobs that workers have in flight.
            on_moved: called for each batch that has moved.

        Raises:
            ConfigurationError: there is no target, or the wrong one. Nothing was changed.
            StoreUnavailableError: a database cannot be reached; everything that has not moved is still here.

        """
        env, wanted = self._env, target or self.cluster.move_target
        if wanted is None:
            msg = "move_to: no target is given; name it with Cluster.move_to(url), or pass one"
            raise ConfigurationError(msg)
        destination = Destination(env.cluster_id, env.master, wanted, env.plugins, env.settings)
        try:
            return await Move(env, destination, self.set_mode, patience, on_moved).run()
        finally:
            with anyio.CancelScope(shield=True):
                await destination.close()

    @contextmanager
    def _open(self) -> Iterator[None]:
        directory = self._calls.directory
        topic = f"l:{self.id}"
        with self._environment.notify.subscribed(topic, directory.invalidate, exact=True):
            try:
                yield
            finally:
                self.scope.end()


@contextmanager
def findable(runtime: Runtime) -> Iterator[None]:
    """Let scheduling calls of this process find a runtime by its cluster's id, while it is open."""
    runtimes = _running.setdefault(runtime.id, [])
    runtimes.append(runtime)
    try:
        with runtime._open():  # noqa: SLF001 - same module
            yield
    finally:
        runtimes.remove(runtime)
        if not runtimes and _running.get(runtime.id) is runtimes:
            del _running[runtime.id]


def find_runtime(cluster_id: str) -> Runtime:
    """Return the runtime of a cluster that runs in this process; in an event loop, one of that loop.

    Raises `NotRunningError` if there is none.
    """
    runtimes = _running.get(cluster_id, [])
    here = [found for found in runtimes if found.scope.of_this_process]
    if in_a_loop():
        here = [found for found in here if found.scope.of_this_loop]
    if here:
        return here[-1]
    if runtimes:
        runtimes[-1].scope.check()
    known = ", ".join(sorted(name for name, found in _running.items() if found)) or "none"
    msg = f"cluster {cluster_id!r} does not run in this process (running here: {known})"
    raise NotRunningError(msg)


def find_calls(cluster_id: str) -> ClusterCalls:
    """Return the calls of a cluster that runs in this process; raises `NotRunningError`."""
    return find_runtime(cluster_id)._calls  # noqa: SLF001 - same module


def handlers_at_work(runtime: Runtime) -> list[str]:
    """Return the definition ids of the running jobs, each once: from any thread, and without a lock."""
    return runtime._supervisor.at_work()  # noqa: SLF001 - same module
