"""Looking at a cluster from code: what the command line shows is what the functions return."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from typer.testing import CliRunner

from jobmaster import (
    Cluster,
    ClusterMode,
    ClusterNotFoundError,
    JobContext,
    JobDefinition,
    JobNotFoundError,
    Runtime,
    ScheduleNotFoundError,
    handler,
)
from jobmaster.cli import build_app
from jobmaster.contracts import MasterRepository
from jobmaster.inspection import (
    Lane,
    Reason,
    buckets_document,
    cluster_document,
    find_jobs,
    find_schedules,
    get_job,
    get_schedule,
    job_document,
    jobs_document,
    lanes_document,
    opened,
    reasons_document,
    registered,
    schedule_document,
    schedules_document,
    take_snapshot,
    why_waiting,
    workers_document,
)
from jobmaster.models import JobQuery
from jobmaster.schedule_models import ScheduleQuery

pytestmark = pytest.mark.anyio


@handler("Inspected.Greet")
async def greet(_job: JobContext) -> None:
    """Do nothing."""


def new_cluster(url: str = "") -> Cluster:
    return Cluster("Seen-1", url or f"memory://{uuid4().hex}").add_worker(name="w1").add_handlers(greet)


@asynccontextmanager
async def looked_at() -> AsyncIterator[tuple[Cluster, Runtime, MasterRepository]]:
    cluster = new_cluster()
    async with cluster.running() as runtime, opened(cluster) as master:
        await runtime.workers_ready()
        yield cluster, runtime, master


class TestReasons:
    async def test_a_job_that_has_finished_has_none(self) -> None:
        async with looked_at() as (cluster, runtime, master):
            receipt = await runtime.scheduler.once_now(greet)
            await runtime.jobs.wait(receipt.job_id, 10)

            assert await why_waiting(cluster, master, receipt.job_id) == []

    async def test_a_due_time_that_has_not_come(self) -> None:
        async with looked_at() as (cluster, runtime, master):
            receipt = await runtime.scheduler.once_after(greet, 3600)
            (reason,) = await why_waiting(cluster, master, receipt.job_id)
            job = await get_job(cluster, master, receipt.job_id)

            assert reason.what.startswith("it is due at 2")
            assert reason.remedy == "reschedule it to run it sooner"
            assert job.reason is None

    async def test_all_that_is_in_the_way_is_told(self) -> None:
        async with looked_at() as (cluster, runtime, master):
            await runtime.pause_lane("Rest")
            paused = await runtime.scheduler.once_now(greet, lane="Rest")
            unserved = await runtime.scheduler.once_now(greet, lane="Elsewhere")
            await runtime.set_mode(ClusterMode.PASSIVE)

            passive = Reason("the cluster is passive", "run `jobmaster cluster mode active` to run jobs")
            rests = Reason("lane 'Rest' is paused", "`jobmaster lane resume Rest` resumes it")
            nobody = Reason("no worker serves lane 'Elsewhere' now", "start one with lane='Elsewhere'")
            assert await why_waiting(cluster, master, str(paused.job_id)) == [passive, rests]
            assert await why_waiting(cluster, master, unserved.job_id) == [passive, nobody]
            # A job has room for one.
            assert (await get_job(cluster, master, paused.job_id)).reason == str(passive)

    async def test_a_handler_that_nobody_knows(self) -> None:
        async with looked_at() as (cluster, runtime, master):
            receipt = await runtime.scheduler.once_now(JobDefinition("Inspected.Unknown"))
            with anyio.fail_after(10):
                while not (job := await get_job(cluster, master, receipt.job_id)).reason:
                    await anyio.lowlevel.checkpoint()

            first, *_ = await why_waiting(cluster, master, receipt.job_id)
            assert str(first) == job.reason
            assert "no handler" in first.what

    def test_the_document_has_what_and_remedy(self) -> None:
        found = reasons_document([Reason.from_text("it rests; wake it; or wait"), Reason("it rests")])

        assert found == {
            "reasons": [
                {"what": "it rests", "remedy": "wake it; or wait"},
                {"what": "it rests", "remedy": ""},
            ]
        }


class TestPages:
    async def test_the_last_one_of_a_full_page_leads_to_the_next(self) -> None:
        async with looked_at() as (cluster, runtime, master):
            ids = [(await runtime.scheduler.once_after(greet, 3600)).job_id for _ in range(3)]
            first = await find_jobs(cluster, master, JobQuery(limit=2))
            second = await find_jobs(cluster, master, JobQuery(limit=2, after=first.next))

            assert [job.id for job in [*first.jobs, *second.jobs]] == ids[::-1]
            assert (first.next, second.next) == (ids[1], None)

    async def test_a_name_that_nobody_knows_is_noted(self) -> None:
        async with looked_at() as (cluster, runtime, master):
            await runtime.scheduler.recurring(greet, "every day at 18:00")
            jobs = await find_jobs(cluster, master, JobQuery(lane="defualt"))
            schedules = await find_schedules(cluster, master, ScheduleQuery(definition_id="Inspected.Gret"))

            assert jobs.notes == [
                "no worker serves lane 'defualt', and it has no jobs; did you mean 'default'?"
            ]
            assert schedules.notes == [
                "no job or schedule has the handler 'Inspected.Gret'; did you mean 'Inspected.Greet'?"
            ]


async def test_lanes_are_those_that_are_served_or_paused() -> None:
    async with looked_at() as (cluster, runtime, master):
        await runtime.pause_lane("Rest")

        snapshot = await take_snapshot(cluster, master)
        assert snapshot.lanes() == [
            Lane("Rest", paused=True, workers=0),
            Lane("default", paused=False, workers=1),
        ]
        assert lanes_document(snapshot.lanes()) == {
            "lanes": [
                {"lane": "Rest", "paused": True, "workers": 0},
                {"lane": "default", "paused": False, "workers": 1},
            ]
        }


async def test_buckets_are_found_by_lane_and_agent() -> None:
    async with looked_at() as (cluster, _, master):
        snapshot = await take_snapshot(cluster, master)

        assert snapshot.found_buckets() == snapshot.found_buckets(lane="default", agent="standalone") != []
        assert snapshot.found_buckets(lane="other") == snapshot.found_buckets(agent="other") == []


@pytest.mark.parametrize(
    "look",
    [
        take_snapshot,
        registered,
        lambda cluster, master: find_jobs(cluster, master, JobQuery()),
        lambda cluster, master: get_job(cluster, master, "x"),
        lambda cluster, master: why_waiting(cluster, master, "x"),
        lambda cluster, master: find_schedules(cluster, master, ScheduleQuery()),
        lambda cluster, master: get_schedule(cluster, master, "x", 1),
    ],
)
async def test_a_cluster_that_was_never_started_is_not_found(
    look: Callable[[Cluster, MasterRepository], Awaitable[Any]],
) -> None:
    cluster = new_cluster()
    async with opened(cluster) as master:
        with pytest.raises(ClusterNotFoundError, match="the master has no cluster 'Seen-1'"):
            await look(cluster, master)


async def test_an_unknown_id_is_refused() -> None:
    async with looked_at() as (cluster, _, master):
        with pytest.raises(JobNotFoundError):
            await get_job(cluster, master, uuid4())
        with pytest.raises(ScheduleNotFoundError):
            await get_schedule(cluster, master, uuid4(), 1)


class TestCommandLine:
    """A command with `--json` prints the document of what the functions return, and nothing else."""

    async def printed(self, cluster: Cluster, *command: str) -> str:
        where = ("--json", "--cluster", cluster.id, "--master", cluster.master_url)
        done = await anyio.to_thread.run_sync(lambda: CliRunner().invoke(build_app(), [*command, *where]))
        assert done.exit_code == 0, done.stderr
        return done.stdout

    @pytest.fixture
    async def seen(self, tmp_path: Path) -> tuple[Cluster, Sequence[Any]]:
        cluster = new_cluster(f"sqlite:///{tmp_path}/jobs.db")
        async with cluster.running() as runtime:
            await runtime.workers_ready()
            ran = await runtime.scheduler.once_now(greet, {"name": "Ann"}, metadata={"number": 5})
            await runtime.jobs.wait(ran.job_id, 10)
            await runtime.scheduler.once_after(greet, 3600, lane="Payroll", key="bob")
            schedule = await runtime.scheduler.recurring(
                greet, "every day at 18:00", time_zone="Europe/Paris"
            )
            await runtime.pause_lane("Rest")
        return cluster, [ran.job_id, schedule.schedule_id]

    async def test_they_are_the_same_byte_for_byte(self, seen: tuple[Cluster, Sequence[Any]]) -> None:
        cluster, (job_id, schedule_id) = seen
        async with opened(cluster) as master:
            page = await find_jobs(cluster, master, JobQuery(limit=1))
            schedules = await find_schedules(cluster, master, ScheduleQuery(limit=100))
            schedule, times = await get_schedule(cluster, master, schedule_id, 5)
            snapshot = await take_snapshot(cluster, master)
            documents = {
                ("jobs", "list", "--limit", "1"): jobs_document(page),
                ("jobs", "show", str(job_id)): job_document(await get_job(cluster, master, job_id)),
                ("schedules", "list"): schedules_document(schedules),
                ("schedules", "show", str(schedule_id)): schedule_document(schedule, times),
                ("workers", "list"): workers_document(snapshot, snapshot.listed(every=False)),
                ("buckets", "list", "--all"): buckets_document(snapshot, snapshot.found_buckets(every=True)),
                ("lane", "list"): lanes_document(snapshot.lanes()),
                ("cluster", "show"): cluster_document(await registered(cluster, master)),
            }
        assert page.jobs
        assert snapshot.buckets

        printed = {command: await self.printed(cluster, *command) for command in documents}

        assert printed == {
            command: f"{json.dumps(document, indent=2)}\n" for command, document in documents.items()
        }
