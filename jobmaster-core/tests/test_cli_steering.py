"""`jobmaster workers`, `buckets`, `lane`, `cluster`, and what `status` shows of agents and hosts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import anyio.to_thread
import pytest
from attrs import frozen
from typer.testing import CliRunner, Result

from jobmaster import BucketStatus, Cluster, ClusterMode, JobContext, Priority, Runtime, WorkerStatus, handler
from jobmaster.cli import ExitCode, build_app
from jobmaster_testing.factories import make_bucket, make_worker
from jobmaster_testing.probes import until

WORKER_KEYS = {
    "id", "name", "status", "request", "alive", "suspended", "agent", "lane", "mode", "host", "pid", "version",
    "started_at", "heartbeat_at", "heartbeat_age", "lease_until", "damaged",
}  # fmt: skip
BUCKET_KEYS = {
    "id",
    "worker_id",
    "agent",
    "lane",
    "priority",
    "status",
    "epoch",
    "load",
    "running",
    "free",
    "offered",
    "damaged",
    "waiting",
    "messages",
}
AGENT_KEYS = {
    "name", "kind", "fingerprint", "registered_at", "heartbeat_at", "heartbeat_age", "messages", "save_pending",
    "oldest_save_pending", "problem",
}  # fmt: skip
CLUSTER_KEYS = {"id", "mode", "settings", "changes", "paused_lanes", "created_at", "damaged"}

pytestmark = pytest.mark.anyio


@handler("Steering.Quick")
async def quick(_: JobContext) -> None: ...


@frozen
class Console:
    """Runs commands about one cluster in a thread, beside the event loop that the cluster runs in."""

    where: tuple[str, ...]

    async def run(self, *arguments: str, code: int = 0) -> Result:
        command = [*arguments, *self.where]
        result = await anyio.to_thread.run_sync(lambda: CliRunner().invoke(build_app(), command))
        assert result.exit_code == code, result.output
        return result

    async def json(self, *arguments: str) -> Any:
        return json.loads((await self.run(*arguments, "--json")).stdout)


def warned(status: Any) -> list[str]:
    """Return the warnings of a status, but for those of stores in memory, which are meant here."""
    return [one for one in status["warnings"] if "in memory" not in one]


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {"memory": f"memory://{uuid4().hex}", "sqlite": f"sqlite:///{tmp_path}/jobs.db"}[request.param]


@pytest.fixture
def console(url: str) -> Console:
    return Console(("--cluster", "Steer-1", "--master", url))


@pytest.fixture
def cluster(url: str) -> Cluster:
    made = Cluster("Steer-1", url).configure(heartbeat=0.1).add_handlers(quick)
    return made.add_worker(name="a", parallelism=1.0).add_worker(name="b", lane="slow", parallelism=1.0)


on_each_store = pytest.mark.parametrize("url", ["memory", "sqlite"], indirect=True)
in_memory = pytest.mark.parametrize("url", ["memory"], indirect=True)


async def stopped(runtime: Runtime, name: str) -> bool:
    return all(w.status is WorkerStatus.STOPPED for w in await runtime.list_workers() if w.name == name)


# Workers


@on_each_store
@pytest.mark.parametrize("verb", ["stop", "drain"])
async def test_workers_can_be_stopped_and_drained(cluster: Cluster, console: Console, verb: str) -> None:
    async with cluster.running() as runtime:
        listed = await console.json("workers", "list")
        answer = await console.json("workers", verb, "a")
        await until(lambda: stopped(runtime, "a"))
        shown = (await console.run("workers", "list", "--all")).stdout
        left = await console.json("workers", "list")

    assert [set(worker) for worker in listed["workers"]] == [WORKER_KEYS] * 2
    ids = {worker["name"]: worker["id"] for worker in listed["workers"]}
    assert answer == {"request": verb, "workers": [ids["a"]]}
    assert [worker["name"] for worker in left["workers"]] == ["b"]
    row = next(line for line in shown.splitlines() if line.startswith("a "))
    assert row.split()[:3] == ["a", "stopped", verb]


@in_memory
async def test_people_are_told_what_follows(cluster: Cluster, console: Console) -> None:
    async with cluster.running():
        result = await console.run("workers", "stop", "a")
        assert result.stdout == "Asked a to stop: running jobs get the grace period, the others go back.\n"


@on_each_store
async def test_people_are_told_that_a_worker_was_lost_and_may_be_back(
    cluster: Cluster, console: Console
) -> None:
    async with cluster.running(workers=False) as runtime:
        worker = make_worker(cluster_id=cluster.id, name="asleep")
        await runtime.master.workers.register(worker, [make_bucket(worker)], 0.01)
        rescuer = make_worker(cluster_id=cluster.id, name="rescuer")
        await runtime.master.workers.register(rescuer, [], 60)

        async def is_taken() -> bool:
            return bool(await runtime.master.rescue.take_lost_buckets(cluster.id, rescuer.id, 10))

        await until(is_taken)
        result = await console.run("workers", "stop", "asleep")
        answer = await console.json("workers", "stop", "asleep")

    assert result.stdout == (
        "Asked asleep to stop: its lease has run out; if its process still exists, it stops when it resumes.\n"
    )
    assert answer == {"request": "stop", "workers": [str(worker.id)]}


@in_memory
async def test_all_workers_of_a_name_are_asked(
    cluster: Cluster, console: Console, caplog: pytest.LogCaptureFixture
) -> None:
    namesake = Cluster.standalone(cluster.id, cluster.master_url).add_worker(name="a")
    async with cluster.running() as runtime:
        assert "is not the only one of that name" not in caplog.text
        async with namesake.running() as other:
            await until(lambda: logged(caplog, "is not the only one of that name: another is on host"))
            result = await console.run("workers", "stop", "a")
            assert result.stdout.startswith("Asked 2 workers named a to stop: ")
            await until(lambda: stopped(other, "a"))
        await until(lambda: stopped(runtime, "a"))


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return text in caplog.text


@on_each_store
async def test_a_worker_that_there_is_not(cluster: Cluster, console: Console) -> None:
    async with cluster.running(workers=False):
        result = await console.run("workers", "stop", "ghost", code=ExitCode.NOT_FOUND)
        assert "no worker 'ghost' runs in cluster 'Steer-1'" in result.stderr
        await console.run("workers", "drain", "gh\udcffst", code=ExitCode.NOT_FOUND)
        assert (await console.run("workers", "list")).stdout == "No workers.\n"


@in_memory
async def test_a_slip_is_answered_with_the_name_that_runs(cluster: Cluster, console: Console) -> None:
    long = Cluster(cluster.id, cluster.master_url).add_worker(name="payroll-worker-1")
    async with long.running():
        result = await console.run("workers", "stop", "payrol-worker-1", code=ExitCode.NOT_FOUND)
        assert "did you mean 'payroll-worker-1'?" in result.stderr


@on_each_store
async def test_the_former_lives_of_a_worker_are_not_listed(cluster: Cluster, console: Console) -> None:
    async with cluster.running() as runtime:
        for mode in (ClusterMode.PASSIVE, ClusterMode.ACTIVE, ClusterMode.PASSIVE, ClusterMode.ACTIVE):
            await runtime.set_mode(mode)
            await until(partial(lives, runtime, mode))
        await runtime.stop_worker("b")
        await until(lambda: stopped(runtime, "b"))
        rows = await runtime.list_workers()
        every = await console.json("workers", "list", "--all")
        status = await console.json("status")
        shown = (await console.run("status")).stdout

    assert len(rows) > 2
    assert [worker["name"] for worker in every["workers"]] == ["a", "b"]
    assert [worker["status"] for worker in status["workers"]] == ["active", "stopped"]
    assert "1 more has stopped or was lost lately: `jobmaster workers list --all`" in shown


async def lives(runtime: Runtime, mode: ClusterMode) -> bool:
    """Whether both workers have begun a new life in a mode: with buckets if it is active, without if not."""
    active = [bucket for bucket in await runtime.list_buckets() if bucket.status is BucketStatus.ACTIVE]
    running = [w for w in await runtime.list_workers() if w.status is WorkerStatus.ACTIVE]
    return (
        runtime.mode is mode
        and len(running) == 2
        and len(active) == (10 if mode is ClusterMode.ACTIVE else 0)
    )


# Buckets


@on_each_store
@pytest.mark.usefixtures("bound_early")
async def test_buckets_show_what_they_hold(cluster: Cluster, console: Console) -> None:
    async with cluster.running() as runtime:
        for _ in range(3):
            await runtime.scheduler.once_after(quick, 60, lane="slow", priority=Priority.HIGH)
        found = (await console.json("buckets", "list"))["buckets"]
        slow = (await console.json("buckets", "list", "--lane", "slow"))["buckets"]
        none = (await console.run("buckets", "list", "--agent", "Nats-1")).stdout
        shown = (await console.run("buckets", "list")).stdout

    assert [set(bucket) for bucket in found] == [BUCKET_KEYS] * 10
    assert {bucket["lane"] for bucket in slow} == {"slow"}
    assert [(b["messages"], b["waiting"]) for b in slow if b["priority"] == "high"] == [(3, 3)]
    assert none == "No buckets.\n"
    rows = [line.split() for line in shown.splitlines()]
    assert ["b", "standalone", "slow", "high", "active", "0", "3", "8"] in rows


@in_memory
async def test_buckets_that_are_over_are_shown_when_asked_for(cluster: Cluster, console: Console) -> None:
    async with cluster.running():
        pass
    assert (await console.json("buckets", "list"))["buckets"] == []
    every = (await console.json("buckets", "list", "--all"))["buckets"]
    assert {bucket["status"] for bucket in every} == {"ready_to_delete"}


# Lanes


@on_each_store
async def test_lanes_can_be_paused_and_resumed(cluster: Cluster, console: Console) -> None:
    async with cluster.running() as runtime:
        await console.run("lane", "pause", "slow")
        paused = await console.json("lane", "pause", "nobody-serves-it")
        await until(lambda: runtime.paused_lanes == {"slow", "nobody-serves-it"})
        await until(lambda: suspended(console, ["b"]))
        lanes = (await console.json("lane", "list"))["lanes"]
        told = warned(await console.json("status"))
        resumed = (await console.run("lane", "resume", "slow")).stdout
        await until(lambda: runtime.paused_lanes == {"nobody-serves-it"})
        await until(lambda: suspended(console, []))

    assert paused == {"paused_lanes": ["nobody-serves-it", "slow"]}
    assert lanes == [
        {"lane": "default", "paused": False, "workers": 1},
        {"lane": "nobody-serves-it", "paused": True, "workers": 0},
        {"lane": "slow", "paused": True, "workers": 1},
    ]
    assert told == ["paused lanes: nobody-serves-it, slow; their jobs wait"]
    assert resumed == "Jobs of lane slow run.\n"


async def suspended(console: Console, names: list[str]) -> bool:
    workers = (await console.json("workers", "list"))["workers"]
    return [worker["name"] for worker in workers if worker["suspended"]] == names


@on_each_store
async def test_a_lane_that_nobody_knows_is_told_and_paused_all_the_same(
    cluster: Cluster, console: Console
) -> None:
    async with cluster.running() as runtime:
        await runtime.scheduler.once_after(quick, 3600, lane="later")
        slip = await console.run("lane", "pause", "slwo")
        other = await console.run("lane", "pause", "another", "--json")
        known = [
            await console.run("lane", verb, lane)
            for verb in ("pause", "resume")
            for lane in ("slow", "later")
        ]
        await until(lambda: runtime.paused_lanes == {"slwo", "another"})

    assert slip.stdout == "Jobs of lane slwo wait until it is resumed.\n"
    assert slip.stderr == "note: no worker serves lane 'slwo', and it has no jobs; did you mean 'slow'?\n"
    assert (
        other.stderr
        == "note: no worker serves lane 'another', and it has no jobs (served now: default, slow)\n"
    )
    assert json.loads(other.stdout) == {"paused_lanes": ["another", "slwo"]}
    assert [result.stderr for result in known] == [""] * 4


@in_memory
async def test_a_bad_lane_is_refused(cluster: Cluster, console: Console) -> None:
    async with cluster.running(workers=False):
        result = await console.run("lane", "pause", "a b", code=ExitCode.CONFIGURATION)
        assert "lane: 'a b' is not a valid name" in result.stderr


# The cluster


@on_each_store
async def test_the_mode_can_be_changed(cluster: Cluster, console: Console) -> None:
    async with cluster.running() as runtime:
        plain = await console.json("cluster", "mode", "passive")
        await until(lambda: runtime.mode is ClusterMode.PASSIVE)
        shown = (await console.run("cluster", "show")).stdout
        await console.run("cluster", "mode", "active")
        await until(lambda: runtime.mode is ClusterMode.ACTIVE)

    assert set(plain) == CLUSTER_KEYS
    assert plain["mode"] == "passive"
    assert shown.startswith("Cluster Steer-1: passive\n")


@on_each_store
async def test_settings_can_be_changed_and_reset(cluster: Cluster, console: Console) -> None:
    async with cluster.running() as runtime:
        plain = await console.json("cluster", "set", "retention=7d", "default_job_timeout=none")
        await until(lambda: runtime.settings.retention == 7 * 86400)
        assert runtime.settings.default_job_timeout is None
        shown = (await console.run("cluster", "show")).stdout
        reset = await console.json("cluster", "set", "--reset", "retention", "default_max_retries=5")
        await until(lambda: runtime.settings.default_max_retries == 5)
        assert runtime.settings.retention == 30 * 86400

    assert plain["changes"] == {"retention": 7 * 86400.0, "default_job_timeout": None}
    assert plain["settings"]["retention"] == 30 * 86400
    rows = [line.split() for line in shown.splitlines()]
    assert ["retention", "7", "days", "yes"] in rows
    assert ["default_job_timeout", "none", "yes"] in rows
    assert ["default_max_retries", "3"] in rows
    assert reset["changes"] == {"default_job_timeout": None, "default_max_retries": 5}


@in_memory
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["heartbeat=1"], ExitCode.CONFIGURATION, "heartbeat belongs to each process"),
        (["--reset", "lease"], ExitCode.CONFIGURATION, "lease belongs to each process"),
        (["retention=soon"], ExitCode.CONFIGURATION, "retention: 'soon' is not a duration"),
        (["default_max_retries=-1"], ExitCode.CONFIGURATION, "default_max_retries: -1 is out of range"),
        (["retension=1d"], ExitCode.CONFIGURATION, "did you mean 'retention'?"),
        (["retention"], ExitCode.USAGE, "name=value"),
        ([], ExitCode.USAGE, "nothing to set"),
    ],
)
async def test_what_cannot_be_set(
    cluster: Cluster, console: Console, arguments: list[str], code: int, message: str
) -> None:
    async with cluster.running(workers=False):
        result = await console.run("cluster", "set", *arguments, code=code)
        assert message in " ".join(result.stderr.replace("│", " ").split())
        assert (await console.json("cluster", "show"))["changes"] == {}


@on_each_store
@pytest.mark.parametrize(
    "command",
    [
        ["cluster", "show"],
        ["cluster", "mode", "passive"],
        ["cluster", "set", "retention=1d"],
        ["lane", "pause", "x"],
        ["lane", "list"],
        ["workers", "list"],
        ["workers", "stop", "x"],
        ["buckets", "list"],
    ],
)
async def test_a_cluster_that_there_is_not(cluster: Cluster, console: Console, command: list[str]) -> None:
    async with cluster.running(workers=False):
        other = Console(("--cluster", "Other-1", *console.where[2:]))
        result = await other.run(*command, code=ExitCode.NOT_FOUND)
        assert "the master has no cluster 'Other-1'" in result.stderr


# Agents and hosts


@frozen
class Distributed:
    """A cluster with two agents, and the command line that knows one, two or none of them."""

    name: str
    folder: Path

    def cluster(self) -> Cluster:
        made = (
            Cluster("Steer-2", self.url("master")).configure(heartbeat=0.1, save_after=60).add_handlers(quick)
        )
        for agent in ("North", "South"):
            made.add_agent(agent, self.url(agent))
            made.add_worker(agent=agent, name=f"on-{agent}", parallelism=1.0)
        return made

    def url(self, store: str) -> str:
        return f"memory://{self.name}-{store}"

    def console(self, **agents: str) -> Console:
        """Return a command line whose configuration names agents with their stores."""
        tables = [f'[[agents]]\nname = "{name}"\nurl = "{url}"\n' for name, url in agents.items()]
        file = self.folder / f"{uuid4().hex}.toml"
        file.write_text(f'cluster = "Steer-2"\nmaster = "{self.url("master")}"\n{"".join(tables)}')
        return Console(("--config", str(file)))


@pytest.fixture
def distributed(tmp_path: Path) -> Distributed:
    return Distributed(uuid4().hex, tmp_path)


@asynccontextmanager
async def holding(distributed: Distributed) -> AsyncIterator[Runtime]:
    """Run the cluster with jobs that wait on its agents: those of each agent's workers are told apart by load."""
    async with distributed.cluster().running() as runtime:
        for _ in range(4):
            await runtime.scheduler.once_after(quick, 60)
        yield runtime


