"""The coordinating duties of a process: assign due jobs, and keep recurring schedules going."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import anyio

from jobmaster._pipeline.assign import Assign
from jobmaster._policy.placement import BINDS_AHEAD
from jobmaster._policy.refill import Refills
from jobmaster._runtime.service import LONGEST_PAUSE, NOTIFICATION_SPACING, Service
from jobmaster._upkeep.keep_static_schedules import KeepStaticSchedules
from jobmaster._upkeep.plan_schedules import PlanResult, PlanSchedules
from jobmaster.contracts import Topics
from jobmaster.states import ClusterMode, WorkerMode

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment
    from jobmaster._runtime.fallback import Shortage
    from jobmaster._runtime.local_workers import LocalWorkers

LONGEST_LOOK = 1.0
"""Longest wait in seconds that means due jobs were left for lack of room, rather than for lack of any bucket."""
LONGEST_HORIZON = 120.0
"""Most seconds ahead of their time that jobs of recurring schedules are made."""
DECLARATION_LEASES = 4
"""How many leases the declaration of a static schedule outlives its process, so that a deployment changes nothing."""
UNCHANGING = frozenset({ClusterMode.ARCHIVED, ClusterMode.MIGRATING})
"""Cluster modes in which static schedules are left as they are."""


# Assigning


def assigning(env: Environment, local_workers: LocalWorkers, shortage: Shortage) -> Service:
    """Return the service that puts due jobs into buckets, and notes when there is no room for them."""
    step = _assign(env, local_workers)

    async def tick() -> float | None:
        while not local_workers.stands_still():
            result = await step.run_once()
            env.due_left = result.starving and result.wait is not None and result.wait <= LONGEST_LOOK
            if result.starving:
                shortage.note()
            for bucket_id, agent in result.assigned.items():
                env.tell_bucket(agent, bucket_id)
            if result.wait != 0:
                return result.wait
        return None

    topics = [Topics.buckets(env.cluster_id), Topics.held(env.cluster_id)]
    return Service("assign", tick, env.poll_interval, spacing=NOTIFICATION_SPACING, topics=topics)


def _assign(env: Environment, local_workers: LocalWorkers) -> Assign:
    sizes = [w.settings.batch_size for w in local_workers.workers if w.settings.mode is not WorkerMode.DRAIN]
    return Assign(
        cluster_id=env.cluster_id,
        assignments=env.master.assignments,
        buckets=env.master.buckets,
        handovers=env.master.handovers,
        agents=env.agents,
        pusher=env.handover_pusher(),
        workers=local_workers,
        ahead=BINDS_AHEAD,
        refills=Refills.for_pages(max(sizes, default=1000)),
        silence=env.silence,
        clock=env.clock,
    )


# Recurring schedules


def recurring(env: Environment, local_workers: LocalWorkers, declared: anyio.Event) -> Service:
    """Return the service that makes the jobs of recurring schedules, once those of this process are `declared`.

    Times that were missed until then are treated as declared now.
    """
    step = PlanSchedules(
        env.cluster_id,
        env.master.schedules,
        env.master.requests,
        env.plugins.kinds,
        _horizon(env),
        env.misfire_grace,
        env.clock,
        env.store_clock,
    )

    async def tick() -> float | None:
        if local_workers.stands_still():
            return None
        with anyio.move_on_after(env.settings.store_timeout):
            await declared.wait()
        step.horizon = _horizon(env)
        result = await step.run_once()
        _spread(env, result)
        return result.wait

    return Service("plan_schedules", tick, env.poll_interval, topics=[Topics.schedules(env.cluster_id)])


def _horizon(env: Environment) -> timedelta:
    return timedelta(seconds=min(env.settings.transient_threshold, LONGEST_HORIZON))


def _spread(env: Environment, result: PlanResult) -> None:
    """Notify owners of jobs to cancel, and all processes of new jobs."""
    env.notify.tell(*(Topics.control(bucket_id) for bucket_id in result.cancelling))
    if result.made:
        env.notify.tell(Topics.held(env.cluster_id))
        env.jobs_made(result.made)


def declaring(env: Environment, local_workers: LocalWorkers, on_declared: Callable[[], None]) -> Service:
    """Return the service that keeps static schedules alive; it calls `on_declared` when those of this process are stored."""
    lasting = DECLARATION_LEASES * env.settings.lease
    step = KeepStaticSchedules(
        cluster_id=env.cluster_id,
        schedules=env.master.schedules,
        kinds=env.plugins.kinds,
        declarations=env.declarations,
        lease=lasting,
        grace=env.misfire_grace,
        may_judge=lambda: local_workers.coordinates() and env.watch.lasts(lasting),
    )

    async def tick() -> float | None:
        if env.mode not in UNCHANGING and await step.run_once():
            env.notify.tell(Topics.schedules(env.cluster_id))
        on_declared()
        return env.settings.lease if env.declarations else lasting

    # After an outage, declaring processes are back well before any judging process has watched for a whole lease.
    return Service("static_schedules", tick, longest_pause=min(LONGEST_PAUSE, env.settings.lease))
