"""Moving between databases of different kinds: what arrives is what left, to the last bit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import evolve

from jobmaster import AttemptOutcome, JobStatus
from jobmaster._upkeep.move_cluster import MoveCluster
from jobmaster._upkeep.transfer import Route
from jobmaster.models import AttemptError, JobRecord, LogLine
from jobmaster.schedule_models import Misfire, ScheduleQuery, ScheduleRecord
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import World
from jobmaster_testing.factories import ReportFields, make_job, make_schedule
from jobmaster_testing.options import open_master
from jobmaster_testing.servers import postgres_url

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]

KINDS = ("memory", "sqlite", "postgres")
WAYS = [(here, there) for here in KINDS for there in KINDS if here != there]

DATA: dict[str, Any] = {
    "text": "Zoë \u0000 \U0001f680",
    "number": 2**70,
    "ratio": 1e16,
    "amount": Decimal("1.10"),
    "moment": datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC),
    "day": date(2026, 1, 31),
    "id": UUID(int=5),
    "bytes": b"\x00\xff",
    "nested": {"list": [1, None, True]},
}
ERROR = AttemptError(type="ValueError", message="nul \u0000, half \ud800", traceback="line 1\nline 2")


@pytest.fixture(params=WAYS, ids=["-to-".join(way) for way in WAYS])
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    found: tuple[str, str] = request.param
    return found


def url(kind: str, folder: Path) -> str:
    urls = {"memory": f"memory://{uuid4().hex}", "sqlite": f"sqlite:///{folder}/jobs.db"}
    return urls.get(kind) or postgres_url()


@pytest.fixture
async def ends(way: tuple[str, str], tmp_path: Path) -> AsyncIterator[tuple[World, World]]:
    here, there = (url(kind, tmp_path) for kind in way)
    async with open_master(here) as source, open_master(there) as target:
        yield await make_world(source), await make_world(target)


async def test_jobs_and_schedules_move_between_kinds_of_databases(ends: tuple[World, World]) -> None:
    source, target = ends
    await populate(source)
    jobs, schedules = await everything(source)

    result = await MoveCluster(route(source, target), history=True).run_once()

    assert (result.jobs, result.schedules, result.left) == (len(jobs), len(schedules), [])
    assert await everything(source) == ([], [])
    arrived = await everything(target)
    assert [as_read(job, target) for job in jobs] == arrived[0]
    assert [as_planned(one, target, arrived[1][0]) for one in schedules] == arrived[1]


async def populate(world: World) -> None:
    bucket = await world.bucket()
    await world.put_one(delay=1000.5, data=DATA, metadata={"team": "x", "ratio": 1e16}, key="k", timeout=0.5)
    claim = await world.claim(bucket, data=DATA, timeout=None)
    line = LogLine(
        at=datetime.now(UTC),
        level="info",
        message="half",
        fields={"n": [1]},
        subject_id=str(claim.job.id),
        attempt=1,
    )
    failed: ReportFields = {
        "outcome": AttemptOutcome.FAILED,
        "error": ERROR,
        "logs": [line, line],
        "retries": 1,
        "crashes": 1,
        "suspect": True,
    }
    await world.report(claim, JobStatus.HELD_ON_MASTER, **failed)
    await world.finished(bucket, data=DATA)
    await world.finished(bucket, JobStatus.FAILED)
    schedule = make_schedule(
        make_job(cluster_id=world.cluster_id, data=DATA, metadata={"team": "x"}, key="nightly"),
        kind="cron",
        expression="*/5 * * * *",
        time_zone="Europe/Paris",
        misfire=Misfire.run_all(7),
        waiting=(datetime(2026, 1, 31, tzinfo=UTC),),
        ends_before=datetime.now(UTC) + timedelta(days=1),
    )
    await world.master.schedules.add([schedule])


async def everything(world: World) -> tuple[list[JobRecord], Sequence[ScheduleRecord]]:
    jobs = [await world.record(job.id) for job in await world.all_jobs()]
    return jobs, list(await world.master.schedules.query(world.cluster_id, ScheduleQuery()))


def route(source: World, target: World) -> Route:
    return Route(
        source_id=source.cluster_id,
        source=source.master,
        target_id=target.cluster_id,
        target=target.master,
        destination="there",
    )


def as_read(record: JobRecord, world: World) -> JobRecord:
    """Return a job as the target's database can hold it: texts of errors without what not every one takes."""
    attempts = [evolve(attempt, error=cleaned(attempt.error)) for attempt in record.attempts]
    return evolve(record, job=evolve(record.job, cluster_id=world.cluster_id), attempts=attempts)


def cleaned(error: AttemptError | None) -> AttemptError | None:
    return None if error is None else evolve(error, message=error.message.translate({0: "?", 0xD800: "?"}))


def as_planned(record: ScheduleRecord, world: World, arrived: ScheduleRecord) -> ScheduleRecord:
    moved = evolve(record, version=record.version + 1, changed_at=arrived.changed_at)
    return evolve(moved, job=evolve(record.job, cluster_id=world.cluster_id))
