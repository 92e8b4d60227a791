"""Work of a process besides its workers, whatever their duties: join agents, renew leases, prune."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobmaster._runtime.durability import LOOK_EVERY, stores_of
from jobmaster._runtime.service import SHORT_PAUSE, Service
from jobmaster._upkeep.heartbeat import Heartbeat
from jobmaster._upkeep.prune import Prune
from jobmaster.states import ClusterMode

if TYPE_CHECKING:
    from jobmaster._process.signals import Signal
    from jobmaster._runtime.environment import Environment
    from jobmaster._runtime.local_workers import LocalWorkers

PRUNE_EVERY = 300.0
"""Seconds between two looks for jobs and schedules past their retention."""


def joining(env: Environment) -> Service:
    """Return the service that joins agents that were away at the start."""

    async def tick() -> float | None:
        return await env.agents.join_missing(migrate=env.settings.auto_migrate)

    return Service("join agents", tick)


def looking_at_durability(env: Environment) -> Service:
    """Return the service that checks now and then whether the stores are still durable; the start has just done so."""
    began = env.monotonic()

    async def tick() -> float | None:
        if env.monotonic() - began >= LOOK_EVERY / 2:
            await env.durability.look(stores_of(env.master, env.agents))
        return LOOK_EVERY

    return Service("durability", tick)


def renewing(env: Environment, local_workers: LocalWorkers, rescue_needed: Signal) -> Service:
    """Return the service that renews the leases of all workers, fences those that lost theirs, and reports work to do."""
    beat = Heartbeat(
        cluster_id=env.cluster_id,
        workers=env.master.workers,
        holders=local_workers,
        duration=env.settings.lease,
        clock=env.clock,
        on_rescue=rescue_needed.set,
    )

    async def tick() -> float | None:
        try:
            renewed = await beat.run_once()
        except BaseException:
            env.watch.broken()
            raise
        if renewed:
            env.watch.seen()
        return env.settings.heartbeat

    pause = min(SHORT_PAUSE, env.settings.heartbeat)
    return Service("heartbeat", tick, wake=env.renew, longest_pause=pause)


def pruning(env: Environment) -> Service:
    """Return the service that deletes jobs and schedules past their retention."""
    archived = env.archive_to is not None
    master = env.master
    prune = Prune(
        env.cluster_id,
        master.jobs,
        master.schedules,
        master.workers,
        env.store_clock,
        env.settings.retention,
        archived=archived,
    )

    async def tick() -> float | None:
        if env.mode is ClusterMode.ARCHIVED:
            return None
        prune.retention = env.settings.retention
        return prune.wait(await prune.run_once())

    return Service("prune", tick, lambda: PRUNE_EVERY)
