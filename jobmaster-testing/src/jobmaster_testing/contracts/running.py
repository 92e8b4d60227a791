"""Fixtures for the end-to-end tests: real clusters on the provider's store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from attrs import field, frozen

from jobmaster.cluster import Cluster, Runtime
from jobmaster.models import JobRecord
from jobmaster_testing.contracts.provider import MasterTests
from jobmaster_testing.contracts.world import World
from jobmaster_testing.options import Options

QUICK: dict[str, Any] = {
    "heartbeat": 0.3,
    "lease": 5.0,
    "beat": 0.05,
    "poll_interval": 0.1,
    "stop_grace": 10.0,
}
"""Settings with which a cluster notices changes soon."""


@frozen
class Clusters:
    """Makes clusters with the same name on one store."""

    url: str
    cluster_id: str
    options: Options = field(factory=Options)

    def make(self, *handlers: Any, **settings: Any) -> Cluster:
        """Return a cluster without workers that serves `handlers`."""
        cluster = Cluster.standalone(self.cluster_id, self.url).add_handlers(*handlers)
        return cluster.configure(
            table_prefix=self.options.table_prefix,
            store_timeout=self.options.store_timeout,
            store_options=self.options.options,
            **{**QUICK, **settings},
        )

    @asynccontextmanager
    async def running(
        self, *handlers: Any, name: str = "Worker-01", lane: str = "default", **settings: Any
    ) -> AsyncIterator[Runtime]:
        """Run a cluster with one worker, starting when the worker takes jobs."""
        cluster = self.make(*handlers, **settings).add_worker(name=name, lane=lane, parallelism=1)
        async with cluster.running() as runtime:
            with anyio.fail_after(10):
                await runtime.workers_ready()
            yield runtime

    @asynccontextmanager
    async def scheduling(self) -> AsyncIterator[Runtime]:
        """Run a cluster without workers, for scheduling and reading."""
        async with self.make().running() as runtime:
            yield runtime


class RunningTests(MasterTests, suite=True):
    """Base of the end-to-end tests. A provider overrides `store_url`, as for `MasterContract`."""

    @pytest.fixture
    def clusters(self, world: World, store_url: str, store_options: Options) -> Clusters:
        """Return a factory of clusters in the provider's store."""
        return Clusters(store_url, world.cluster_id, store_options)


async def ended(runtime: Runtime, job_id: object) -> JobRecord:
    """Wait for a job's end and return it."""
    return await runtime.jobs.wait(str(job_id), timeout=15)


def outcomes(job: JobRecord) -> list[str]:
    """Return how a job's attempts ended."""
    return [str(attempt.outcome) for attempt in job.attempts]
