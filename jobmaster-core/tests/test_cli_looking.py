"""`jobmaster jobs`, `status` and `migrate`."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anyio
import pytest
from attrs import evolve, frozen
from typer.testing import CliRunner, Result

from jobmaster import Cluster, JobContext, JobDefinition, Priority, Runtime, WorkerMode, handler
from jobmaster.cli import ExitCode, build_app
from jobmaster.inspection.documents import snapshot_document
from jobmaster.inspection.models import Snapshot
from jobmaster.models import STANDALONE, Bucket, ClusterRecord, WorkerRecord
from jobmaster.states import BucketStatus, ClusterMode
from jobmaster_sql import load_migrations
from jobmaster_testing.factories import make_worker

PENDING = [migration.name for migration in load_migrations("jobmaster_sqlite")]
JOB_KEYS = {
    "id", "cluster_id", "definition_id", "lane", "priority", "status", "created_at", "scheduled_at", "ready_at",
    "finished_at", "attempt", "retries", "max_retries", "timeout", "key", "bucket_id", "cancel_requested",
    "reason", "metadata", "schedule_id", "nominal_at", "damaged",
}  # fmt: skip

STATUS_KEYS = {
    "durability",
    "now", "cluster", "schema", "jobs", "waiting", "parked", "agents", "hosts", "workers", "buckets", "warnings",
}  # fmt: skip


@handler("Looking.Greet", metadata={"category": "demo"})
async def greet(job: JobContext) -> None:
    job.logger.info("hello %s", job.data["name"], extra={"table": "guests", "rows": 3})
    try:
        _ = job.data["address"]
    except KeyError:
        job.logger.exception("no address")


@handler("Looking.Fail", max_retries=0)
async def fail(_job: JobContext) -> None:
    msg = "the printer is on fire"
    raise OSError(msg)


@frozen
class Seeded:
    """A cluster with a job of each kind; ids by kind."""

    cluster: Cluster
    ids: dict[str, str]

    def run(self, *arguments: str) -> Result:
        where = ("--cluster", self.cluster.id, "--master", self.cluster.master_url)
        return CliRunner().invoke(build_app(), [*arguments, *where])

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def listed(self, *arguments: str) -> list[str]:
        """Return the kinds that `jobs list` finds, in its order."""
        kinds = {job_id: kind for kind, job_id in self.ids.items()}
        return [kinds[job["id"]] for job in self.json("jobs", "list", *arguments)["jobs"]]


async def seed(runtime: Runtime) -> dict[str, str]:
    await runtime.workers_ready()
    scheduler = runtime.scheduler
    when = datetime(2026, 1, 31, 12, tzinfo=UTC)
    data = {"name": "Ann", "when": when}
    receipts = {
        "greeted": await scheduler.once_now(greet, data, priority=Priority.HIGH, metadata={"number": 5}),
        "failed": await scheduler.once_now(fail, metadata={"number": "5"}),
        "later": await scheduler.once_after(greet, 3600, {"name": "Bob"}, lane="Payroll", key="bob"),
        "unknown": await scheduler.once_now(JobDefinition("Looking.Unknown")),
    }
    ids = {kind: str(receipt.job_id) for kind, receipt in receipts.items()}
    for kind in ("greeted", "failed"):
        await runtime.jobs.wait(ids[kind], timeout=10)
    with anyio.fail_after(10):
        while not (await runtime.jobs.get(ids["unknown"])).reason:
            await anyio.lowlevel.checkpoint()
    return ids


@pytest.fixture(params=["memory", "sqlite"])
def seeded(request: pytest.FixtureRequest, tmp_path: Path) -> Seeded:
    urls = {"memory": f"memory://{uuid4().hex}", "sqlite": f"sqlite:///{tmp_path}/jobs.db"}
    cluster = Cluster("Look-1", urls[request.param]).add_worker(name="w1").add_handlers(greet, fail)

    async def start() -> dict[str, str]:
        async with cluster.running() as runtime:
            return await seed(runtime)

    return Seeded(cluster, anyio.run(start))


class TestJobsList:
    def test_all_of_them_newest_first(self, seeded: Seeded) -> None:
        assert seeded.listed() == ["unknown", "later", "failed", "greeted"]

    @pytest.mark.parametrize(
        ("arguments", "kinds"),
        [
            (["--status", "failed"], ["failed"]),
            (["--status", "failed", "--status", "succeeded"], ["failed", "greeted"]),
            (["--handler", "Looking.Greet"], ["later", "greeted"]),
            (["--lane", "Payroll"], ["later"]),
            (["--priority", "HIGH"], ["greeted"]),
            (["--priority", "very-low"], []),
            (["--metadata", "category=demo"], ["later", "greeted"]),
            (["--metadata", "number=5"], ["greeted"]),
            (["--metadata", 'number="5"'], ["failed"]),
            (["--metadata", "category=demo", "--metadata", "number=5"], ["greeted"]),
            (["--parked"], ["unknown"]),
            (["--limit", "2"], ["unknown", "later"]),
        ],
    )
    def test_conditions(self, seeded: Seeded, arguments: Sequence[str], kinds: Sequence[str]) -> None:
        assert seeded.listed(*arguments) == kinds

    def test_pages_follow_one_another(self, seeded: Seeded) -> None:
        first = seeded.json("jobs", "list", "--limit", "3")

        assert seeded.listed("--limit", "3", "--after", first["next"]) == ["greeted"]
        assert seeded.json("jobs", "list")["next"] is None

    def test_json_has_the_documented_keys(self, seeded: Seeded) -> None:
        (job,) = seeded.json("jobs", "list", "--parked")["jobs"]

        assert set(job) == JOB_KEYS
        assert str(UUID(job["id"])) == job["id"]
        assert (job["status"], job["priority"]) == ("held_on_master", "medium")
        assert "no handler" in job["reason"]
        assert job["created_at"].endswith("Z")
        assert datetime.fromisoformat(job["created_at"]).tzinfo is not None

    def test_people_get_a_table(self, seeded: Seeded) -> None:
        result = seeded.run("jobs", "list")

        head, *rows = result.stdout.splitlines()
        assert head.split() == ["ID", "Status", "Scheduled", "Handler", "Priority", "Lane", "Attempt", "Note"]
        assert [row.split()[0] for row in rows] == list(reversed(seeded.ids.values()))

    def test_no_match_is_said(self, seeded: Seeded) -> None:
        assert seeded.run("jobs", "list", "--lane", "Nothing").stdout == "No jobs match.\n"

    @pytest.mark.parametrize(
        ("arguments", "note"),
        [
            (
                ("jobs", "list", "--lane", "Payrol"),
                "no worker serves lane 'Payrol', and it has no jobs; did you mean 'Payroll'?",
            ),
            (
                ("jobs", "list", "--handler", "Looking.Gret"),
                "no job or schedule has the handler 'Looking.Gret'; did you mean 'Looking.Greet'?",
            ),
            (("schedules", "list", "--handler", "Looking.Gret"), "did you mean 'Looking.Greet'?"),
            (("buckets", "list", "--lane", "defualt"), "no worker serves lane 'defualt', and it has no jobs"),
            (("buckets", "list", "--agent", "standalon"), "no agent 'standalon'; did you mean 'standalone'?"),
        ],
    )
    def test_a_name_that_nobody_knows_is_noted(
        self, seeded: Seeded, arguments: Sequence[str], note: str
    ) -> None:
        result = seeded.run(*arguments)

        assert (result.exit_code, result.stdout[:3]) == (0, "No ")
        assert result.stderr.startswith("note: ")
        assert note in result.stderr

    @pytest.mark.parametrize(
        "arguments",
        [
            ("jobs", "list", "--lane", "Payroll", "--status", "failed"),
            ("jobs", "list", "--handler", "Looking.Fail", "--status", "queued"),
            ("schedules", "list", "--handler", "Looking.Greet"),
            ("buckets", "list", "--agent", "standalone"),
        ],
    )
    def test_a_name_that_is_known_is_not(self, seeded: Seeded, arguments: Sequence[str]) -> None:
        result = seeded.run(*arguments)

        assert (result.exit_code, result.stderr) == (0, "")

    @pytest.mark.parametrize("name", ["Zo e", "", "a..b", "x" * 300, "ghost\udcff"])
    @pytest.mark.parametrize(
        "command",
        [
            ("jobs", "list", "--handler"),
            ("jobs", "list", "--lane"),
            ("schedules", "list", "--handler"),
            ("buckets", "list", "--lane"),
            ("buckets", "list", "--agent"),
            ("lane", "pause"),
            ("lane", "resume"),
        ],
    )
    def test_what_can_be_no_name_is_refused(self, seeded: Seeded, command: Sequence[str], name: str) -> None:
        result = seeded.run(*command, name)

        assert (result.exit_code, result.stdout) == (ExitCode.CONFIGURATION, "")
        assert f"error: {command[-1].strip('-') if '--' in command[-1] else 'lane'}: " in result.stderr
        assert "is not a valid name; use letters" in result.stderr

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--status", "done"),
            ("--priority", "hihg"),
            ("--metadata", "category"),
            ("--metadata", "number>=5"),
            ("--metadata", "category!=demo"),
            ("--limit", "1001"),
            ("--after", "x"),
        ],
    )
    def test_a_bad_option_is_wrong_usage(self, seeded: Seeded, arguments: Sequence[str]) -> None:
        assert seeded.run("jobs", "list", *arguments).exit_code == ExitCode.USAGE


class TestJobsShow:
    def test_json_has_attempts_data_and_logs(self, seeded: Seeded) -> None:
        job = seeded.json("jobs", "show", seeded.ids["greeted"])

        assert set(job) == JOB_KEYS | {"data", "attempts", "logs"}
        assert job["metadata"] == {"category": "demo", "number": 5}
        assert job["data"]["name"] == "Ann"
        assert job["data"]["when"]["v"] == "2026-01-31T12:00:00+00:00"
        (attempt,) = job["attempts"]
        assert (attempt["number"], attempt["outcome"], attempt["worker"]) == (1, "succeeded", "w1")
        assert attempt["error"] is None
        line, failure = job["logs"]
        assert (line["level"], line["message"], line["attempt"]) == ("INFO", "hello Ann", 1)
        assert line["fields"] == {"table": "guests", "rows": 3}
        assert failure["fields"]["exception"].startswith("Traceback (most recent call last)")

    def test_json_has_the_error(self, seeded: Seeded) -> None:
        (attempt,) = seeded.json("jobs", "show", seeded.ids["failed"])["attempts"]

        error = attempt["error"]
        assert (error["type"], error["message"]) == ("OSError", "the printer is on fire")
        assert error["traceback"].startswith("Traceback (most recent call last)")

    def test_people_see_the_traceback(self, seeded: Seeded) -> None:
        shown = seeded.run("jobs", "show", seeded.ids["failed"]).stdout

        assert "Traceback of attempt 1" in shown
        assert "OSError: the printer is on fire" in shown

    def test_people_see_data_and_logs(self, seeded: Seeded) -> None:
        shown = seeded.run("jobs", "show", seeded.ids["greeted"]).stdout

        assert "  name        Ann\n" in shown
        assert "  when        2026-01-31T12:00:00+00:00 (dt)\n" in shown
        assert "INFO    attempt 1 hello Ann table=guests rows=3\n" in shown
        assert (
            "ERROR   attempt 1 no address\n    exception:\n      Traceback (most recent call last)" in shown
        )
        assert "\n      KeyError: " in shown

    @pytest.mark.parametrize("job_id", [str(UUID(int=1)), "nonsense"])
    def test_an_unknown_job_is_not_found(self, seeded: Seeded, job_id: str) -> None:
        result = seeded.run("jobs", "show", job_id)

        assert result.exit_code == ExitCode.NOT_FOUND
        assert job_id in result.stderr


class TestStatus:
    def test_json_has_the_documented_keys(self, seeded: Seeded) -> None:
        found = seeded.json("status")

        assert set(found) == STATUS_KEYS
        assert (found["cluster"]["id"], found["cluster"]["mode"]) == ("Look-1", "active")
        assert found["schema"] == {"up_to_date": True, "pending": []}
        counts = {name: count for name, count in found["jobs"].items() if count}
        assert counts == {"succeeded": 1, "failed": 1, "held_on_master": 2}
        (worker,) = found["workers"]
        assert (worker["name"], worker["status"], worker["alive"]) == ("w1", "stopped", False)
        assert worker["heartbeat_age"] >= 0
        assert {bucket["status"] for bucket in found["buckets"]} == {"ready_to_delete"}

    def test_it_warns_when_nobody_is_alive(self, seeded: Seeded) -> None:
        result = seeded.run("status")

        assert result.exit_code == 0
        assert "warning: no worker is alive; unfinished jobs: 2" in result.stdout
        assert "ready_to_delete" not in result.stdout

    def test_a_live_worker_shows_its_buckets(self, seeded: Seeded) -> None:
        async def look() -> Result:
            async with seeded.cluster.running() as runtime:
                await runtime.workers_ready()
                return await anyio.to_thread.run_sync(seeded.run, "status", "--json")

        found = json.loads(anyio.run(look).stdout)

        parked = "1 job is parked, as no worker that claimed it had a handler for 'Looking.Unknown'; start a worker "
        expected = [f"{parked}whose application imports one (`jobmaster jobs list --parked`)"]
        if seeded.cluster.master_url.startswith("memory://"):
            expected.append(
                "the master is in memory: no other process sees its jobs, and they are gone when this one ends; "
                "name a database, for example sqlite:///jobs.db"
            )
        assert (found["parked"], found["warnings"]) == (1, expected)
        assert [worker["alive"] for worker in found["workers"]] == [True]
        living = [bucket["priority"] for bucket in found["buckets"] if bucket["status"] == "active"]
        assert sorted(living) == ["critical", "high", "low", "medium", "very_low"]

    def test_it_warns_of_a_live_worker_that_knows_no_handlers(
        self, seeded: Seeded, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("jobmaster.cluster.registered_handlers", list)  # nothing was imported
        idle = Cluster(seeded.cluster.id, seeded.cluster.master_url)
        idle.add_worker(name="idle").add_worker(name="planner", mode=WorkerMode.COORDINATOR)

        async def look() -> Result:
            async with idle.running():
                return await anyio.to_thread.run_sync(seeded.run, "status", "--json")

        warnings = json.loads(anyio.run(look).stdout)["warnings"]

        assert [one.partition(";")[0] for one in warnings if "handlers" in one] == [
            "worker idle: it has no handlers and parks every job"
        ]
        assert "knows no handlers" not in seeded.run("status").stdout, "one that has stopped is past"

    def test_a_cluster_in_memory_is_not_to_be_found_elsewhere(self) -> None:
        result = Seeded(Cluster("Elsewhere", f"memory://{uuid4().hex}"), {}).run("status")

        assert result.exit_code == ExitCode.NOT_FOUND
        assert "other processes cannot see a memory:// store; name a database" in result.stderr

    def test_it_warns_of_an_inactive_cluster(self, seeded: Seeded) -> None:
        async def pause() -> None:
            async with seeded.cluster.running(workers=False) as runtime:
                await runtime.set_mode("passive")

        anyio.run(pause)

        assert "the cluster is passive: no jobs run" in seeded.json("status")["warnings"]

    def test_pending_migrations_decide_the_exit_code(self, tmp_path: Path) -> None:
        cluster = Cluster("Old-1", f"sqlite:///{tmp_path}/old.db")

        async def start() -> None:
            async with cluster.running():
                pass

        anyio.run(start)
        with closing(sqlite3.connect(tmp_path / "old.db")) as database:
            # Tables that can be read, of a schema that is not said to be complete.
            database.execute("DELETE FROM jm_migration")
            database.commit()
        old = Seeded(cluster, {})

        result = old.run("status", "--json")
        assert result.exit_code == ExitCode.SCHEMA
        assert json.loads(result.stdout)["schema"] == {"up_to_date": False, "pending": PENDING}
        assert f"warning: migrations are pending ({', '.join(PENDING)})" in old.run("status").stdout
        assert old.run("jobs", "list").exit_code == 0

    def test_looking_registers_nothing(self, seeded: Seeded) -> None:
        before = seeded.json("status")["cluster"]

        seeded.run("jobs", "list")

        assert seeded.json("status")["cluster"] == before


class TestWhyAJobWaits:
    """A job that is due, and that nobody runs: `jobs show` says why."""

    @pytest.fixture
    def cluster(self) -> Cluster:
        return Cluster("Waits-1", f"memory://{uuid4().hex}").add_handlers(greet)

    def note(self, cluster: Cluster, **changes: Any) -> str | None:
        async def schedule() -> UUID:
            async with cluster.running() as runtime:
                for lane in changes.get("pause", ()):
                    await runtime.pause_lane(lane)
                if "mode" in changes:
                    await runtime.set_mode(changes["mode"])
                after = changes.get("after", 0)
                receipt = await runtime.scheduler.once_after(greet, after, {"name": "Ann"}, lane="Payroll")
                return receipt.job_id

        seeded = Seeded(cluster, {})
        reason: str | None = seeded.json("jobs", "show", str(anyio.run(schedule)))["reason"]
        return reason

    def test_nobody_serves_its_lane(self, cluster: Cluster) -> None:
        assert self.note(cluster) == "no worker serves lane 'Payroll' now; start one with lane='Payroll'"

    def test_its_lane_is_paused(self, cluster: Cluster) -> None:
        expected = "lane 'Payroll' is paused; `jobmaster lane resume Payroll` resumes it"
        assert self.note(cluster, pause=["Payroll"]) == expected

    def test_the_cluster_is_passive(self, cluster: Cluster) -> None:
        expected = "the cluster is passive; run `jobmaster cluster mode active` to run jobs"
        assert self.note(cluster, mode="passive") == expected

    def test_one_that_is_not_due_waits_for_its_time(self, cluster: Cluster) -> None:
        assert self.note(cluster, after=3600) is None


class TestAMistypedPath:
    """Who only looks makes no file."""

    @pytest.mark.parametrize(
        "command",
        [
            ("status",),
            ("jobs", "list"),
            ("jobs", "show", str(UUID(int=1))),
            ("workers", "list"),
            ("workers", "stop", "w"),
            ("buckets", "list"),
            ("lane", "list"),
            ("cluster", "show"),
            ("cluster", "mode", "passive"),
            ("schedules", "list"),
        ],
    )
    def test_no_file_is_made(self, tmp_path: Path, command: Sequence[str]) -> None:
        path = tmp_path / "slip.db"
        result = CliRunner().invoke(
            build_app(), [*command, "--cluster", "New-1", "--master", f"sqlite:///{path}"]
        )

        assert result.exit_code == ExitCode.CONFIGURATION
        assert result.stderr == (
            f"error: {path}: there is no such file; correct the path, or run `jobmaster migrate` to create it\n"
        )
        assert not path.exists()


class TestMigrate:
    @pytest.fixture
    def where(self, tmp_path: Path) -> Sequence[str]:
        return "--cluster", "New-1", "--master", f"sqlite:///{tmp_path}/new.db"

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(build_app(), ["migrate", *arguments])

    def test_check_says_what_is_pending(self, where: Sequence[str]) -> None:
        result = self.run("--check", *where)

        assert result.exit_code == ExitCode.SCHEMA
        assert result.stdout.startswith("pending: 0001_")

    def test_it_applies_what_is_pending_once(self, where: Sequence[str]) -> None:
        assert self.run(*where).stdout.startswith("applied: 0001_")
        assert self.run(*where).stdout == "the schema is up to date\n"
        assert self.run("--check", *where).exit_code == 0

    def test_json(self, where: Sequence[str]) -> None:
        pending = self.run("--check", "--json", *where)
        applied = self.run("--json", *where)

        assert pending.exit_code == ExitCode.SCHEMA
        assert json.loads(pending.stdout)["pending"] == json.loads(applied.stdout)["applied"]
        assert json.loads(self.run("--json", *where).stdout) == {"applied": []}

    def test_sql_prints_the_script_and_connects_to_nothing(
        self, tmp_path: Path, where: Sequence[str]
    ) -> None:
        result = self.run("--sql", *where)

        assert result.exit_code == 0
        assert "CREATE TABLE" in result.stdout
        assert not list(tmp_path.iterdir())

    def test_agents_are_included(self, tmp_path: Path) -> None:
        agents = [{"name": "Agent-1", "url": f"sqlite:///{tmp_path}/agent.db"}]
        config = tmp_path / "jobs.json"
        config.write_text(
            json.dumps({"cluster": "New-1", "master": f"sqlite:///{tmp_path}/new.db", "agents": agents})
        )

        pending = self.run("--check", "--config", str(config)).stdout.splitlines()
        script = self.run("--sql", "--config", str(config)).stdout
        applied = self.run("--config", str(config)).stdout.splitlines()

        assert "pending: Agent-1: 0001_initial" in pending
        assert [line.partition(": ")[2] for line in applied] == [line.partition(": ")[2] for line in pending]
        assert "-- master\n" in script
        assert "jm_agent_message" in script.partition("-- Agent-1\n")[2]
        assert self.run("--check", "--config", str(config)).exit_code == 0

    @pytest.mark.parametrize("other", ["--check", "--json"])
    def test_sql_goes_alone(self, where: Sequence[str], other: str) -> None:
        assert self.run("--sql", other, *where).exit_code == ExitCode.USAGE

    @pytest.mark.parametrize("command", [["status"], ["jobs", "list"], ["jobs", "show", str(uuid4())]])
    def test_looking_without_a_schema_says_what_to_do(
        self, where: Sequence[str], command: Sequence[str], tmp_path: Path
    ) -> None:
        (tmp_path / "new.db").touch()
        result = CliRunner().invoke(build_app(), [*command, *where])

        assert result.exit_code == ExitCode.SCHEMA
        assert "run `jobmaster migrate`" in result.stderr


def test_a_worker_whose_lease_ran_out_is_not_alive() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    worker = WorkerRecord(
        id=uuid4(),
        cluster_id="Look-1",
        name="w1",
        agent="standalone",
        lane="default",
        mode=WorkerMode.FULL,
        host="here",
        process_id=uuid4(),
        pid=1,
        heartbeat_at=now - timedelta(seconds=20),
        lease_until=now - timedelta(seconds=5),
    )
    snapshot = Snapshot(now=now, cluster=ClusterRecord(id="Look-1"), jobs={}, workers=[worker], buckets=[])

    assert snapshot_document(snapshot)["workers"][0]["alive"] is False
    assert snapshot_document(snapshot)["workers"][0]["heartbeat_age"] == 20
    assert snapshot.warnings() == [
        "no worker is alive; unfinished jobs: 0",
        "the lease of w1 has run out; start a full, coordinator or drain worker to bring its jobs back",
    ]


def test_lanes_with_due_jobs_that_nobody_serves_are_named() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    worker = evolve(make_worker(name="w1"), lease_until=now + timedelta(seconds=5))
    served = Bucket(
        id=uuid4(),
        cluster_id="Look-1",
        agent=STANDALONE,
        worker_id=worker.id,
        lane="default",
        priority=Priority.HIGH,
    )
    lost = evolve(served, id=uuid4(), worker_id=uuid4(), lane="Lost")
    draining = evolve(served, id=uuid4(), lane="Leaving", status=BucketStatus.COMPLETING)
    places = {("default", Priority.HIGH), ("Paused", Priority.HIGH), ("Lost", Priority.HIGH)}
    places |= {("default", Priority.LOW), ("default", Priority.MEDIUM), ("Leaving", Priority.HIGH)}
    snapshot = Snapshot(
        now=now,
        cluster=ClusterRecord(id="Look-1", paused_lanes=frozenset({"Paused"})),
        jobs={},
        workers=[worker],
        buckets=[served, lost, draining],
        due=frozenset(places),
    )

    assert [warning for warning in snapshot.warnings() if "serves" in warning] == [
        "no worker serves lane Leaving (HIGH), and it has due jobs; start a worker with lane='Leaving'",
        "no worker serves lane Lost (HIGH), and it has due jobs; start a worker with lane='Lost'",
        "no worker serves lane default (MEDIUM, LOW), and it has due jobs; start a worker with lane='default'",
    ]
    stopped = evolve(snapshot, cluster=evolve(snapshot.cluster, mode=ClusterMode.PASSIVE))
    assert not any("serves" in warning for warning in stopped.warnings())


def test_what_nobody_does_is_pointed_out() -> None:
    now = datetime(2026, 1, 31, 12, tzinfo=UTC)
    alive = evolve(
        make_worker(name="alive", mode=WorkerMode.EXECUTION), lease_until=now + timedelta(seconds=5)
    )
    dead = evolve(make_worker(name="dead"), lease_until=now - timedelta(seconds=5))

    def warnings(*workers: WorkerRecord) -> list[str]:
        return Snapshot(
            now=now, cluster=ClusterRecord(id="Look-1"), jobs={}, workers=workers, buckets=[]
        ).warnings()

    assert warnings(alive, dead) == [
        "no worker coordinates: held jobs stay where they are; start a full or coordinator worker",
        "the lease of dead has run out; start a full, coordinator or drain worker to bring its jobs back",
    ]
    assert warnings(evolve(alive, mode=WorkerMode.COORDINATOR)) == [
        "no worker runs jobs: they wait; start a full or execution worker"
    ]
    assert warnings(evolve(alive, mode=WorkerMode.FULL), dead) == [
        "the lease of dead has run out; a live worker will take over its jobs"
    ]
