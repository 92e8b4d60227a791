"""A row that cannot be read harms itself alone: other jobs run, and lists and counts show what is wrong with it."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import anyio
import anyio.to_thread
import psycopg
import pytest
from attrs import frozen
from typer.testing import CliRunner

from jobmaster import (
    Cluster,
    JobContext,
    JobRecord,
    JobStatus,
    MetadataFilter,
    Operator,
    Priority,
    Runtime,
    handler,
)
from jobmaster._upkeep.move_cluster import MoveCluster
from jobmaster._upkeep.transfer import Route
from jobmaster.cli import build_app
from jobmaster.contracts import MasterRepository, Room
from jobmaster.converters import to_plain
from jobmaster.errors import ConfigurationError, InvalidDataError, StoreError
from jobmaster.models import Cursor, JobQuery
from jobmaster_testing.contracts.provider import make_world
from jobmaster_testing.contracts.world import SHORT, World
from jobmaster_testing.options import open_master
from jobmaster_testing.probes import until
from jobmaster_testing.servers import postgres_url

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]

EARLIEST, LATEST = -(2**63), 2**63 - 1
"""The first and the last number that a column of moments holds: both are far beyond the calendar."""

JOB: Final[dict[str, list[tuple[str, Any]]]] = {
    "jm_job": [
        ("priority", 77),
        ("priority", -1),
        ("scheduled_at", LATEST),
        ("scheduled_at", EARLIEST),
        ("created_at", 10**18),
        ("timeout_us", LATEST),
        ("max_retries", 2**31 - 1),
        ("data", "{broken"),
        ("data", "[1]"),
        ("data", '{"n": {"$": "dt", "v": "no date", "us": 1}}'),
        ("data", '{"n": {"$": "of a later version"}}'),
        ("metadata", "{broken"),
        ("metadata", '{"tenant": {"$": "dec", "v": "no number"}}'),
        ("metadata", '{"tenant": {"$": "int", "v": "no number"}}'),
        ("metadata", '{"tenant": {"$": "dt", "v": "2026-01-01T00:00:00", "us": "no number"}}'),
        ("metadata", '{"tenant": {"$": "td", "us": 1e40}}'),
        ("metadata", '{"tenant": {"$": "bytes", "v": "%%%"}}'),
        ("metadata", '{"tenant": {"$": ["a list"]}}'),
        ("lane", "\u202eodd\x1b[2J"),
        ("definition_id", ""),
    ],
    "jm_live": [
        ("status", 99),
        ("status", -1),
        ("ready_at", EARLIEST),
        ("ready_at", -1),
        ("ready_at", LATEST),
        ("ready_at", 10**18),
        ("priority", 77),
        ("retries", 2**31 - 1),
        ("crashes", 2**31 - 1),
        ("started_at", LATEST),
        ("started_at", EARLIEST),
        ("cancel_requested", 7),
    ],
}
FACTS: Final[Mapping[str, Any]] = {"tenant": "acme"}
JOB_DAMAGE = [(table, column, value) for table, rows in JOB.items() for column, value in rows]
SHOWN = {"priority", "scheduled_at", "created_at", "status", "ready_at", "data", "metadata"}
"""Columns whose damage a job's record names."""


@frozen
class Place:
    """A database of the test's own."""

    url: str

    def execute(self, statement: str, *values: Any) -> None:
        """Do something by hand."""
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None)) as file:
                assert file.execute(statement.replace("%s", "?"), [_text(v) for v in values]).rowcount > 0
        else:
            with psycopg.connect(self.url, autocommit=True) as connection:
                assert connection.execute(statement.encode(), values).rowcount > 0

    def damage(self, table: str, column: str, value: Any, which: str, *values: Any) -> None:
        """Set a value of some rows by hand."""
        self.execute(f"UPDATE {table} SET {column} = %s WHERE {which}", value, *values)  # noqa: S608 - of the test

    def can_hold(self, column: str, value: Any) -> bool:
        """Whether a column takes a value: PostgreSQL keeps metadata as JSON, and refuses what is none."""
        return not (self.url.startswith("postgres") and column == "metadata" and value == "{broken")

    def run(self, *arguments: str) -> str:
        """Run a command for people; return what it says."""
        result = CliRunner().invoke(build_app(), [*arguments, "--cluster", "Damaged", "--master", self.url])
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    def cluster(self) -> Cluster:
        return Cluster("Damaged", self.url).configure(heartbeat=0.2, lease=8.0, stop_grace=1.0)


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place(f"sqlite:///{tmp_path}/jobs.db")
        return
    server, name = postgres_url(), f"damaged_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        yield Place(_other(server, name))
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _other(server: str, name: str) -> str:
    head, _, tail = server.rpartition("/")
    return f"{head}/{name}{tail[tail.index('?') :] if '?' in tail else ''}"


