"""What a process does whose workers rescue: take over from the dead, and bring back what they left on agents."""

from __future__ import annotations

import logging

from jobmaster._runtime.crew import Crew
from jobmaster._runtime.environment import Environment
from jobmaster._runtime.service import Service
from jobmaster._upkeep.handovers import Handovers
from jobmaster._upkeep.rescue import Rescue, RescueResult
from jobmaster._upkeep.strays import Strays
from jobmaster.contracts import Topics
from jobmaster.signals import Signal

log = logging.getLogger("jobmaster.cluster")


def rescuing(env: Environment, crew: Crew, needed: Signal) -> Service:
    """Return what takes over the buckets of workers whose leases have run out; `needed` says when to look."""
    rescue = Rescue(
        cluster_id=env.cluster_id,
        master=env.master,
        agents=env.agents,
        reachable=env.agents.reachable,
        rescuer=crew.rescuer,
        now=env.clock.now,
        on_away=env.agents.leave_alone,
        monotonic=env.monotonic,
    )

    async def tick() -> float | None:
        result = await rescue.run_once()
        if not result.found:
            return env.settings.heartbeat if rescue.unfinished else None
        _log(result)
        env.notify.tell(Topics.held(env.cluster_id), Topics.buckets(env.cluster_id))
        return 0.0

    return Service("rescue", tick, wake=needed, longest_pause=env.settings.heartbeat)


def _log(result: RescueResult) -> None:
    log.warning(
        "rescued %d buckets: %d jobs may have been running, %d waited, %d were stray",
        result.buckets,
        result.lost,
        result.released,
        result.orphans,
    )


def bringing_back(env: Environment, crew: Crew) -> Service:
    """Return what brings back jobs from buckets on agents that nobody reads."""
    step = Strays(env.cluster_id, env.master, env.agents)

    async def tick() -> float | None:
        found = await step.run_once() if crew.rescuer() else 0
        if found:
            log.warning("brought back %d jobs that lay in buckets nobody reads", found)
            env.notify.tell(Topics.held(env.cluster_id))
        return env.settings.lease

    return Service("strays", tick)


def handing_over(env: Environment, crew: Crew) -> Service:
    """Return what finishes handovers whose carriers did not."""
    step = Handovers(env.cluster_id, env.master, env.carrier(), crew.carrier_id, env.handover_age())

    async def tick() -> float | None:
        for bucket_id, agent in (await step.run_once()).items():
            env.tell_bucket(agent, bucket_id)
        return env.settings.lease

    return Service("handovers", tick)
