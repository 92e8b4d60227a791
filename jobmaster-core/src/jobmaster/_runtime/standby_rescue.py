"""Bring back what dead workers held, in a cluster whose workers stand still."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from jobmaster._upkeep.orphaned_messages import OrphanedMessages
from jobmaster._upkeep.rescue import Rescue
from jobmaster.config import DEFAULT_LANE
from jobmaster.ids import new_id
from jobmaster.models import STANDALONE, WorkerRecord
from jobmaster.states import WorkerMode
from jobmaster.version import __version__

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment


@define(eq=False)
class StandbyRescue:
    """Rescues as a worker does, but registers a worker only when there is something to rescue.

    Jobs that cannot be rescued because their agent is away are looked at again after a lease.
    """

    env: Environment
    _next: float = field(default=0.0, init=False)

    async def run_once(self) -> None:
        """Hold again all jobs that lie in buckets without an owner."""
        env = self.env
        if env.monotonic() < self._next:
            return
        if env.agents.distributed:
            await OrphanedMessages(env.cluster_id, env.master, env.agents).run_once()
        if await env.master.rescue.is_needed(env.cluster_id):
            self._next = env.monotonic() + env.settings.lease
            await self._rescue(_worker(env))

    async def _rescue(self, worker: WorkerRecord) -> None:
        env = self.env
        await env.master.workers.register(worker, [], env.settings.lease)
        rescue = Rescue(
            cluster_id=env.cluster_id,
            master=env.master,
            agents=env.agents,
            clock=env.clock,
        )
        try:
            while (await rescue.run_once(worker.id)).found:
                await env.master.workers.heartbeat([worker.id], {}, env.settings.lease)
        finally:
            await env.master.workers.retire(worker.id)


def _worker(env: Environment) -> WorkerRecord:
    return WorkerRecord(
        id=new_id(),
        cluster_id=env.cluster_id,
        name=f"{env.host.split('.')[0]}-{env.pid}-mover",
        agent=STANDALONE,
        lane=DEFAULT_LANE,
        mode=WorkerMode.DRAIN,
        host=env.host,
        process_id=env.process_id,
        pid=env.pid,
        version=__version__,
    )