@pytest.fixture
async def world(place: Place) -> AsyncIterator[World]:
    async with open_master(place.url) as master:
        yield await make_world(master)


async def listed(master: MasterRepository, cluster_id: str, query: JobQuery | None = None) -> list[JobRecord]:
    found = list(await master.jobs.query(cluster_id, query or JobQuery()))
    json.dumps([to_plain(one) for one in found])
    return found


# Jobs


async def test_a_damaged_job_harms_no_other_one(place: Place, world: World) -> None:
    master, bucket = world.master, await world.bucket()
    good = [*await world.put(bucket, 2, metadata=FACTS), *await world.put(None, 1, metadata=FACTS)]
    bad = {}
    for table, column, value in JOB_DAMAGE:
        if not place.can_hold(column, value):
            continue
        for where in (bucket, None):
            [job] = await world.put(where, metadata=FACTS)
            place.damage(table, column, value, f"{'id' if table == 'jm_job' else 'job_id'} = %s", job.id)
            bad[job.id] = table, column, value
    there = {*bad, *(job.id for job in good)}

    # Lists show it, and say what is wrong with it.
    found = {record.id: record for record in await listed(master, world.cluster_id)}
    assert found.keys() == there
    assert {found[job.id].damaged for job in good} == {None}
    for job_id, (table, column, value) in bad.items():
        record = await master.jobs.get(world.cluster_id, job_id)
        assert record is not None
        assert to_plain(record)
        for shown in (record, found[job_id]):
            assert (shown.damaged is not None) == is_shown(table, column, value), (table, column, value)
            assert shown.damaged is None or column in shown.damaged

    # So do counts and searches.
    assert sum((await master.jobs.count(world.cluster_id, JobQuery())).values()) == len(there)
    for operator in Operator:
        text = ("acme",) if operator is Operator.IN else "acme"
        match = await matching(world, operator, text)
        assert match <= there
        assert match >= {job.id for job in good} or operator in (Operator.NE, Operator.GT, Operator.LT)
    for value in (
        1,
        1.5,
        Decimal(1),
        b"x",
        timedelta(seconds=1),
        datetime(2026, 1, 1, tzinfo=UTC),
        UUID(int=1),
    ):
        for operator in (Operator.EQ, Operator.NE, Operator.GT):
            assert await matching(world, operator, value) <= bad.keys()

    # The other jobs of the bucket are read, and those that are held find their way into it.
    page = await master.claims.pull(bucket, Cursor(), 1000)
    await world.assign(Room(bucket_id=bucket.id, lane=bucket.lane, priority=bucket.priority, free=1000))
    again = await master.claims.pull(bucket, page.cursor, 1000)
    assert {job.id for job in good} <= {claim.job.id for claim in (*page.claims, *again.claims)}
    assert len(await master.assignments.due_places(world.cluster_id)) <= 1


async def matching(world: World, operator: Operator, value: Any) -> set[UUID]:
    wanted = JobQuery(metadata=[MetadataFilter("tenant", operator, value)])
    return {record.id for record in await listed(world.master, world.cluster_id, wanted)}


def is_shown(table: str, column: str, value: Any) -> bool:
    """Whether a list shows the damage: not what is odd but readable, and not the copy of it that only orders jobs."""
    if column not in SHOWN or (value == -1 and column == "ready_at"):
        return False
    return not (table == "jm_live" and column == "priority") and not str(value).startswith('{"')


@handler("Damage.Work", max_retries=0)
async def work(job: JobContext) -> None:
    assert job.data.get_int("n") == job.metadata.get_int("n")


@asynccontextmanager
async def serving(place: Place) -> AsyncIterator[Runtime]:
    async with place.cluster().add_handlers(work).add_worker(name="w").running() as runtime:
        yield runtime


