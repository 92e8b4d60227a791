"""The rescuing duties of a process: take over from dead workers, and bring back what they left on agents."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from jobmaster._runtime.service import Service
from jobmaster._text.logtext import counted
from jobmaster._upkeep.handovers import Handovers
from jobmaster._upkeep.orphaned_messages import OrphanedMessages
from jobmaster._upkeep.rescue import Rescue, RescueResult
from jobmaster.contracts import Topics

if TYPE_CHECKING:
    from jobmaster._process.signals import Signal
    from jobmaster._runtime.environment import Environment
    from jobmaster._runtime.local_workers import LocalWorkers

log = logging.getLogger("jobmaster.cluster")

SOON_AFTER: Final = 2.0
"""Seconds after notifications of gone buckets, by which late pushes to them have arrived."""


def rescuing(env: Environment, local_workers: LocalWorkers, needed: Signal) -> Service:
    """Return the service that takes over the buckets of workers with expired leases; `needed` says when to look."""

    async def may_judge() -> bool:
        await env.store_clock.look()
        return env.store_clock.is_calm(env.settings.lease)

    rescue = Rescue(
        cluster_id=env.cluster_id,
        master=env.master,
        agents=env.agents,
        clock=env.clock,
        may_judge=may_judge,
    )

    async def tick() -> float | None:
        result = await rescue.run_once(local_workers.rescuer())
        if not result.found:
            return env.settings.heartbeat if rescue.unfinished else None
        _log(result)
        env.notify.tell(Topics.held(env.cluster_id), Topics.buckets(env.cluster_id))
        return 0.0

    return Service("rescue", tick, wake=needed, longest_pause=env.settings.heartbeat)


def _log(result: RescueResult) -> None:
    log.warning(
        "rescued %s: %s may have been running, %d waited, %s orphaned",
        counted(result.buckets, "bucket"),
        counted(result.lost, "job"),
        result.released,
        counted(result.orphans, "was", "were"),
    )


def bringing_back(env: Environment, local_workers: LocalWorkers) -> Service:
    """Return the service that brings back jobs from buckets on agents that no worker reads.

    It looks soon after notifications of gone buckets: a process that did not know yet may have pushed to them.
    """
    step = OrphanedMessages(env.cluster_id, env.master, env.agents)
    look_at = env.monotonic()

    async def tick() -> float | None:
        nonlocal look_at
        if (now := env.monotonic()) < look_at:  # there are notifications
            look_at = min(look_at, now + SOON_AFTER)
            return look_at - now
        found = await step.run_once() if local_workers.rescuer() else 0
        if found:
            log.warning("brought back %s from buckets that no worker reads", counted(found, "job"))
            env.notify.tell(Topics.held(env.cluster_id))
        unheard = 2 * env.settings.poll_interval
        every = env.settings.lease if env.notify.listening else min(unheard, env.settings.lease)
        look_at = env.monotonic() + every
        return every

    return Service("orphaned_messages", tick, topics=[Topics.buckets(env.cluster_id)])


def handing_over(env: Environment, local_workers: LocalWorkers) -> Service:
    """Return the service that finishes handovers left by their pushers."""
    step = Handovers(
        env.cluster_id,
        env.master.handovers,
        env.master.buckets,
        env.handover_pusher(),
        env.handover_age(),
        env.clock,
    )

    async def tick() -> float | None:
        for bucket_id, agent in (await step.run_once(local_workers.pusher_id())).items():
            env.tell_bucket(agent, bucket_id)
        return env.settings.lease

    return Service("handovers", tick)
