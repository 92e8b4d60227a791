"""Two clusters, with the calls that tests of a move make repeatedly."""
# ruff: noqa: S101 - test names say it all; expected values are literals; tests assert

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Unpack
from uuid import UUID

import pytest
from attrs import evolve

from jobmaster.contracts import Departure, Moving, WholeJob
from jobmaster.ids import new_id
from jobmaster.models import AttemptError, Bucket, Job, JobRecord
from jobmaster.schedule_models import Firing, ScheduleQuery, ScheduleRecord, ScheduleWrite
from jobmaster.states import AttemptOutcome, JobStatus
from jobmaster_testing.contracts.provider import MasterTests, make_world
from jobmaster_testing.contracts.world import World
from jobmaster_testing.factories import (
    JobFields,
    ScheduleFields,
    make_job,
    make_log_line,
    make_schedule,
)

HOUR = timedelta(hours=1)
LATER = 1000.0
"""Seconds until a job that is not due during a test."""


async def held(world: World, limit: int = 100) -> list[WholeJob]:
    """Return the held jobs of a cluster as whole jobs."""
    return list(await world.master.transfers.read_held(world.cluster_id, None, limit))


async def finished(world: World, age: float = 0.0) -> list[WholeJob]:
    """Return the finished jobs of a cluster as whole jobs."""
    return list(await world.master.transfers.read_finished(world.cluster_id, age, None, 100))


async def leave(
    world: World, target: World, *things: Moving, consignment: UUID | None = None
) -> tuple[UUID, frozenset[UUID]]:
    """Stage things at the target and release them at the source; return the consignment and the ids that departed."""
    number = consignment or new_id()
    assert list(await target.master.transfers.stage(target.cluster_id, number, things)) == []
    departed = await world.master.transfers.release(world.cluster_id, target.cluster_id, number, things)
    return number, departed


async def move(world: World, target: World, *things: Moving) -> None:
    """Move things from one cluster to another, all the way."""
    consignment, departed = await leave(world, target, *things)
    assert departed == {thing.id for thing in things}
    assert list(await target.master.transfers.admit(target.cluster_id, consignment, list(departed))) == []
    await world.master.transfers.forget_departures(world.cluster_id, consignment, list(departed))


async def departed_from(world: World, limit: int = 100) -> list[Departure]:
    """Return a cluster's departures that are not deleted yet."""
    return list(await world.master.transfers.departures(world.cluster_id, limit))


def departure(target: World, consignment: UUID, *things: UUID) -> Departure:
    """Return a departure to a cluster."""
    return Departure(consignment=consignment, target=target.cluster_id, ids=frozenset(things))


def as_of(world: World, record: JobRecord) -> JobRecord:
    """Return a job's record as a record of another cluster."""
    return evolve(record, job=evolve(record.job, cluster_id=world.cluster_id))


async def failed_once(world: World, bucket: Bucket, **fields: Unpack[JobFields]) -> Job:
    """Return a job that failed once, with a log line, and is held again."""
    claim = await world.claim(bucket, **fields)
    line = make_log_line("halfway", subject_id=str(claim.job.id), attempt=1, percent=50)
    await world.report(
        claim,
        JobStatus.HELD_ON_MASTER,
        outcome=AttemptOutcome.FAILED,
        error=AttemptError(type="ValueError", message="no", traceback="line 1"),
        delay=LATER,
        retries=1,
        crashes=2,
        suspect=True,
        logs=[line],
    )
    return claim.job


async def add_schedule(
    world: World, key: str | None = None, **fields: Unpack[ScheduleFields]
) -> ScheduleRecord:
    """Store a schedule and return it as stored."""
    schedule = make_schedule(make_job(cluster_id=world.cluster_id, key=key), **fields)
    await world.master.schedules.add([schedule])
    return (await schedules(world, schedule.id))[0]


async def schedules(world: World, *schedule_ids: UUID) -> Sequence[ScheduleRecord]:
    """Return schedules as the store has them."""
    return await world.master.schedules.get(world.cluster_id, schedule_ids)


class TransferTests(MasterTests, suite=True):
    """Two clusters in one store: the hardest case, as ids are unique in a store."""

    @pytest.fixture
    async def target(self, world: World) -> World:
        """Return another cluster in the same store."""
        return await make_world(world.master)


async def fire(world: World, schedule: ScheduleRecord, job: Job, nominal: datetime) -> None:
    """Make the job of a nominal time."""
    moved = evolve(schedule, planned_to=nominal, newest_job_id=job.id)
    write = ScheduleWrite(record=moved, firings=[Firing(job=job, nominal_at=nominal)])
    assert await world.master.schedules.write([write]) == {schedule.id}


async def find_schedules(world: World) -> Sequence[ScheduleRecord]:
    """Return all schedules of a cluster."""
    return await world.master.schedules.query(world.cluster_id, ScheduleQuery())


def ids_of(jobs: Sequence[WholeJob]) -> list[UUID]:
    """Return the ids of whole jobs, in order."""
    return [job.id for job in jobs]