@pytest.mark.parametrize("column", ["data", "metadata"])
async def test_a_job_whose_data_cannot_be_read_fails_and_the_worker_goes_on(
    place: Place, column: str
) -> None:
    async with place.cluster().add_handlers(work).running(workers=False) as runtime:
        receipts = [await runtime.scheduler.once_now(work, {"n": n}, metadata={"n": n}) for n in range(3)]
    broken = "{broken" if place.can_hold(column, "{broken") else "[]"
    place.damage("jm_job", column, broken, "id = %s", receipts[1].job_id)

    async with serving(place) as runtime:
        ends = [await runtime.jobs.wait(one.job_id, timeout=20) for one in receipts]
        ends.append(
            await runtime.jobs.wait(
                (await runtime.scheduler.once_now(work, {"n": 9}, metadata={"n": 9})).job_id
            )
        )

    assert [one.status for one in ends] == ["succeeded", "failed", "succeeded", "succeeded"]
    assert "not a JSON object" in str(ends[1].attempts[-1].error)
    with pytest.raises(InvalidDataError, match="not a JSON object"):
        dict(ends[1].data if column == "data" else ends[1].metadata)
    shown = await anyio.to_thread.run_sync(place.run, "jobs", "show", str(receipts[1].job_id))
    assert f"{column} {broken!r} is not a JSON object" in shown


async def test_a_job_of_unknown_status_or_priority_stays_and_is_shown(place: Place) -> None:
    async with place.cluster().add_handlers(work).running(workers=False) as runtime:
        first, second, third = [
            (await runtime.scheduler.once_now(work, {"n": n}, metadata={"n": n})).job_id for n in range(3)
        ]
    place.damage("jm_live", "status", 99, "job_id = %s", first)
    for table, key in (("jm_live", "job_id"), ("jm_job", "id")):
        place.damage(table, "priority", 77, f"{key} = %s", second)

    async with serving(place) as runtime:
        await runtime.jobs.wait(third, timeout=20)
        counts = await runtime.jobs.count_by_status()
        status = (await runtime.jobs.get(second)).priority
        said = await anyio.to_thread.run_sync(place.run, "jobs", "list")
        plain = json.loads(await anyio.to_thread.run_sync(place.run, "jobs", "show", str(second), "--json"))
        await anyio.to_thread.run_sync(place.run, "status")

    assert sum(counts.values()) == 3
    assert status == 77
    assert status not in set(Priority)
    assert all(str(one)[-6:] in said.replace("\n", "") for one in (first, second, third))
    assert plain["priority"] == "unknown_77"
    assert "priority 77 is unknown" in plain["damaged"]


@pytest.mark.parametrize(
    ("column", "value"), [("outcome", 99), ("started_at", LATEST), ("finished_at", EARLIEST)]
)
async def test_a_damaged_attempt_is_shown_with_its_job(place: Place, column: str, value: int) -> None:
    async with serving(place) as runtime:
        job_id = (await runtime.scheduler.once_now(work, {"n": 1}, metadata={"n": 1})).job_id
        await runtime.jobs.wait(job_id, timeout=20)
        place.damage("jm_attempt", column, value, "job_id = %s", job_id)

        record = await runtime.jobs.get(job_id)
        found = await runtime.jobs.query()

    assert len(record.attempts) == len(found) == 1
    assert f"attempt 1: {column} {value}" in str(record.damaged)
    json.dumps(to_plain(record))


async def test_a_finished_job_without_its_attempts_is_shown(place: Place) -> None:
    async with serving(place) as runtime:
        job_id = (await runtime.scheduler.once_now(work, {"n": 1}, metadata={"n": 1})).job_id
        await runtime.jobs.wait(job_id, timeout=20)
        place.execute("DELETE FROM jm_attempt WHERE job_id = %s", job_id)

        [found] = await runtime.jobs.query()
        await anyio.to_thread.run_sync(place.run, "jobs", "show", str(job_id))

    assert "neither a live row nor a last attempt" in str(found.damaged)
    assert not found.status.is_terminal


# Clusters, workers, buckets


CLUSTER_DAMAGE = [
    ("jm_cluster", "mode", 99),
    ("jm_cluster", "settings", "{broken"),
    ("jm_cluster", "changes", "{broken"),
    ("jm_cluster", "paused_lanes", "nothing"),
    ("jm_cluster", "created_at", LATEST),
    ("jm_worker", "request", 99),
    ("jm_worker", "mode", 99),
    ("jm_worker", "started_at", EARLIEST),
    ("jm_host", "info", "{broken"),
    ("jm_host", "registered_at", LATEST),
]


