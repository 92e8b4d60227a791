"""The schedule test: three clusters in one database, 999 jobs now and later. Each runs once, where it belongs, not early."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from jobmaster import JobRequest, Runtime
from tests.e2e.audit import Audit
from tests.e2e.ledger import START
from tests.e2e.processes import registered
from tests.e2e.scenario import Scenario
from tests.e2e.stores import NewDatabase, make_agents
from tests.e2e.workload import NAP, NOOP, SOON, delayed_jobs, shuffled

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(150)]

TOTAL = 999
PUNCTUAL = 5.0
"""Seconds after its due time by which a delayed job has started: the machine may be busy."""


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"transient_threshold": SOON, "lease": 3.0, "heartbeat": 0.5}


@pytest.fixture
def url(new_database: NewDatabase) -> str:
    return new_database()


@pytest.fixture
def agents(url: str, tmp_path: Path, new_database: NewDatabase) -> dict[str, str]:
    """Return a file, a database, and the master's own database."""
    return {**make_agents(("sqlite", "postgres"), tmp_path, new_database), "Postgres-3": url}


def jobs(seed: int) -> list[JobRequest]:
    """Return 150 fast, 50 normal and 3 slow jobs for now, and 100 and 30 for later."""
    chance = random.Random(seed)
    return shuffled(
        seed,
        [NOOP.request() for _ in range(150)],
        [NAP.request({"seconds": chance.uniform(0.1, 0.3)}) for _ in range(50)],
        [NAP.request({"seconds": 3.0}) for _ in range(3)],
        delayed_jobs(seed, 100, 0.2, SOON / 2),
        delayed_jobs(seed + 1, 30, SOON + 0.5, SOON + 2),
    )


async def test_three_clusters_in_one_database_run_999_jobs(
    scenario: Scenario, tmp_path: Path, settings: dict[str, Any], agents: dict[str, str]
) -> None:
    clusters = [scenario]
    for name, of_its_own in (("A", {}), ("B", agents)):
        (tmp_path / name).mkdir()
        cluster_id = f"{scenario.config.clusters[0]}-{name}"
        clusters.append(Scenario(scenario.url, tmp_path / name, cluster_id, settings, of_its_own))
    async with AsyncExitStack() as stack:
        runtimes = [await stack.enter_async_context(at_work(cluster)) for cluster in clusters]
        async with anyio.create_task_group() as group:
            for number, (cluster, runtime) in enumerate(zip(clusters, runtimes, strict=True)):
                group.start_soon(schedule, cluster, runtime, jobs(number))
        audits = [await audited(*both) for both in zip(clusters, runtimes, strict=True)]
    assert sum(len(audit.tables.definitions) for audit in audits) == TOTAL


@asynccontextmanager
async def at_work(cluster: Scenario) -> AsyncIterator[Runtime]:
    """Within the block the cluster has one process, with a worker on each of its agents."""
    async with cluster.watching() as runtime:
        process = cluster.fleet.start(
            worker=cluster.config.clusters[0],
            serves=tuple(cluster.agents),
            backend="trio" if cluster.agents else "asyncio",
        )
        await registered(runtime, process)
        yield runtime


async def schedule(cluster: Scenario, runtime: Runtime, requests: Sequence[JobRequest]) -> None:
    """Schedule half of the jobs one by one, and half in bulk, at the same time."""
    half = len(requests) // 2
    async with anyio.create_task_group() as group:
        group.start_soon(cluster.schedule, runtime, requests[:half], 1)
        group.start_soon(cluster.schedule, runtime, requests[half:])


async def audited(cluster: Scenario, runtime: Runtime) -> Audit:
    await cluster.finished(runtime)
    audit = await cluster.audit(runtime)
    late = lateness(audit)
    print(f"\n{runtime.id}:", audit.summary(), f"delayed ones at most {max(late):.3f} s late")  # noqa: T201
    assert {entry.job_id for entry in cluster.ledger.entries()} == audit.tables.definitions.keys()
    assert len({entry.worker for entry in audit.entries}) == max(1, len(cluster.agents)), (
        "each of its workers was to run jobs, and no other"
    )
    assert max(late) < PUNCTUAL
    return audit


def lateness(audit: Audit) -> list[float]:
    """Return how long after its time each job started that was delayed and had nothing to wait for."""
    created = min(entry.at for entry in audit.entries)
    starts = [(entry.at, audit.tables.due[entry.job_id]) for entry in audit.entries if entry.event == START]
    return [at - due for at, due in starts if due > created + 4]
