"""One run of a cluster in this process, from its start to its stop."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING
from weakref import WeakSet

import anyio

from jobmaster._runtime.background import Background
from jobmaster._runtime.runtime_scope import RuntimeScope
from jobmaster._runtime.start_warnings import warn_of_parked
from jobmaster._runtime.supervisor import Supervisor
from jobmaster._runtime.worker import RunningWorker
from jobmaster._runtime.worker_placement import named, placed
from jobmaster.errors import starting
from jobmaster.forks import end_child, in_forked_child, part_with_event_loops
from jobmaster.loops import start_in
from jobmaster.runtime import Runtime, findable

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment
    from jobmaster.cluster import Cluster
    from jobmaster.config import WorkerSettings

log = logging.getLogger("jobmaster.cluster")

_runs: WeakSet[ClusterRun] = WeakSet()
_NOT_HERE = (
    "jobmaster: a child process returned to the event loop of its parent, which runs a cluster, and was ended; "
    "let it exit with os._exit() or sys.exit(), or start it with multiprocessing"
)


class ClusterRun:
    """Starts a cluster, runs it until it is asked to stop, and stops it, in its own task."""

    def __init__(self, cluster: Cluster, *, workers: bool) -> None:
        self._cluster, self._with_workers = cluster, workers
        self._background = Background(f"jobmaster cluster {cluster.id}", self)
        self._env: Environment | None = None
        self._supervisor: Supervisor | None = None
        self._runtime: Runtime | None = None
        self.scope = RuntimeScope(cluster.id)
        self._left_by: BaseException | None = None
        _runs.add(self)

    # For the cluster

    @property
    def is_on(self) -> bool:
        """Whether it still runs in this process. A forked child only has a copy of its parent's runs."""
        return self.scope.of_this_process and not self._background.ended

    async def start(self) -> Runtime:
        """Start, and return the runtime; raises any error of the start."""
        await self._background.start()
        if self._runtime is None:  # pragma: no cover - a start without a runtime raises
            raise AssertionError
        return self._runtime

    async def stop(self) -> None:
        """Stop, and wait for the end; raises any error since the start. A forked child leaves its parent's run alone.

        Raises `NotRunningError` in another event loop.
        """
        if not self.scope.of_this_process:
            self._left_by = sys.exc_info()[1]
            return
        if not self._background.ended:
            self.scope.check_loop()
        await self._background.stop()

    # In its own task

    async def live(self, background: Background) -> None:
        """Start, run until asked, stop."""
        cluster = self._cluster
        chosen = (
            placed(cluster.workers, [agent.name for agent in cluster.agents]) if self._with_workers else []
        )
        with ExitStack() as files:
            for log_file in cluster.debug_logs:
                files.enter_context(log_file.writing())
            self._env = cluster.environment(serving=bool(chosen))
            try:
                with background.starting(), starting():
                    await cluster.join(self._env, chosen)
                if not background.asked:
                    await self._run(background, self._env, chosen)
            finally:
                with anyio.CancelScope(shield=True):
                    await self._close()

    async def _run(self, background: Background, env: Environment, chosen: Sequence[WorkerSettings]) -> None:
        if not any(worker.mode.coordinates for worker in chosen):
            env.move_to = None
        workers = [RunningWorker(env, name, worker) for name, worker in named(env, chosen)]
        supervisor = self._supervisor = Supervisor(env, workers)
        async with supervisor.running(background.stopped) as group:
            runtime = self._runtime = Runtime(self._cluster, env, supervisor, group, self.scope)
            with background.starting(), anyio.move_on_after(env.settings.store_timeout):
                await runtime.workers_ready()
            if chosen:
                start_in(group, warn_of_parked, env)
            with findable(runtime):
                await background.until_asked()

    async def _close(self) -> None:
        env, self._env = self._env, None
        if env is not None:
            await env.close()

    def cut_short(self) -> None:
        """All tasks of the event loop are being cancelled."""
        if self.scope.of_this_process and self._supervisor is not None:
            self._supervisor.cut_short()

    def hurry(self) -> None:
        """End faster: the stop was requested again while it is stopping."""
        if self._supervisor is not None:
            self._supervisor.hurry()

    async def abandon(self) -> None:
        """Close the stores although some handlers ignore the stop and still run."""
        log.warning("cluster %s: handlers ignored the stop; it abandons them", self._cluster.id)
        await self._close()

    def forked(self) -> None:
        """This is a child of the process that runs the cluster: nothing may be done twice."""
        if self._background.ended or not self.scope.in_its_thread:
            return
        if self._supervisor is not None:
            self._supervisor.begin_nothing_more()
        part_with_event_loops()
        self.scope.call_in_child(self._end_child)

    def _end_child(self) -> None:
        leaving = self._left_by or sys.exc_info()[1]
        if not isinstance(leaving, SystemExit):
            leaving = SystemExit(_NOT_HERE)
        end_child(leaving)

    def over(self, failure: BaseException | None) -> None:
        """The run has ended: its runtime refuses calls from now on."""
        self.scope.end(failure)
        if self._runtime is not None:
            if failure is not None:
                log.critical("cluster %s has failed and no longer runs", self._cluster.id, exc_info=failure)
            self._runtime.over.set()


def _in_forked_child() -> None:
    for run in list(_runs):
        run.forked()


in_forked_child(_in_forked_child)
