"""Clusters that move and archive, from the settings to the summary."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest
from typer.testing import CliRunner, Result

from jobmaster import (
    Cluster,
    ClusterArchivedError,
    ConfigurationError,
    JobContext,
    JobStatus,
    Runtime,
    StoreUnavailableError,
    handler,
    hookimpl,
)
from jobmaster._runtime.housekeeping import pruning
from jobmaster.cli import ExitCode, build_app
from jobmaster.contracts import MasterRepository, Message
from jobmaster.plugins import Plugins
from jobmaster.states import ClusterMode, WorkerStatus
from jobmaster_testing.contracts.world import World
from jobmaster_testing.factories import make_bucket, make_job, make_new_job, make_schedule
from jobmaster_testing.faults import Faults
from jobmaster_testing.probes import until
from jobmaster_testing.wrapping import intercepted

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

SOON = {"heartbeat": 0.05, "lease": 0.2, "poll_interval": 0.05}
RUN: list[UUID] = []


@handler("Moving.Work")
async def work(job: JobContext) -> None:
    RUN.append(job.id)


@pytest.fixture(autouse=True)
def _nothing_run() -> None:
    RUN.clear()


@pytest.fixture
def there() -> str:
    """Return the URL of another store."""
    return f"memory://{uuid4().hex}"


class Switched:
    """Serves `switched+<url>` as `<url>`, while it is on."""

    def __init__(self) -> None:
        self.on = False

    @hookimpl
    def jobmaster_schemes(self) -> Mapping[str, str]:
        return {"switched+memory": "for tests"}

    @hookimpl
    def jobmaster_master(self, url: str, options: Any) -> MasterRepository | None:
        before, switched, inner = url.partition("switched+")
        if before or not switched:
            return None
        return intercepted(Plugins().master(inner, options), self._reach)

    async def _reach(self, _: str, act: Callable[[], Awaitable[Any]]) -> Any:
        if not self.on:
            raise StoreUnavailableError("the target is away")
        return await act()


async def put_away(runtime: Runtime, mode: ClusterMode, count: int = 3) -> set[UUID]:
    """Schedule jobs that are held, and change the cluster's mode."""
    receipts = [await runtime.scheduler.once_after(work, 3600) for _ in range(count)]
    await runtime.set_mode(mode)
    return {receipt.job_id for receipt in receipts}


async def prepare(build: Build, mode: ClusterMode = ClusterMode.MIGRATING) -> set[UUID]:
    """Run a producer that schedules and leaves the cluster in a mode; return the ids of its jobs."""
    async with build(work).running() as runtime:
        return await put_away(runtime, mode)


# In the background


async def test_a_migrating_cluster_moves_by_itself_what_is_there_and_what_comes(
    cluster: Build, producer: Build, there: str
) -> None:
    jobs = await prepare(producer)
    source = cluster(work, **SOON).move_to(there, "Test-2", mode="active")
    target = producer(work, cluster_id="Test-2", url=there, **SOON).add_worker(parallelism=1)
    async with source.running() as here, target.running() as runtime:
        await until(lambda: moved(here, runtime, 3))
        late = (await here.scheduler.once_now(work)).job_id
        await until(lambda: late in RUN)
        done = await runtime.jobs.get(late)
        assert {job.id async for job in runtime.jobs.all()} == jobs | {late}
        assert done.job.cluster_id == "Test-2"
        assert await here.jobs.count() == 0


async def test_a_running_cluster_begins_to_move_when_its_mode_changes(
    cluster: Build, producer: Build, there: str
) -> None:
    async with cluster(work, **SOON).move_to(there).running() as here:
        done = (await here.scheduler.once_now(work)).job_id
        later = (await here.scheduler.once_after(work, 3600)).job_id
        assert (await here.jobs.wait(done, 10)).status is JobStatus.SUCCEEDED
        await here.set_mode("migrating")
        await until(lambda: only(here, done))
    async with producer(work, url=there).running() as runtime:
        assert [job.id async for job in runtime.jobs.all()] == [later]


async def moved(here: Runtime, there: Runtime, count: int) -> bool:
    return await here.jobs.count() == 0 and await there.jobs.count() == count