async def test_damage_to_what_is_known_of_a_cluster_stops_no_job(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(place) as runtime:
        with caplog.at_level(logging.ERROR, "jobmaster.control"):
            for table, column, value in CLUSTER_DAMAGE:
                place.damage(table, column, value, "%s = %s", 1, 1)
                await runtime._environment.heed()
                job = (await runtime.scheduler.once_now(work, {"n": 1}, metadata={"n": 1})).job_id
                assert (await runtime.jobs.wait(job, timeout=20)).status is JobStatus.SUCCEEDED
            for command in (("status",), ("status", "--json"), ("workers", "list"), ("buckets", "list")):
                await anyio.to_thread.run_sync(place.run, *command)

    assert "created_at" in caplog.text
    said = [record.getMessage() for record in caplog.records if "is left alone" in record.getMessage()]
    assert len(said) == len(set(said))


async def test_a_request_that_nobody_knows_keeps_no_worker_from_living_again(place: Place) -> None:
    async with serving(place) as runtime:
        worker = runtime._supervisor.workers[0]
        assert worker.current is not None
        place.damage("jm_worker", "request", 99, "%s = %s", 1, 1)
        await runtime._environment.heed()
        worker.current.fence("this test wants it to live again")

        job = (await runtime.scheduler.once_now(work, {"n": 1}, metadata={"n": 1})).job_id
        assert (await runtime.jobs.wait(job, timeout=20)).status is JobStatus.SUCCEEDED

        place.damage("jm_worker", "request", 99, "%s = %s", 1, 1)
        await anyio.to_thread.run_sync(place.run, "workers", "stop", "w")
        with anyio.fail_after(20):
            await worker.stopped.wait()


@pytest.mark.parametrize(("column", "value"), [("mode", 99), ("changes", "{broken"), ("paused_lanes", "{}")])
async def test_who_starts_does_not_guess_what_a_damaged_cluster_was_told(
    place: Place, column: str, value: Any
) -> None:
    async with place.cluster().running(workers=False):
        pass
    place.damage("jm_cluster", column, value, "%s = %s", 1, 1)

    with pytest.raises(ConfigurationError, match=rf"{column} .*; correct it there"):
        async with serving(place):
            pass
    async with open_master(place.url) as master:
        record = await master.clusters.get("Damaged")
        assert record is not None
        assert column in str(record.damaged)


async def test_settings_that_cannot_be_read_are_written_anew_by_who_starts(place: Place) -> None:
    async with place.cluster().running(workers=False):
        pass
    place.damage("jm_cluster", "settings", "{broken", "%s = %s", 1, 1)

    async with serving(place) as runtime:
        job = (await runtime.scheduler.once_now(work, {"n": 1}, metadata={"n": 1})).job_id
        assert (await runtime.jobs.wait(job, timeout=20)).status is JobStatus.SUCCEEDED


async def test_a_damaged_cluster_is_not_changed(place: Place) -> None:
    async with serving(place) as runtime:
        place.damage("jm_cluster", "paused_lanes", "{}", "%s = %s", 1, 1)

        with pytest.raises(StoreError, match="correct it in the database"):
            await runtime.pause_lane("Default")


@pytest.mark.parametrize(
    ("column", "value"),
    [("status", 99), ("priority", 77), ("created_at", LATEST), ("claimed_ready_at", EARLIEST)],
)
async def test_a_damaged_bucket_is_listed(place: Place, world: World, column: str, value: int) -> None:
    bad, good = await world.bucket(), await world.bucket()
    await world.put(good, 1)
    place.damage("jm_bucket", column, value, "id = %s", bad.id)

    found = {one.id: one for one in await world.master.buckets.list_all(world.cluster_id)}
    page = await world.master.claims.pull(good, Cursor(), 10)

    assert found.keys() == {bad.id, good.id}
    assert (found[bad.id].damaged is None) == (column == "claimed_ready_at")
    assert len(page.claims) == 1
    await world.master.buckets.list_active(world.cluster_id)
    await world.master.rescue.is_needed(world.cluster_id)


async def test_a_bucket_that_nobody_can_take_over_keeps_no_other_one_from_it(
    place: Place, world: World
) -> None:
    bad, good = await world.bucket(lease=SHORT), await world.bucket(lease=SHORT)
    place.damage("jm_bucket", "epoch", 2**31 - 1, "id = %s", bad.id)

    [taken] = await world.rescue()
    found = {one.id: one.damaged for one in await world.master.buckets.list_all(world.cluster_id)}

    assert taken.id == good.id
    assert "epoch" in str(found[bad.id])


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("jm_job", "priority", "high"),
        ("jm_job", "priority", b"\xff"),
        ("jm_job", "priority", 9e999),
        ("jm_job", "id", "no id"),
        ("jm_job", "data", b"\xff"),
        ("jm_job", "metadata", b"\xff"),
        ("jm_job", "scheduled_at", "soon"),
        ("jm_job", "timeout_us", "long"),
        ("jm_live", "bucket_id", "no id"),
        ("jm_live", "status", "odd"),
        ("jm_live", "ready_at", 9e999),
    ],
)
async def test_sqlite_keeps_values_of_any_type(tmp_path: Path, table: str, column: str, value: Any) -> None:
    place = Place(f"sqlite:///{tmp_path}/jobs.db")
    async with open_master(place.url) as master:
        world = await make_world(master)
        bad, good = await world.put(None, 2, metadata=FACTS)
        place.damage(table, column, value, f"{'id' if table == 'jm_job' else 'job_id'} = %s", bad.id)

        found = await listed(master, world.cluster_id)
        for one in found:
            await master.jobs.get(world.cluster_id, one.id)

        assert {one.id for one in found if one.damaged is None} == {good.id}
        assert len(found) == 2
        assert await matching(world, Operator.EQ, "acme") >= {good.id}
        await master.jobs.count(world.cluster_id, JobQuery())
        await master.assignments.due_places(world.cluster_id)


