"""`jobmaster schedules`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import anyio
import pytest
from attrs import frozen
from typer.testing import CliRunner, Result

from jobmaster import Cluster, Cron, Interval, JobContext, Runtime, StaticSchedule, handler, hookimpl
from jobmaster.cli import ExitCode, build_app
from jobmaster.recurrence import RecurrenceKind
from jobmaster.recurrence.interval import IntervalKind, IntervalRecurrence

KEYS = {
    "id", "cluster_id", "definition_id", "lane", "priority", "created_at", "timeout", "max_retries", "metadata",
    "key", "starts_after", "kind", "expression", "time_zone", "name", "ends_before", "overlap", "misfire", "status",
    "next_at", "last_job_id", "changed_at", "damaged",
}  # fmt: skip


@handler("Recurring.Greet")
async def greet(job: JobContext) -> None:
    _ = job


def run(*arguments: str, plugins: Sequence[Any] = ()) -> Result:
    return CliRunner().invoke(build_app(plugins), ["schedules", *arguments])


class TestPreview:
    def test_people_see_the_meaning_and_both_clocks(self) -> None:
        result = run("preview", "-e", "every day at 18:00", "--zone", "Europe/Paris", "--count", "2",
                     "--from", "2025-10-25T12:00")  # fmt: skip

        assert result.exit_code == 0
        assert [line.rstrip() for line in result.stdout.splitlines()] == [
            "Every day at 18:00, Europe/Paris time",
            "natural: every day at 18:00",
            "",
            "Europe/Paris                   UTC",
            "Sat 2025-10-25 18:00:00 +0200  2025-10-25 16:00:00Z",
            "Sun 2025-10-26 18:00:00 +0100  2025-10-26 17:00:00Z",
        ]

    def test_programs_see_json(self) -> None:
        result = run("preview", "--expression", "90s", "--kind", "interval", "--zone", "asia/tokyo", "--count", "1",
                     "--from", "2025-01-01T00:00:00+00:00", "--json")  # fmt: skip

        assert json.loads(result.stdout) == {
            "kind": "interval",
            "expression": "1m30s",
            "time_zone": "Asia/Tokyo",
            "description": "Every 1 minute and 30 seconds",
            "times": [{"utc": "2025-01-01T00:01:30.000000Z", "local": "2025-01-01T09:01:30+09:00"}],
        }

    def test_it_starts_now_in_the_zone_of_the_host(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TZ", "Asia/Tokyo")

        result = run("preview", "-e", "every minute", "--json")

        plain = json.loads(result.stdout)
        assert (plain["time_zone"], len(plain["times"])) == ("Asia/Tokyo", 10)
        first = datetime.fromisoformat(plain["times"][0]["utc"])
        assert timedelta(0) < first - datetime.now(UTC) <= timedelta(minutes=1)

    def test_an_expression_that_ends_is_shown_as_such(self) -> None:
        result = run("preview", "-e", "on [1st, 2nd] at 9:00 in feb in year 2020", "--zone", "UTC")

        assert result.exit_code == 0
        assert "There are no more times." in result.stdout

    def test_a_mistake_is_shown_at_its_place(self) -> None:
        result = run("preview", "-e", "every day at 25:00", "--zone", "UTC")

        assert result.exit_code == ExitCode.CONFIGURATION
        assert result.stderr == (
            "error: natural expression 'every day at 25:00': expected an hour from 0 to 23, not 25\n"
            "    every day at 25:00\n"
            "                 ^^\n"
        )

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (("--zone", "Mars"), ExitCode.CONFIGURATION, "error: --zone: 'Mars' is not a known time zone"),
            (("--zone", ""), ExitCode.CONFIGURATION, "error: --zone: '' is not a known time zone"),
            (
                ("--kind", "lunar"),
                ExitCode.CONFIGURATION,
                "there is no kind 'lunar' of recurrence (known: cron,",
            ),
            (("--from", "noon"), ExitCode.USAGE, "'noon' is not a moment"),
            (("--count", "0"), ExitCode.USAGE, "greater than or equal to 1"),
        ],
    )
    def test_wrong_options(self, arguments: Sequence[str], code: ExitCode, message: str) -> None:
        result = run("preview", "-e", "daily", *arguments)

        assert result.exit_code == code
        assert message in result.stderr

    @pytest.mark.parametrize(
        ("arguments", "note"),
        [
            (
                ("every month on 1st monday at 03:21", "--zone", "UTC"),
                "natural expression 'every month on 1st monday at 03:21': '1st monday' is day 1",
            ),
            (("daily at 03:21", "--zone", "est"), "time zone 'EST' is named like an abbreviation"),
            (("21 3 * * *", "--kind", "cron", "--zone", "CET"), "name the place, such as 'Europe/Paris' or"),
        ],
    )
    def test_what_may_be_meant_otherwise_is_a_note(self, arguments: Sequence[str], note: str) -> None:
        result = run("preview", "-e", *arguments, "--json")

        assert json.loads(result.stdout)["times"]
        assert result.stderr.startswith("note: ")
        assert note in result.stderr
        assert result.stderr.count("\n") == 1

    @pytest.mark.parametrize(
        "arguments", [("90s", "--kind", "interval", "--zone", "EST"), ("daily", "--zone", "America/New_York")]
    )
    def test_nothing_is_noted_otherwise(self, arguments: Sequence[str]) -> None:
        assert run("preview", "-e", *arguments).stderr == ""

    def test_an_application_brings_its_zone_and_its_kinds(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "shown_app.py").write_text(
            "from jobmaster import Cluster, Interval, hookimpl\n"
            "from jobmaster.recurrence.interval import IntervalKind, IntervalRecurrence\n"
            "class Tick(IntervalRecurrence):\n"
            "    kind = 'ticks'\n"
            "class Ticks(IntervalKind):\n"
            "    name = 'ticks'\n"
            "    def compile(self, expression, zone):\n"
            "        return Tick(Interval(expression).every)\n"
            "class Plugin:\n"
            "    @hookimpl\n"
            "    def jobmaster_recurrence_kinds(self):\n"
            "        return [Ticks()]\n"
            "cluster = Cluster('Shown-1', 'memory://').configure(time_zone='asia/tokyo').use(Plugin())\n"
        )
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))

        result = run("preview", "-e", "5m", "--kind", "ticks", "--app", "shown_app:cluster", "--json")

        assert json.loads(result.stdout)["time_zone"] == "Asia/Tokyo"


# With a store


@frozen
class Seeded:
    """A cluster with schedules; ids by name."""

    cluster: Cluster
    ids: dict[str, str]

    def run(self, *arguments: str) -> Result:
        where = ("--cluster", self.cluster.id, "--master", self.cluster.master_url)
        return run(*arguments, *where)

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def listed(self, *arguments: str) -> list[str]:
        """Return the names of what `schedules list` finds, in its order."""
        names = {schedule_id: name for name, schedule_id in self.ids.items()}
        return [names[one["id"]] for one in self.json("list", *arguments)["schedules"]]


class Tick(IntervalRecurrence):
    kind = "ticks"


class Ticks(IntervalKind):
    """A kind that the command line does not know unless it is told."""

    name = "ticks"

    def compile(self, expression: Any, zone: ZoneInfo) -> Tick:
        _ = zone
        return Tick(Interval(expression).every)


class Ticking:
    @hookimpl
    def jobmaster_recurrence_kinds(self) -> Sequence[RecurrenceKind]:
        return [Ticks()]


async def seed(runtime: Runtime) -> dict[str, str]:
    await runtime.workers_ready()
    s = runtime.scheduler
    receipts = {
        "daily": await s.recurring(
            greet, "every day at 18:00", {"name": "Ann"}, time_zone="Europe/Paris", key="ann"
        ),
        "cron": await s.recurring(greet, Cron("0 9 1 1 *"), metadata={"number": 5}),
        "paused": await s.recurring(greet, timedelta(days=1), overlap="allow", misfire="run_all(5)"),
        "ticks": await s.recurring(greet, "1d", kind="ticks"),
    }
    await s.pause_recurring(receipts["paused"].schedule_id)
    ids = {name: str(receipt.schedule_id) for name, receipt in receipts.items()}
    with anyio.fail_after(10):
        while not (static := await runtime.schedules.query(static=True)):
            await anyio.lowlevel.checkpoint()
    return ids | {"static": str(static[0].id)}


@pytest.fixture(params=["memory", "sqlite"])
def seeded(request: pytest.FixtureRequest, tmp_path: Path) -> Seeded:
    urls = {"memory": f"memory://{uuid4().hex}", "sqlite": f"sqlite:///{tmp_path}/jobs.db"}
    cluster = Cluster("Look-1", urls[request.param]).add_worker(name="w1").add_handlers(greet).use(Ticking())
    cluster.add_schedules(StaticSchedule("nightly", greet, "every day at 03:00"))

    async def start() -> dict[str, str]:
        async with cluster.running() as runtime:
            return await seed(runtime)

    return Seeded(cluster, anyio.run(start))


class TestList:
    @pytest.mark.parametrize(
        ("arguments", "names"),
        [
            ((), {"daily", "cron", "paused", "ticks", "static"}),
            (("--dynamic",), {"daily", "cron", "paused", "ticks"}),
            (("--static",), {"static"}),
            (("--status", "paused"), {"paused"}),
            (("--status", "active", "--dynamic"), {"daily", "cron", "ticks"}),
            (("--handler", "Recurring.Greet", "--static"), {"static"}),
            (("--handler", "Recurring.Other"), set()),
        ],
    )
    def test_conditions(self, seeded: Seeded, arguments: Sequence[str], names: set[str]) -> None:
        assert set(seeded.listed(*arguments)) == names

    def test_pages(self, seeded: Seeded) -> None:
        first = seeded.json("list", "--limit", "3")
        rest = seeded.json("list", "--limit", "3", "--after", first["next"])

        assert len(first["schedules"]) == 3
        assert len(rest["schedules"]) == 2
        assert rest["next"] is None

    def test_keys_are_documented_and_stay(self, seeded: Seeded) -> None:
        found = {one["id"]: one for one in seeded.json("list")["schedules"]}
        daily, paused = found[seeded.ids["daily"]], found[seeded.ids["paused"]]

        assert set(daily) == KEYS
        assert (daily["expression"], daily["time_zone"]) == ("every day at 18:00", "Europe/Paris")
        assert (paused["overlap"], paused["misfire"], paused["status"]) == ("allow", "run_all(5)", "paused")

    def test_people_see_a_table(self, seeded: Seeded) -> None:
        result = seeded.run("list")

        assert "natural: every day at 18:00" in result.stdout
        assert "nightly" in result.stdout
        assert "No schedules match." in seeded.run("list", "--status", "ended").stdout
        assert "There may be more: --after" in seeded.run("list", "--limit", "1").stdout


class TestShow:
    def test_json(self, seeded: Seeded) -> None:
        shown = seeded.json("show", seeded.ids["daily"])

        assert set(shown) == KEYS | {"data", "description", "times"}
        assert shown["data"] == {"name": "Ann"}
        assert shown["description"] == "Every day at 18:00, Europe/Paris time"
        assert [time["local"][11:19] for time in shown["times"]] == ["18:00:00"] * 5

    def test_people_see_all_about_it(self, seeded: Seeded) -> None:
        text = seeded.run("show", seeded.ids["cron"]).stdout

        assert "fires       On 1 January at 09:00" in text
        assert "expression  cron: 0 9 1 1 *" in text
        assert "number      5" in text

    def test_a_kind_that_this_process_does_not_know(self, seeded: Seeded) -> None:
        shown = seeded.json("show", seeded.ids["ticks"])

        assert (shown["description"], shown["times"]) == (None, [])
        assert "there is no kind 'ticks' of recurrence" in seeded.run("show", seeded.ids["ticks"]).stdout

    @pytest.mark.parametrize("schedule_id", [str(UUID(int=1)), "nonsense"])
    def test_an_unknown_one(self, seeded: Seeded, schedule_id: str) -> None:
        result = seeded.run("show", schedule_id)

        assert result.exit_code == ExitCode.NOT_FOUND
        assert "has no recurring schedule" in result.stderr


class TestChanges:
    def test_pause_and_resume(self, seeded: Seeded) -> None:
        daily = seeded.ids["daily"]

        assert seeded.run("pause", daily).stdout == f"Schedule {daily} is paused.\n"
        assert seeded.json("show", daily)["status"] == "paused"
        assert seeded.json("resume", daily)["status"] == "active"

    def test_cancel(self, seeded: Seeded) -> None:
        cancelled = seeded.json("cancel", seeded.ids["daily"])

        assert cancelled["status"] == "cancelled"
        assert seeded.json("show", seeded.ids["daily"])["times"] == []
        assert "There are no more times." in seeded.run("show", seeded.ids["daily"]).stdout

    def test_run_now(self, seeded: Seeded) -> None:
        made = seeded.json("run-now", seeded.ids["daily"])
        job = CliRunner().invoke(
            build_app(),
            [
                "jobs",
                "show",
                made["job_id"],
                "--json",
                "--cluster",
                "Look-1",
                "--master",
                seeded.cluster.master_url,
            ],
        )

        assert json.loads(job.stdout)["data"] == {"name": "Ann"}
        assert "runs as soon as a worker has a free slot" in seeded.run("run-now", seeded.ids["daily"]).stdout

    @pytest.mark.parametrize("verb", ["pause", "resume", "cancel", "run-now"])
    def test_unknown_ones(self, seeded: Seeded, verb: str) -> None:
        assert seeded.run(verb, str(uuid4())).exit_code == ExitCode.NOT_FOUND

    def test_what_is_not_possible_is_refused(self, seeded: Seeded) -> None:
        result = seeded.run("cancel", seeded.ids["static"])

        assert result.exit_code == ExitCode.FAILED
        assert "declared in code as 'nightly'" in result.stderr

    def test_an_unknown_cluster_is_not_made(self, seeded: Seeded) -> None:
        for _ in range(2):
            result = run("pause", str(uuid4()), "--cluster", "Other-1", "--master", seeded.cluster.master_url)
            assert result.exit_code == ExitCode.NOT_FOUND
            assert "the master has no cluster 'Other-1'" in result.stderr


def test_the_preview_in_the_reference_is_what_is_printed() -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
    session = page.read_text(encoding="utf-8").split("$ jobmaster schedules ")[1].split("\n```")[0]
    command, _, output = session.partition("\n")

    printed = run(*shlex.split(command)).stdout

    assert [line.rstrip() for line in printed.splitlines()] == output.splitlines()
