"""Move a cluster's jobs and schedules to another cluster, and those past their retention to an archive."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from uuid import UUID

import anyio
from attrs import define, field

from jobmaster._policy.placement import agents_in_use
from jobmaster._runtime.service import NOTIFICATION_SPACING, Service, Tick
from jobmaster._runtime.standby_rescue import StandbyRescue
from jobmaster._upkeep.archive import Archive
from jobmaster._upkeep.move_cluster import MoveCluster, MoveResult
from jobmaster.contracts import Topics
from jobmaster.errors import ConfigurationError, StoreError
from jobmaster.moves import Left, MoveSummary
from jobmaster.states import ClusterMode

if TYPE_CHECKING:
    from jobmaster._runtime.destination import Destination
    from jobmaster._runtime.environment import Environment
    from jobmaster._upkeep.transfer import Route

log = logging.getLogger("jobmaster.moving")

MISCONFIGURED: Final = 60.0
"""Seconds until the next look at a misconfigured target."""
LOOK_AGAIN: Final = 0.5
"""Seconds between two checks whether jobs have come back from their buckets."""
ARCHIVE_EVERY: Final = 300.0
"""Seconds between two looks for jobs and schedules past their retention, if that is not shorter."""


def pause_of(retention: float) -> float:
    """Return how long to wait for something else to pass its retention."""
    return min(ARCHIVE_EVERY, max(1.0, retention))


# In the background


def moving(env: Environment, destination: Destination) -> Service:
    """Return the service that moves the cluster while its mode is `migrating`."""
    behind, evacuation = _Behind(), StandbyRescue(env)

    async def tick() -> float | None:
        if env.mode is not ClusterMode.MIGRATING:
            return env.poll_interval()
        route = await destination.route()
        await evacuation.run_once()
        result = await MoveCluster(route, destination.history).run_once()
        behind.tell(result.left)
        if not result.moved:
            return env.poll_interval()
        log.info("moved %d jobs and %d schedules to %s", result.jobs, result.schedules, route.destination)
        await tell(route)
        return 0.0

    topics = [Topics.held(env.cluster_id), Topics.cluster(env.cluster_id)]
    return Service("move", _unless_misconfigured(tick), spacing=NOTIFICATION_SPACING, topics=topics)


def archiving(env: Environment, destination: Destination) -> Service:
    """Return the service that archives the cluster's history."""
    behind = _Behind()
    step: Archive | None = None

    async def tick() -> float | None:
        nonlocal step
        retention = env.settings.retention
        if retention is None or env.mode is ClusterMode.ARCHIVED:
            return ARCHIVE_EVERY
        step = step or Archive(await destination.route())
        await env.store_clock.look()
        before = env.store_clock.cutoff(retention)
        if before is None:
            return min(env.store_clock.wait(retention), ARCHIVE_EVERY)
        result = await step.run_once(retention, before)
        behind.tell(result.left)
        if result.moved:
            log.info("archived %d jobs and schedules in %s", result.moved, step.route.destination)
        return 0.0 if result.more else pause_of(retention)

    return Service("archive", _unless_misconfigured(tick))


def _unless_misconfigured(tick: Tick) -> Tick:
    """Return a tick that only logs the error, and waits long, when its target is misconfigured."""

    async def careful() -> float | None:
        try:
            return await tick()
        except ConfigurationError as error:
            log.error("nothing moves: %s", error)  # noqa: TRY400 - the message says it all
            return MISCONFIGURED

    return careful


@define
class _Behind:
    """Logs what is left behind, each item once."""

    _known: set[UUID] = field(factory=set, init=False)

    def tell(self, left: Sequence[Left]) -> None:
        """Log what is new."""
        for one in left:
            if one.id not in self._known:
                log.warning("%s %s is left behind: %s", one.what, one.id, one.why)
        self._known.update(one.id for one in left)


async def tell(route: Route) -> None:
    """Notify the target's processes of new work. Notifications may be lost."""
    with suppress(StoreError):
        await route.target.notifications.announce(
            [Topics.held(route.target_id), Topics.schedules(route.target_id)]
        )


# In the foreground


@define(eq=False)
class Move:
    """Moves a whole cluster, and waits up to `patience` seconds for jobs that are in buckets to come back."""

    env: Environment
    destination: Destination
    set_mode: Callable[[ClusterMode], Awaitable[None]]
    patience: float
    on_moved: Callable[[MoveResult], None]

    async def run(self) -> MoveSummary:
        """Move everything; a failure in between needs no undoing, and another run continues from there.

        Raises what `Destination.route` raises, before anything has changed.
        """
        route = await self.destination.route()
        await self._stand_still()
        evacuation, jobs, schedules = StandbyRescue(self.env), 0, 0
        deadline = self.env.monotonic() + self.patience
        while True:
            await evacuation.run_once()
            result = await MoveCluster(route, self.destination.history, self.on_moved).run_once()
            jobs, schedules = jobs + result.jobs, schedules + result.schedules
            if result.moved:
                await tell(route)
                continue
            in_buckets = await held_in_buckets(self.env)
            unasked = await unasked_agents(self.env)
            if not (in_buckets or result.waiting or unasked) or self.env.monotonic() >= deadline:
                break
            await anyio.sleep(LOOK_AGAIN)
        return MoveSummary(
            target=route.target_id,
            jobs=jobs,
            schedules=schedules,
            left=result.left,
            in_buckets=in_buckets,
            waiting=result.waiting,
            unasked=unasked,
        )

    async def _stand_still(self) -> None:
        """Make the cluster's coordinators and workers stand still."""
        known = await self.env.master.clusters.get(self.env.cluster_id)
        if known is None or known.mode is not ClusterMode.MIGRATING:
            await self.set_mode(ClusterMode.MIGRATING)


async def held_in_buckets(env: Environment) -> int:
    """Return how many unfinished jobs of a cluster lie in buckets, as far as its agents can be reached."""
    ours = {bucket.id for bucket in await env.master.buckets.list_all(env.cluster_id)}
    most = dict(await env.master.buckets.holdings(env.cluster_id))
    for agent in [agent for name, agent in env.agents.items() if name in env.agents.links]:
        for bucket_id, count in (await agent.buckets.holdings()).items():
            if bucket_id in ours:
                most[bucket_id] = max(count, most.get(bucket_id, 0))
    return sum(most.values())


async def unasked_agents(env: Environment) -> list[str]:
    """Return the agents that may hold jobs of a cluster and that this process cannot ask."""
    in_use = agents_in_use(await env.master.buckets.list_all(env.cluster_id))
    return sorted((in_use | env.agents.links.keys()) - set(env.agents))