# Schedules


SCHEDULE_DAMAGE = [
    ("overlap", 99),
    ("misfire", "at random"),
    ("waiting", "{broken"),
    ("planned_to", LATEST),
    ("planned_to", EARLIEST),
    ("ends_before", EARLIEST),
    ("scheduled_at", LATEST),
    ("priority", 77),
    ("data", "{broken"),
]


async def test_a_damaged_schedule_holds_no_other_one_up(place: Place) -> None:
    data: Any = {"n": 1}
    async with place.cluster().add_handlers(work).running(workers=False) as runtime:

        async def make() -> UUID:
            made = await runtime.scheduler.recurring(work, timedelta(seconds=1), data, metadata=data)
            return made.schedule_id

        bad = {await make(): damage for damage in SCHEDULE_DAMAGE}
        good = await make()
    for schedule_id, (column, value) in bad.items():
        place.damage("jm_schedule", column, value, "id = %s", schedule_id)

    async with serving(place) as runtime:

        async def fired() -> bool:
            return bool(await runtime.jobs.query(schedule=good))

        await until(fired, what="the other schedule to fire")
        records = {one.id: one for one in await runtime.schedules.query()}
        jobs = [job for schedule_id in bad for job in await runtime.jobs.query(schedule=schedule_id)]
        await anyio.to_thread.run_sync(place.run, "schedules", "list")
        for schedule_id in bad:
            await anyio.to_thread.run_sync(place.run, "schedules", "show", str(schedule_id))

    assert records[good].damaged is None
    assert all(column in str(records[schedule_id].damaged) for schedule_id, (column, _) in bad.items())
    assert jobs == []
    json.dumps([to_plain(one) for one in records.values()])


# Moving


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [("jm_job", "created_at", LATEST), ("jm_live", "ready_at", EARLIEST), ("jm_job", "data", "{broken")],
)
async def test_what_is_damaged_does_not_move_and_is_named(
    place: Place, world: World, table: str, column: str, value: Any
) -> None:
    bad, good = await world.put(None, 2)
    place.damage(table, column, value, f"{'id' if table == 'jm_job' else 'job_id'} = %s", bad.id)
    async with open_master("memory://") as target:
        there = await make_world(target)
        route = Route(
            source_id=world.cluster_id,
            source=world.master,
            target_id=there.cluster_id,
            target=target,
            destination="there",
        )
        result = await MoveCluster(route).run_once()

        assert [left.id for left in result.left] == [bad.id]
        assert column in result.left[0].why
        assert await target.jobs.get(there.cluster_id, good.id) is not None
    assert await world.master.jobs.get(world.cluster_id, bad.id) is not None