async def test_a_recurring_schedule_goes_on_at_the_target(
    cluster: Build, producer: Build, there: str
) -> None:
    async with cluster(work, **SOON).running() as runtime:
        receipt = await runtime.scheduler.recurring(work, timedelta(seconds=1), overlap="queue")
        await until(lambda: len(RUN) >= 1)
        await runtime.set_mode(ClusterMode.MIGRATING)
    source = cluster(work, **SOON).move_to(there, mode="active")
    async with (
        source.running(),
        producer(work, url=there, **SOON).add_worker(parallelism=1).running() as after,
    ):
        so_far = len(RUN)
        await until(lambda: len(RUN) >= so_far + 2)
        jobs = [job async for job in after.jobs.all()]
        await after.scheduler.pause_recurring(receipt.schedule_id)

    assert {job.schedule_id for job in jobs} == {receipt.schedule_id}
    assert len(RUN) == len(set(RUN))


async def test_a_process_without_a_coordinator_moves_nothing(
    cluster: Build, producer: Build, there: str
) -> None:
    await prepare(producer)
    source = cluster(work, worker={"mode": "execution", "parallelism": 1}, **SOON).move_to(there)
    async with source.running() as runtime:
        assert runtime._env.move_to is None
        assert await runtime.jobs.count() == 3