@pytest.mark.usefixtures("bound_early")
async def test_a_job_that_only_an_agent_knows_is_shown(distributed: Distributed) -> None:
    console = distributed.console(North=distributed.url("North"), South=distributed.url("South"))
    async with holding(distributed) as runtime:
        receipt = await runtime.scheduler.once_after(quick, 60)
        found = await console.json("jobs", "show", str(receipt.job_id))
        await console.run("jobs", "show", str(uuid4()), code=ExitCode.NOT_FOUND)

    assert (found["id"], found["status"]) == (str(receipt.job_id), "save_pending")


@pytest.mark.usefixtures("bound_early")
async def test_status_asks_the_agents_that_it_knows(distributed: Distributed) -> None:
    console = distributed.console(North=distributed.url("North"), South=distributed.url("South"))
    async with holding(distributed):
        found = await console.json("status")
        shown = (await console.run("status")).stdout

    assert [set(agent) for agent in found["agents"]] == [AGENT_KEYS] * 2
    assert [agent["name"] for agent in found["agents"]] == ["North", "South"]
    assert sum(agent["messages"] for agent in found["agents"]) == 4
    assert sum(agent["save_pending"] for agent in found["agents"]) == 4
    assert found["jobs"]["save_pending"] == 4
    assert all((a["oldest_save_pending"] is None) == (a["save_pending"] == 0) for a in found["agents"])
    assert sum(bucket["messages"] for bucket in found["buckets"]) == 4
    assert [host["name"] for host in found["hosts"]] == [found["workers"][0]["host"]]
    assert warned(found) == []
    rows = [line.split() for line in shown.splitlines()]
    north = found["agents"][0]
    assert ["North", "memory", north["fingerprint"][:8]] in [row[:3] for row in rows]
    assert "Hosts" in shown


