"""Clusters that move and archive while their processes are killed: every job ends, in one place, and once."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from jobmaster import ClusterMode, JobRecord, JobStatus, Runtime, ScheduleRecord
from jobmaster.plugins import Plugins
from jobmaster.schedule_models import Fires
from tests.e2e.agents import holdings
from tests.e2e.audit import Audit
from tests.e2e.mover_app import TARGET
from tests.e2e.processes import registered
from tests.e2e.scenario import UNFINISHED, Scenario, eventually
from tests.e2e.tables import Tables, read_tables
from tests.e2e.workload import NOOP, delayed_jobs, short_jobs

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.timeout(150)]

WAITING = 3000
"""Jobs that wait when the move begins: so many that a mover can be killed before it is done."""
SOON_DUE = 60
"""Jobs that lie in the buckets of a worker that is killed."""
KILL_AT = 300
FINISHED = 400


@pytest.fixture
def target(store: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Return URL and id of the other cluster: in another file, or in the same database."""
    there = f"sqlite:///{tmp_path}/other.db" if store == "sqlite" else url
    found = there, f"E2E-{uuid4().hex[:8]}"
    monkeypatch.setenv(TARGET, json.dumps(found))
    return found


@pytest.fixture
def agents(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Return agents, which both clusters share, for those tests whose cluster is a distributed one."""
    numbers = (1, 2) if "distributed" in request.node.name else ()
    return {f"Sqlite-{number}": f"sqlite:///{tmp_path}/agent-{number}.db" for number in numbers}


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Keep finished jobs for a second where there is an archive."""
    return {"retention": 1.0} if "archive" in request.node.name else {}


def merged(first: Tables, second: Tables) -> Tables:
    """Return two clusters' tables as one; fails if a job is in both."""
    both = first.definitions.keys() & second.definitions.keys()
    assert not both, f"{len(both)} jobs are in both clusters"
    return Tables(
        definitions={**first.definitions, **second.definitions},
        due={**first.due, **second.due},
        live=first.live | second.live,
        attempts={**first.attempts, **second.attempts},
        buckets=[*first.buckets, *second.buckets],
        handovers=first.handovers | second.handovers,
    )


async def audited(scenario: Scenario, target: tuple[str, str]) -> Audit:
    """Check everything that must hold of two clusters together."""
    here = await read_tables(scenario.url, scenario.config.clusters[0])
    tables = merged(here, await read_tables(*target))
    entries = [entry for entry in scenario.ledger.entries() if entry.job_id in tables.definitions]
    assert not await holdings(scenario.agents)
    audit = Audit(scenario.accepted, entries, tables)
    audit.check()
    return audit


@pytest.mark.parametrize("kind", ["standalone", "distributed"])
async def test_a_cluster_moves_with_its_schedule_while_its_mover_is_killed(
    scenario: Scenario, target: tuple[str, str], kind: str
) -> None:
    there, serves = scenario.config.but(url=target[0], clusters=(target[1],)), tuple(scenario.agents)
    assert bool(serves) is (kind == "distributed")
    async with scenario.watching() as here:
        worker = scenario.fleet.start(worker="W-1", serves=serves)
        await registered(here, worker)
        receipt = await here.scheduler.recurring(
            NOOP, timedelta(seconds=1), overlap="queue", misfire="run_all(1000)"
        )
        await scenario.schedule(here, short_jobs(1, 200))
        await eventually(
            lambda: went(here, receipt.schedule_id), what="the schedule to go, and the first jobs to end"
        )
        await scenario.schedule(here, delayed_jobs(3, SOON_DUE, 4.0, 8.0), size=10)
        worker.kill()
        await here.set_mode(ClusterMode.MIGRATING)
        await scenario.schedule(here, short_jobs(2, WAITING), size=1000)

        mover = scenario.fleet.start("tests.e2e.mover_app", worker="M-1")
        async with there.producer().running(workers=False) as after:
            await eventually(lambda: has_jobs(after, KILL_AT), pause=0.005, what="some jobs to arrive")
            mover.kill()
            moved = await after.jobs.count()
            assert KILL_AT <= moved < WAITING
            workers = [
                scenario.fleet.start(worker=f"T-{n}", url=target[0], clusters=(target[1],), serves=serves)
                for n in (1, 2)
            ]
            again = scenario.fleet.start("tests.e2e.mover_app", worker="M-2", backend="trio")
            await registered(after, *workers)
            assert await again.wait(60) == 0
            await eventually(lambda: goes_on(after, receipt.schedule_id), what="the schedule to go on")
            schedule = await after.scheduler.pause_recurring(receipt.schedule_id)
            await eventually(lambda: none_unfinished(after), what="all jobs to end")
            jobs = [await jobs_of(runtime, schedule) for runtime in (here, after)]
            scenario.accepted += [job.id for group in jobs for job in group]
            audit = await audited(scenario, target)
    print(f"\n{audit.summary()}; {moved} had moved when the mover was killed")  # noqa: T201
    check_times(schedule, jobs[0], jobs[1])


async def has_jobs(runtime: Runtime, count: int) -> bool:
    return await runtime.jobs.count() >= count


async def none_unfinished(runtime: Runtime) -> bool:
    return await runtime.jobs.count(status=UNFINISHED) == 0


async def went(runtime: Runtime, schedule_id: Any) -> bool:
    done = await runtime.jobs.count(status=JobStatus.SUCCEEDED)
    return done >= 200 and await runtime.jobs.count(schedule=schedule_id) >= 3


async def goes_on(runtime: Runtime, schedule_id: Any) -> bool:
    return await runtime.jobs.count(schedule=schedule_id) >= 3


async def jobs_of(runtime: Runtime, schedule: ScheduleRecord) -> list[JobRecord]:
    return list(reversed(await runtime.jobs.query(schedule=schedule.id, limit=1000)))


def check_times(schedule: ScheduleRecord, before: list[JobRecord], after: list[JobRecord]) -> None:
    """Check that each nominal time has one job, in one of the clusters, from the first to the last."""
    times = sorted(job.nominal_at for job in (*before, *after) if job.nominal_at)
    fires, wanted = Fires(Plugins().kinds, schedule), times[:1]
    while wanted[-1] < times[-1] and (following := fires(wanted[-1])) is not None:
        wanted.append(following)
    assert times == wanted
    assert before
    assert after


async def test_what_is_past_its_retention_ends_in_the_archive_whoever_is_killed(
    scenario: Scenario, target: tuple[str, str]
) -> None:
    async with scenario.watching() as here:
        first, second = (
            scenario.fleet.start("tests.e2e.archive_app", worker=f"W-{n}", backend=("asyncio", "trio")[n % 2])
            for n in (1, 2)
        )
        await registered(here, first, second)
        await scenario.schedule(here, short_jobs(3, FINISHED))
        there = scenario.config.but(url=target[0], clusters=(target[1],))
        async with there.producer().running(workers=False) as archive:
            await eventually(lambda: has_jobs(archive, 1), pause=0.005, what="the first jobs to be archived")
            first.kill()
            await registered(here, scenario.fleet.start("tests.e2e.archive_app", worker="W-1"))
            await eventually(lambda: all_archived(here, archive), what="all jobs to be archived")
            assert archive.mode is ClusterMode.ARCHIVED
            audit = await audited(scenario, target)
    print(f"\n{audit.summary()}")  # noqa: T201


async def all_archived(here: Runtime, archive: Runtime) -> bool:
    return await here.jobs.count() == 0 and await archive.jobs.count() == FINISHED