@pytest.mark.parametrize("wrong", ["mode", "itself"])
async def test_a_wrong_target_is_told_of_and_nothing_moves(
    cluster: Build, producer: Build, there: str, store_url: str, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    await prepare(producer)
    url = there if wrong == "mode" else f"{store_url}/"
    async with producer(url=there, cluster_id="Test-1").running() as runtime:
        await runtime.set_mode(ClusterMode.ARCHIVED)
        with caplog.at_level(logging.ERROR, "jobmaster.moving"):
            async with cluster(work, **SOON).move_to(url).running() as source:
                await until(lambda: "nothing moves" in caplog.text)
                assert await source.jobs.count() == 3
    told = {"mode": "'Test-1' is archived, but must be active or passive", "itself": "itself; give another"}
    assert told[wrong] in caplog.text


async def test_while_the_target_is_away_nothing_is_deleted(
    cluster: Build, producer: Build, there: str, caplog: pytest.LogCaptureFixture
) -> None:
    await prepare(producer)
    switch = Switched()
    source = cluster(work, **SOON).move_to(f"switched+{there}").use(switch)
    async with source.running() as here:
        await until(lambda: "the target is away" in caplog.text)
        assert await here.jobs.count() == 3
        switch.on = True
        await until(lambda: none_left(here))
    async with producer(url=there).running() as runtime:
        assert await runtime.jobs.count() == 3


async def none_left(runtime: Runtime) -> bool:
    return await runtime.jobs.count() == 0


# Archiving


async def test_finished_jobs_are_archived_past_their_retention(
    cluster: Build, producer: Build, there: str
) -> None:
    source = cluster(work, retention=0.05, **SOON).archive_to(there)
    async with source.running() as here:
        job_id = (await here.scheduler.once_now(work)).job_id
        later = (await here.scheduler.once_after(work, 3600)).job_id
        await until(lambda: job_id in RUN)
        await until(lambda: only(here, later))
    async with producer(work, url=there).running() as archive:
        job = await archive.jobs.get(job_id)
        assert (job.status, len(job.attempts)) == (JobStatus.SUCCEEDED, 1)
        assert archive.mode is ClusterMode.ARCHIVED
        with pytest.raises(ClusterArchivedError):
            await archive.scheduler.once_now(work)


async def only(runtime: Runtime, job_id: UUID) -> bool:
    return [job.id async for job in runtime.jobs.all()] == [job_id]


async def test_what_cannot_be_archived_is_not_pruned(
    cluster: Build, there: str, caplog: pytest.LogCaptureFixture
) -> None:
    switch = Switched()
    source = cluster(work, retention=0, **SOON).archive_to(f"switched+{there}").use(switch)
    async with source.running() as here:
        job_id = (await here.scheduler.once_now(work)).job_id
        await until(lambda: "the target is away" in caplog.text)
        assert (await here.jobs.wait(job_id, 10)).status is JobStatus.SUCCEEDED
        assert await pruning(here._env).tick() is not None
        assert await only(here, job_id)
        switch.on = True
        await until(lambda: none_left(here))


async def test_an_archive_has_to_be_archived(
    cluster: Build, producer: Build, there: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with producer(url=there).running(), cluster(work, **SOON).archive_to(there).running():
        await until(lambda: "'Test-1' is active, but must be archived" in caplog.text)


# In the foreground


async def test_a_whole_cluster_moves_in_one_call(producer: Build, there: str) -> None:
    seen: list[int] = []
    async with producer(work).running() as here:
        jobs = await put_away(here, ClusterMode.ACTIVE)
        receipt = await here.scheduler.recurring(work, "every hour")
        target = here.cluster.target(there)
        summary = await here.move(target, on_moved=lambda moved: seen.append(moved.moved))
        again = await here.move(target)
        assert here.mode is ClusterMode.MIGRATING
    assert (summary.jobs, summary.schedules, summary.is_complete, sum(seen)) == (3, 1, True, 4)
    assert (again.jobs, again.schedules, again.is_complete) == (0, 0, True)
    async with producer(work, url=there).running() as runtime:
        assert {job.id async for job in runtime.jobs.all()} == jobs
        assert (await runtime.schedules.get(receipt.schedule_id)).busy is False
        assert runtime.mode is ClusterMode.PASSIVE


async def test_the_jobs_of_a_dead_worker_move_too(producer: Build, there: str) -> None:
    async with producer(work, **SOON).running() as here:
        world = World(here.master, here.id)
        bucket = await world.bucket(lease=0.05)
        jobs = await world.put(bucket, 5)
        await world.claims(bucket, 2)
        summary = await here.move(here.cluster.target(there), patience=10)
        workers = {w.name: w.status for w in await here.list_workers()}
    assert (summary.jobs, summary.is_complete) == (5, True)
    assert workers.pop("Worker-01") is WorkerStatus.LOST
    assert set(workers.values()) == {WorkerStatus.STOPPED}
    async with producer(work, url=there).running() as runtime:
        records = [await runtime.jobs.get(job.id) for job in jobs]
    assert sorted(len(record.attempts) for record in records) == [0, 0, 0, 1, 1]


async def test_jobs_that_only_an_agent_knows_move_too(producer: Build, there: str) -> None:
    source = producer(work, **SOON).add_agent("Agent-1", f"memory://{uuid4().hex}")
    async with source.running() as here:
        job_ids = await known_to_its_agent(here)
        assert await here.master.buckets.holdings(here.id) == {}
        summary = await here.move(here.cluster.target(there), patience=10)
        assert await here._env.agents["Agent-1"].buckets.holdings() == {}
    assert (summary.jobs, summary.unasked, summary.is_complete) == (3, [], True)
    async with producer(work, url=there).running() as runtime:
        assert {job.id async for job in runtime.jobs.all()} == job_ids


async def known_to_its_agent(here: Runtime) -> set[UUID]:
    """Put jobs on Agent-1, into a bucket of a worker that dies; return their ids."""
    world, agent = World(here.master, here.id), here._env.agents["Agent-1"]
    worker = await world.worker(agent="Agent-1", lease=0.05)
    bucket = make_bucket(worker)
    await agent.buckets.create([bucket])
    await here.master.workers.register(worker, [bucket], 0.05)
    new = [make_new_job(bucket, definition_id="Moving.Work") for _ in range(3)]
    await agent.messages.push([Message(new=one) for one in new])
    return {one.job.id for one in new}


async def test_a_move_is_not_complete_while_an_agent_that_may_hold_jobs_was_not_asked(
    producer: Build, there: str
) -> None:
    agent_url = f"memory://{uuid4().hex}"
    async with producer(work, **SOON).add_agent("Agent-1", agent_url).running() as here:
        job_ids = await known_to_its_agent(here)
    async with producer(work, **SOON).running() as unaware:
        first = await unaware.move(unaware.cluster.target(there), patience=0.5)
    async with producer(work, **SOON).add_agent("Agent-1", agent_url).running() as here:
        second = await here.move(here.cluster.target(there), patience=10)
    async with producer(work, **SOON).running() as unaware:
        third = await unaware.move(unaware.cluster.target(there))
    assert (first.jobs, first.unasked, first.is_complete) == (0, ["Agent-1"], False)
    assert (second.jobs, second.is_complete) == (len(job_ids), True)
    assert third.is_complete, "what an agent has given back is no reason to name it for ever"


async def test_a_move_is_not_complete_while_an_agent_is_away(producer: Build, there: str) -> None:
    agent_url, faults = f"faulty+memory://{uuid4().hex}", Faults()
    faults.away.add("Agent-1")
    source = producer(work, **SOON).add_agent("Agent-1", agent_url).use(faults)
    async with source.running() as here:
        away = await here.move(here.cluster.target(there), patience=0.1)
        faults.away.clear()
        back = await here.move(here.cluster.target(there), patience=10)
    assert (away.unasked, away.is_complete) == (["Agent-1"], False)
    assert (back.unasked, back.is_complete) == ([], True)


async def test_jobs_in_the_hands_of_a_worker_are_waited_for(producer: Build, there: str) -> None:
    async with producer(work).running() as here:
        world = World(here.master, here.id)
        bucket = await world.bucket()
        job = await world.put_one(bucket)
        target = here.cluster.target(there)
        short = await here.move(target, patience=0)
        async with anyio.create_task_group() as group:
            group.start_soon(world.master.buckets.release, bucket)
            long = await here.move(target, patience=10)
    assert (short.jobs, short.in_buckets, short.is_complete) == (0, 1, False)
    assert (long.jobs, long.in_buckets, long.is_complete) == (1, 0, True)
    async with producer(work, url=there).running() as runtime:
        assert (await runtime.jobs.get(job.id)).status is JobStatus.HELD_ON_MASTER


async def test_a_target_that_cannot_be_used_changes_nothing(producer: Build, there: str) -> None:
    switch = Switched()
    async with producer(work).use(switch).running() as here:
        await put_away(here, ClusterMode.ACTIVE)
        with pytest.raises(StoreUnavailableError, match="the target is away"):
            await here.move(here.cluster.target(f"switched+{there}"))
        with pytest.raises(ConfigurationError, match="no target is given"):
            await here.move()
        assert here.mode is ClusterMode.ACTIVE
        assert await here.jobs.count() == 3


async def test_what_is_left_behind_is_in_the_summary(producer: Build, there: str) -> None:
    async with producer(work, url=there).running() as other, producer(work).running() as here:
        await other.scheduler.once_after(work, 3600, key="k")
        job_id = (await here.scheduler.once_after(work, 3600, key="k")).job_id
        summary = await here.move(here.cluster.target(there))
        forced = await here.move(here.cluster.target(there, keep_keys=False))
    assert ([left.id for left in summary.left], summary.is_complete) == ([job_id], False)
    assert (forced.jobs, forced.is_complete) == (1, True)


async def test_a_new_target_has_the_settings_and_paused_lanes_of_the_source(
    producer: Build, there: str
) -> None:
    async with producer(work).running() as here:
        await here.configure(default_max_retries=7)
        await here.pause_lane("Payroll")
        await here.move(here.cluster.target(there))
    async with producer(work, url=there).running() as runtime:
        assert runtime.settings.default_max_retries == 7
        assert runtime.paused_lanes == {"Payroll"}


async def test_history_moves_if_it_is_asked_for(cluster: Build, producer: Build, there: str) -> None:
    async with cluster(work).running() as runtime:
        job_id = (await runtime.scheduler.once_now(work)).job_id
        await runtime.jobs.wait(job_id, 10)
    async with producer(work).running() as here:
        without = await here.move(here.cluster.target(there))
        with_it = await here.move(here.cluster.target(there, history=True))
    assert (without.jobs, with_it.jobs) == (0, 1)


async def test_a_declared_schedule_moves_on_to_a_cluster_of_its_name(producer: Build, there: str) -> None:
    async with producer(work).running() as here:
        template = make_job(cluster_id=here.id, definition_id="Moving.Work")
        await here.master.schedules.add([make_schedule(template, name="Nightly")])
        same = await here.move(here.cluster.target(there))
    assert same.schedules == 1


# Settings


def test_a_target_that_is_the_cluster_itself_is_refused(producer: Build, store_url: str, there: str) -> None:
    for name in ("move_to", "archive_to"):
        with pytest.raises(ConfigurationError, match=f"{name}: the target is the cluster 'Test-1' itself"):
            getattr(producer(), name)(store_url)
        with pytest.raises(ConfigurationError, match="itself"):
            getattr(producer(), name)(store_url, "Test-1")
        getattr(producer(), name)(store_url, "Test-2")
        getattr(producer(), name)(there)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"url": "nowhere"}, "url: the value is not a URL"),
        ({"url": "memory://x", "cluster_id": "a b"}, "cluster_id: 'a b' is not a valid name"),
        ({"url": "memory://x", "mode": "archived"}, "mode: 'archived' is not a mode for a target"),
        ({"url": "memory://x", "keep": True}, "there is no setting 'keep'"),
    ],
)
def test_wrong_targets_are_refused(producer: Build, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        producer().move_to(**settings)


def test_targets_in_a_file() -> None:
    made = Cluster.from_config(
        {
            "cluster": "Test-1",
            "master": "memory://here",
            "move_to": {"url": "memory://new", "cluster_id": "Test-2", "mode": "active"},
            "archive_to": {"url": "memory://old"},
        }
    )
    assert made.move_target == made.target("memory://new", "Test-2", mode="active")
    assert made.archive_target is not None
    assert made.archive_target.url == "memory://old"


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({}, "archive_to: 'url' is missing"),
        ({"url": "memory://x", "mode": "active"}, "archive_to: there is no setting 'mode'"),
        ({"url": "memory://here"}, "archive_to: the target is the cluster 'Test-1' itself"),
        ("memory://x", "archive_to: memory://x is not a table"),
    ],
)
def test_wrong_targets_in_a_file_are_refused(table: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        Cluster.from_config({"cluster": "Test-1", "master": "memory://here", "archive_to": table})


def test_an_unknown_scheme_names_the_setting(producer: Build) -> None:
    async def run() -> None:
        async with producer().running() as runtime:
            await runtime.move(runtime.cluster.target("mysql://host/new"))

    with pytest.raises(ConfigurationError, match=r"move_to: no installed provider serves mysql://"):
        anyio.run(run)


# The command


class TestCommand:
    """`jobmaster move`."""

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    def run(self, url: str, *arguments: str) -> Result:
        where = ("--cluster", "Test-1", "--master", url)
        return CliRunner().invoke(build_app(), ["move", *arguments, *where])

    def test_it_moves_and_can_be_repeated(self, producer: Build, store_url: str, there: str) -> None:
        anyio.run(prepare, producer)

        first = self.run(store_url, "--to", there, "--to-cluster", "Test-2")
        second = self.run(store_url, "--to", there, "--to-cluster", "Test-2", "--json")

        assert first.exit_code == second.exit_code == ExitCode.OK, first.stderr
        assert "Cluster Test-1 moved to Test-2: 3 jobs, 0 schedules" in first.stdout
        assert "moved 3 jobs, 0 schedules" in first.stdout
        assert json.loads(second.stdout) == {
            "target": "Test-2", "complete": True, "jobs": 0, "schedules": 0, "in_buckets": 0,
            "waiting_schedules": 0, "unasked_agents": [], "left": [],
        }  # fmt: skip

    def test_it_says_what_is_left_and_why(self, producer: Build, store_url: str, there: str) -> None:
        anyio.run(self.same_keys, producer, there)

        result = self.run(store_url, "--to", there)
        dropped = self.run(store_url, "--to", there, "--drop-keys")

        assert result.exit_code == ExitCode.FAILED
        assert "its key 'k' belongs to" in result.stdout
        assert dropped.exit_code == ExitCode.OK

    async def same_keys(self, producer: Build, there: str) -> None:
        async with producer(work, url=there).running() as other, producer(work).running() as here:
            for runtime in (other, here):
                await runtime.scheduler.once_after(work, 3600, key="k")

    def test_jobs_in_buckets_are_told_of(self, producer: Build, store_url: str, there: str) -> None:
        anyio.run(self.in_hand, producer)

        result = self.run(store_url, "--to", there, "--wait", "0")

        assert result.exit_code == ExitCode.FAILED
        assert "1 job is still in buckets" in result.stdout

    def test_agents_that_were_not_asked_are_told_of(
        self, producer: Build, store_url: str, there: str
    ) -> None:
        anyio.run(self.on_an_agent, producer)

        result = self.run(store_url, "--to", there, "--wait", "0")

        assert result.exit_code == ExitCode.FAILED
        assert "Agent Agent-1 could not be asked" in result.stdout
        assert "Nothing is left" not in result.stdout

    async def on_an_agent(self, producer: Build) -> None:
        async with producer(work).add_agent("Agent-1", f"memory://{uuid4().hex}").running() as here:
            await known_to_its_agent(here)

    async def in_hand(self, producer: Build) -> None:
        async with producer(work).running() as here:
            world = World(here.master, here.id)
            await world.put_one(await world.bucket())

    def test_wrong_usage(self, producer: Build, store_url: str, there: str) -> None:
        unknown = self.run(store_url, "--to", there)
        anyio.run(prepare, producer)

        assert unknown.exit_code == ExitCode.NOT_FOUND
        assert self.run(store_url).exit_code == ExitCode.CONFIGURATION
        assert self.run(store_url, "--to-cluster", "X").exit_code == ExitCode.USAGE
        assert self.run(store_url, "--history").exit_code == ExitCode.USAGE
        assert self.run(store_url, "--to", store_url).exit_code == ExitCode.CONFIGURATION
        assert self.run(store_url, "--to", there, "--mode", "archived").exit_code == ExitCode.CONFIGURATION