async def test_status_counts_nothing_of_another_cluster_on_the_same_agents(
    distributed: Distributed,
) -> None:
    agents = {name: distributed.url(name) for name in ("North", "South")}
    async with holding(distributed):
        other = Cluster("Steer-3", distributed.url("master"))
        for name, url in agents.items():
            other.add_agent(name, url)
        async with other.running():
            found = await distributed.console(**agents).json("status", "--cluster", "Steer-3")
    assert {(agent["messages"], agent["save_pending"]) for agent in found["agents"]} == {(0, 0)}
    assert warned(found) == ["no worker is alive; unfinished jobs: 0"]


async def test_an_agent_that_was_taken_away_is_warned_of_as_long_as_it_has_buckets(
    distributed: Distributed, caplog: pytest.LogCaptureFixture
) -> None:
    console = distributed.console(North=distributed.url("North"))
    left = Cluster("Steer-2", distributed.url("master")).add_agent("North", distributed.url("North"))
    left.add_worker(name="left")

    async def told() -> tuple[bool, bool]:
        caplog.clear()
        async with left.running():
            warnings = (await console.json("status"))["warnings"]
        return any("agent South: " in one for one in warnings), "does not name (South)" in caplog.text

    async with holding(distributed):
        assert await told() == (True, True)
    assert await told() == (False, False)


async def test_status_says_what_it_cannot_know(distributed: Distributed) -> None:
    async with holding(distributed):
        nothing = await distributed.console().json("status")
        wrong = await distributed.console(North=distributed.url("South")).json("status")
        away = await distributed.console(North="sqlite:////proc/nowhere/agent.db").json("status")
        shown = (await distributed.console().run("buckets", "list", "--agent", "North")).stdout

    assert {agent["messages"] for agent in nothing["agents"]} == {None}
    assert warned(nothing) == []
    [warning, other] = warned(wrong)
    assert other.startswith("agent South: it is not configured here")
    assert warning == "agent North: its URL does not lead to the store that the cluster knows"
    warning = away["warnings"][0]
    assert warning.startswith("agent North: it cannot be queried: ")
    assert {line.split()[-2] for line in shown.splitlines()[2:]} == {"?"}, "how many of them wait"
