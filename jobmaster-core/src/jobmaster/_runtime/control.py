"""Follow what operators change while a cluster runs: its mode, settings and lanes, and requests to workers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import anyio

from jobmaster._runtime.service import NOTIFICATION_SPACING, Service
from jobmaster.contracts import ClusterChange, Topics
from jobmaster.errors import ConfigurationError

if TYPE_CHECKING:
    from jobmaster._runtime.environment import Environment
    from jobmaster._runtime.worker import RunningWorker
    from jobmaster.models import ClusterRecord

log = logging.getLogger("jobmaster.control")


class Control:
    """Makes this process follow the master's orders, and changes them."""

    def __init__(self, env: Environment, workers: Sequence[RunningWorker]) -> None:
        self.env = env
        self.workers = workers
        self._lock = anyio.Lock()
        self._left_alone: str | None = None
        """Why the last orders read are not followed; logged once."""
        env.heed = self.run_once

    def service(self) -> Service:
        """Return the loop that looks for orders, on notifications and now and then."""

        async def tick() -> float | None:
            await self.run_once()
            return None

        def longest() -> float:
            return self.env.seldom(self.env.settings.heartbeat)

        topics = [Topics.cluster(self.env.cluster_id)]
        return Service(
            "control", tick, longest, wake=self.env.orders, spacing=NOTIFICATION_SPACING, topics=topics
        )

    async def run_once(self) -> None:
        """Read the orders for this process, and follow them."""
        async with self._lock:
            orders = await self.env.master.control.read_orders(self.env.cluster_id, self.env.process_id)
            if orders is None:
                await self._register_again()
                return
            self._follow(orders.cluster)
            for worker in self.workers:
                worker.follow(orders.requests.get(worker.name))

    async def _register_again(self) -> None:
        """Register the cluster again with a master that knew it: an older backup may have been restored."""
        env = self.env
        log.warning("the master does not know cluster %s any more; it is registered again", env.cluster_id)
        self._follow(await env.master.clusters.register(env.record()))

    async def change(self, change: ClusterChange) -> None:
        """Store a change, follow it here at once, and notify the other processes.

        While the change is being stored, orders read before it are not followed.
        """
        async with self._lock:
            cluster = await self.env.master.control.change_cluster(self.env.cluster_id, change)
            if cluster is not None:
                self._follow(cluster)
        for worker in self.workers:
            worker.follow()
        self.env.notify.tell(Topics.cluster(self.env.cluster_id))

    def _follow(self, cluster: ClusterRecord) -> None:
        env, before = self.env, self._state()
        try:
            env.follow(cluster)
            self._left_alone = None
        except ConfigurationError as error:
            if self._left_alone != str(error):
                self._left_alone = str(error)
                log.error("the stored settings of cluster %s are ignored: %s", cluster.id, error)  # noqa: TRY400
        if self._state() != before:
            log.info("cluster %s: %s, paused lanes: %s", cluster.id, env.mode, _listed(env.paused_lanes))
            for topic in (Topics.held, Topics.schedules, Topics.buckets):
                env.notify.hear(topic(env.cluster_id))

    def _state(self) -> object:
        return self.env.mode, self.env.paused_lanes, self.env.settings


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
