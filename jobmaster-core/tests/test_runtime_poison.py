"""Jobs that two crashes count against run one at a time, also in what the store knows of them."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import anyio
import pytest

from jobmaster import AttemptOutcome, Cluster, JobContext, JobStatus, Runtime, handler
from jobmaster._policy.poison import CRASHES_UNTIL_ACCUSED
from jobmaster.contracts import MasterRepository
from jobmaster.models import Claim, Cursor, Report
from jobmaster_testing.factories import make_bucket, make_new_job, make_report, make_worker
from jobmaster_testing.probes import until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

CLUSTER = "Test-1"
COUNT = 6


async def leave_accused(master: MasterRepository) -> set[UUID]:
    """Hold jobs that two crashes count against; return their ids."""
    worker = make_worker(cluster_id=CLUSTER)
    bucket = make_bucket(worker)
    await master.workers.register(worker, [bucket], 60)
    jobs = [make_new_job(bucket, definition_id="Accused") for _ in range(COUNT)]
    await master.jobs.insert(jobs)
    page = await master.claims.pull(bucket, Cursor(), COUNT)
    assert not await master.outcomes.report([lost_twice(claim) for claim in page.claims])
    await master.workers.retire(worker.id)
    return {new.job.id for new in jobs}


def lost_twice(claim: Claim) -> Report:
    """Return the report that a second crash has counted against a job."""
    return make_report(
        claim,
        JobStatus.HELD_ON_MASTER,
        outcome=AttemptOutcome.LOST,
        crashes=CRASHES_UNTIL_ACCUSED,
        suspect=True,
    )


class Accused:
    """A handler that looks at which jobs are on record as started while it runs."""

    def __init__(self, watcher: Runtime) -> None:
        self.watcher = watcher
        self.on_record: list[set[UUID]] = []

    def handler(self) -> Callable[[JobContext], object]:
        async def accused(job: JobContext) -> None:
            page = await self.watcher.jobs.query(status=JobStatus.PROCESSING)
            self.on_record.append({record.id for record in page} - {job.id})
            await anyio.lowlevel.checkpoint()

        return handler("Accused")(accused)


async def test_an_accused_job_starts_when_the_end_of_the_last_one_is_on_record(
    cluster: Build, producer: Build
) -> None:
    async with producer().running() as watcher:
        ids = await leave_accused(watcher.master)
        seen = Accused(watcher)
        async with cluster(seen.handler()).running():
            await until(lambda: ended(watcher), what="all accused jobs to end")
        assert seen.on_record == [set()] * COUNT
        assert len(ids) == COUNT


async def ended(watcher: Runtime) -> bool:
    return await watcher.jobs.count(status=JobStatus.SUCCEEDED) == COUNT
