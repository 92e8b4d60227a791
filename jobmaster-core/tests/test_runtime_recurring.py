"""The recurring verbs and static schedules: what they take, what they refuse, and how they say so."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest

from jobmaster import (
    Cluster,
    ClusterArchivedError,
    ConfigurationError,
    InvalidArgumentsError,
    InvalidExpressionError,
    InvalidTransitionError,
    JobContext,
    JobDefinition,
    JobHandler,
    JobObserver,
    JobReceipt,
    Misfire,
    Overlap,
    Priority,
    ScheduleNotFoundError,
    ScheduleStatus,
    StaticSchedule,
    UnknownHandlerError,
    handler,
    hookimpl,
)
from jobmaster.models import NewJob, Report
from jobmaster.recurrence import Cron, Interval, NaturalCron
from jobmaster.recurrence import host as host_zone
from jobmaster.recurrence.zones import warn_of
from jobmaster.schedule_models import AT_ONCE
from jobmaster_testing.probes import until

pytestmark = pytest.mark.anyio

Build = Callable[..., Cluster]

HOUR = timedelta(hours=1)
NOW = datetime.now(UTC)


@handler(
    "RecurringTests.Greet",
    priority=Priority.LOW,
    lane="Greetings",
    timeout=5,
    max_retries=1,
    metadata={"team": "a"},
)
async def greet(job: JobContext, name: str = "nobody") -> None: ...


# Dynamic schedules


async def test_a_schedule_is_what_was_asked_for(producer: Build) -> None:
    start, end = NOW + HOUR, NOW + 9 * HOUR
    async with producer(greet).running() as runtime:
        receipt = await runtime.scheduler.recurring(
            greet,
            "*/5 * * * *",
            {"name": "Ann"},
            kind="cron",
            time_zone="Europe/Paris",
            starts_after=start,
            ends_before=end,
            overlap="queue",
            misfire="run_all(5)",
            key="greetings",
            priority=Priority.HIGH,
            lane="Urgent",
            timeout=None,
            max_retries=0,
            metadata={"customer": 7},
        )
        schedule = await runtime.schedules.get(str(receipt.schedule_id))

    assert (schedule.kind, schedule.expression, schedule.time_zone) == ("cron", "*/5 * * * *", "Europe/Paris")
    assert (schedule.starts_after, schedule.ends_before) == (start, end)
    assert (schedule.overlap, schedule.misfire) == (Overlap.QUEUE, Misfire.run_all(5))
    assert (schedule.priority, schedule.lane, schedule.timeout, schedule.max_retries) == (
        4,
        "Urgent",
        None,
        0,
    )
    assert dict(schedule.metadata) == {"team": "a", "customer": 7}
    assert (schedule.data["name"], schedule.key, schedule.is_static) == ("Ann", "greetings", False)


async def test_what_is_not_said_is_the_handlers(producer: Build) -> None:
    async with producer(greet).running() as runtime:
        receipt = await runtime.scheduler.recurring(greet, HOUR, name="Ann")
        schedule = await runtime.schedules.get(receipt.schedule_id)

    assert (schedule.priority, schedule.lane, schedule.timeout, schedule.max_retries) == (
        2,
        "Greetings",
        5.0,
        1,
    )
    assert (schedule.overlap, schedule.misfire) == (Overlap.SKIP, Misfire.run_once())
    assert schedule.data["name"] == "Ann"


@pytest.mark.parametrize(
    ("expression", "kind", "text"),
    [
        (timedelta(minutes=90), "interval", "1h30m"),
        (Interval(minutes=5), "interval", "5m"),
        (NaturalCron("every day at 18:00"), "natural", "every day at 18:00"),
        (Cron("0 18 * * *"), "cron", "0 18 * * *"),
        ("every day at 18:00", "natural", "every day at 18:00"),
    ],
)
async def test_expressions_come_as_objects_too(
    producer: Build, expression: Any, kind: str, text: str
) -> None:
    async with producer(greet).running() as runtime:
        receipt = await runtime.scheduler.recurring(greet, expression)
        schedule = await runtime.schedules.get(receipt.schedule_id)

    assert (schedule.kind, schedule.expression.lower()) == (kind, text)


async def test_a_producer_without_the_handlers_code_schedules_by_its_id(producer: Build) -> None:
    async with producer(greet).running() as runtime:
        receipt = await runtime.scheduler.recurring(JobDefinition("Elsewhere"), HOUR, {"any": 1})
        schedule = await runtime.schedules.get(receipt.schedule_id)

    assert schedule.definition_id == "Elsewhere"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"starts_after": NOW + HOUR, "ends_before": NOW}, "ends_before"),
        ({"starts_after": datetime(2030, 1, 1)}, "starts_after"),  # noqa: DTZ001 - that is what is wrong
        ({"ends_before": "tomorrow"}, "ends_before"),
        (
            {"overlap": "maybe"},
            "overlap: 'maybe' is not an overlap policy; use one of skip, queue, allow, cancel_running",
        ),
        ({"misfire": "run_all(0)"}, "misfire: 'run_all(0)' is not a misfire policy"),
        ({"misfire": 3}, "misfire"),
        ({"priority": "hihg"}, "priority"),
        ({"key": ""}, "key"),
        ({"at": NOW}, "starts_after"),
        ({"nmae": "Ann"}, "nmae"),
        ({"name": 5}, "name"),
    ],
)
async def test_a_wrong_argument_is_refused_by_its_name(
    producer: Build, options: dict[str, Any], says: str
) -> None:
    async with producer(greet).running() as runtime:
        with pytest.raises(InvalidArgumentsError) as refused:
            await runtime.scheduler.recurring(greet, HOUR, **options)
        assert await runtime.schedules.query() == []
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("expression", "options"),
    [
        ("every blue moon", {}),
        ("61 * * * *", {"kind": "cron"}),
        ("every day", {"kind": "lunar"}),
        (timedelta(0), {}),
        (7, {}),
        ("every day at 18:00", {"ends_before": NOW + timedelta(seconds=1), "starts_after": NOW}),
    ],
)
async def test_a_wrong_expression_is_refused(
    producer: Build, expression: Any, options: dict[str, Any]
) -> None:
    async with producer(greet).running() as runtime:
        with pytest.raises(InvalidExpressionError):
            await runtime.scheduler.recurring(greet, expression, **options)


async def test_what_is_no_handler_is_refused(producer: Build) -> None:
    async with producer(greet).running() as runtime:
        with pytest.raises(UnknownHandlerError):
            await runtime.scheduler.recurring(len, HOUR)  # type: ignore[call-overload]


async def test_a_passive_cluster_takes_schedules_and_runs_none(cluster: Build) -> None:
    async with cluster(greet).running(workers=False) as runtime:
        await runtime.set_mode("passive")
    async with cluster(greet).running() as runtime:
        receipt = await runtime.scheduler.recurring(greet, HOUR)
        schedule = await runtime.schedules.get(receipt.schedule_id)
        assert schedule.look_at == AT_ONCE


async def test_an_archived_cluster_refuses_schedules(producer: Build) -> None:
    async with producer(greet).running() as runtime:
        receipt = await runtime.scheduler.recurring(greet, HOUR)
        await runtime.set_mode("archived")
        with pytest.raises(ClusterArchivedError):
            await runtime.scheduler.recurring(greet, HOUR)
        with pytest.raises(ClusterArchivedError):
            await runtime.scheduler.run_now(receipt.schedule_id)
        assert len(await runtime.schedules.query()) == 1


# Time zones


async def test_the_zone_is_the_schedules_or_the_clusters_or_the_hosts(
    producer: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    zones = []
    for settings in ({"time_zone": "America/Sao_Paulo"}, {}):
        async with producer(greet, **settings).running() as runtime:
            for options in ({"time_zone": "Europe/Paris"}, {}):
                receipt = await runtime.scheduler.recurring(greet, "every day at 18:00", **options)
                zones.append((await runtime.schedules.get(receipt.schedule_id)).time_zone)

    assert zones == ["Europe/Paris", "America/Sao_Paulo", "Europe/Paris", "Asia/Tokyo"]


async def test_a_zone_that_is_named_like_an_abbreviation_is_warned_of_once(
    producer: Build, caplog: pytest.LogCaptureFixture
) -> None:
    warn_of.cache_clear()

    async with producer(greet).running() as runtime:
        await runtime.scheduler.recurring(greet, HOUR, time_zone="EST5EDT")
        assert not [one for one in caplog.records if one.name == "jobmaster.recurrence"]
        for expression in ("daily at 9:00", "daily at 10:00", "hourly tz EST5EDT"):
            receipt = await runtime.scheduler.recurring(greet, expression, time_zone="est5edt")
            assert (await runtime.schedules.get(receipt.schedule_id)).time_zone == "EST5EDT"

    [record] = [one for one in caplog.records if one.name == "jobmaster.recurrence"]
    assert record.levelname == "WARNING"
    assert "'EST5EDT'" in record.getMessage()
    assert "name the place, such as 'America/New_York'" in record.getMessage()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder with what the host says of its zone: `localtime` and `timezone`. There is no `TZ`."""
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(host_zone, "_LINK", tmp_path / "localtime")
    monkeypatch.setattr(host_zone, "_NAME", tmp_path / "timezone")
    monkeypatch.setattr(host_zone, "TZPATH", [str(tmp_path / "zones" / "zoneinfo")])
    host_zone._warn.cache_clear()
    return tmp_path


def zone_file(name: str) -> bytes:
    return (resources.files("tzdata.zoneinfo") / name).read_bytes()


def test_a_host_without_a_zone_is_in_utc_and_says_so_once(
    host: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert [host_zone.host_zone_name() for _ in range(2)] == ["UTC", "UTC"]
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert "Cluster.configure(time_zone=" in record.getMessage()

    (host / "timezone").write_text("Europe/Paris\n")
    assert host_zone.host_zone_name() == "Europe/Paris"


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("Asia/Tokyo", "Asia/Tokyo"),
        (":Asia/Tokyo", "Asia/Tokyo"),
        ("", "UTC"),
        ("UTC0", "UTC"),
        ("EST5EDT", "EST5EDT"),
    ],
)
@pytest.mark.usefixtures("host")
def test_a_zone_that_the_variable_names(monkeypatch: pytest.MonkeyPatch, rule: str, name: str) -> None:
    monkeypatch.setenv("TZ", rule)
    assert host_zone.host_zone_name() == name


def test_a_zone_that_a_link_names(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (host / "localtime").symlink_to("../usr/share/zoneinfo/Asia/Tokyo")
    assert host_zone.host_zone_name() == "Asia/Tokyo"

    monkeypatch.setenv("TZ", str(host / "localtime"))
    assert host_zone.host_zone_name() == "Asia/Tokyo"


def test_a_zone_that_was_copied(host: Path) -> None:
    (host / "localtime").write_bytes(zone_file("Europe/Paris"))
    (host / "timezone").write_text("Europe/Paris")
    assert host_zone.host_zone_name() == "Europe/Paris"

    (host / "timezone").unlink()
    file = host / "zones" / "zoneinfo" / "Europe" / "Paris"
    file.parent.mkdir(parents=True)
    file.write_bytes(zone_file("Europe/Paris"))
    assert host_zone.host_zone_name() == "Europe/Paris"

    (host / "timezone").write_text("Etc/UTC")  # as images have it whose zone was changed by copying a file
    assert host_zone.host_zone_name() == "Europe/Paris"


def no_zone(host: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the host say something that names no zone."""
    link = host / "localtime"
    if what == "copy":
        link.write_bytes(zone_file("Europe/Paris"))
        (host / "timezone").write_text("Etc/UTC")
    elif what == "broken":
        link.write_bytes(b"no zone")
        (host / "timezone").write_text("Etc/UTC")
    elif what == "folder":
        link.mkdir()
    elif what == "link":
        link.symlink_to("/usr/share/zoneinfo/No/Where")
    elif what == "written":
        (host / "timezone").write_text("No/Where")
    else:
        monkeypatch.setenv("TZ", what)


@pytest.mark.parametrize(
    "what",
    ["No/Where", "CET-1CEST", "XXX3", "/no/such/file", "copy", "broken", "folder", "link", "written"],
)
async def test_a_host_whose_zone_cannot_be_told_is_never_in_utc(
    host: Path, producer: Build, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    no_zone(host, what, monkeypatch)
    unknown = pytest.raises(
        ConfigurationError, match=r"host cannot be determined: .*; name the zone .*configure\(time_zone="
    )
    declared = StaticSchedule("Nightly", greet, "every day at 03:00")
    async with producer(greet).running() as runtime:
        with unknown:
            await runtime.scheduler.recurring(greet, "every day at 03:00")
        receipt = await runtime.scheduler.recurring(greet, "every day at 03:00", time_zone="Asia/Tokyo")
        assert (await runtime.schedules.get(receipt.schedule_id)).time_zone == "Asia/Tokyo"
    with unknown:
        async with producer(greet).add_schedules(declared).running():
            pass
    async with producer(greet, time_zone="Asia/Tokyo").add_schedules(declared).running():
        pass


# Changing


async def test_updating_changes_what_is_given_and_leaves_the_rest(producer: Build) -> None:
    async with producer(greet).running() as runtime:
        s = runtime.scheduler
        receipt = await s.recurring(greet, HOUR, {"name": "Ann"}, ends_before=NOW + 99 * HOUR, key="k")
        first = await runtime.schedules.get(receipt.schedule_id)
        zoned = await s.update_recurring(first.id, time_zone="Europe/Paris", overlap="allow", lane="Other")
        daily = await s.update_recurring(first.id, "every day at 18:00", {"name": "Bob"}, ends_before=None)

    assert (zoned.expression, zoned.data, zoned.ends_before) == ("1h", first.data, first.ends_before)
    assert (zoned.time_zone, zoned.overlap, zoned.lane, zoned.priority) == (
        "Europe/Paris",
        Overlap.ALLOW,
        "Other",
        2,
    )
    assert (daily.kind, daily.time_zone, daily.data["name"]) == ("natural", "Europe/Paris", "Bob")
    assert (daily.ends_before, daily.key, daily.created_at) == (None, "k", first.created_at)
    assert daily.overlap is Overlap.ALLOW


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"overlap": "maybe"}, InvalidArgumentsError),
        ({"key": "other"}, InvalidArgumentsError),
        ({"nmae": "Ann"}, InvalidArgumentsError),
        ({"kind": "cron"}, InvalidExpressionError),
        ({"ends_before": NOW - HOUR}, InvalidArgumentsError),
    ],
)
async def test_a_wrong_update_changes_nothing(
    producer: Build, changes: dict[str, Any], error: type[Exception]
) -> None:
    async with producer(greet).running() as runtime:
        receipt = await runtime.scheduler.recurring(greet, HOUR)
        before = await runtime.schedules.get(receipt.schedule_id)
        with pytest.raises(error):
            await runtime.scheduler.update_recurring(receipt.schedule_id, **changes)
        assert await runtime.schedules.get(receipt.schedule_id) == before


async def test_what_is_over_cannot_be_changed(producer: Build) -> None:
    async with producer(greet).running() as runtime:
        s = runtime.scheduler
        receipt = await s.recurring(greet, HOUR)
        await s.cancel_recurring(receipt.schedule_id)
        assert (await s.cancel_recurring(receipt.schedule_id)).status is ScheduleStatus.CANCELLED
        for verb in (s.pause_recurring, s.resume_recurring, s.update_recurring, s.run_now):
            with pytest.raises(InvalidTransitionError, match=f"schedule {receipt.schedule_id} is cancelled"):
                await verb(receipt.schedule_id)


async def test_pausing_and_resuming_twice_is_as_good_as_once(producer: Build) -> None:
    async with producer(greet).running() as runtime:
        s = runtime.scheduler
        receipt = await s.recurring(greet, HOUR)
        paused = [(await s.pause_recurring(receipt.schedule_id)).version for _ in range(2)]
        resumed = [(await s.resume_recurring(receipt.schedule_id)).version for _ in range(2)]

    assert (paused, resumed) == ([2, 2], [3, 3])


@pytest.mark.parametrize("schedule_id", [uuid4(), "no id", None])
async def test_an_unknown_schedule_is_said_to_be_unknown(producer: Build, schedule_id: Any) -> None:
    async with producer(greet).running() as runtime:
        s = runtime.scheduler
        for verb in (
            s.cancel_recurring,
            s.pause_recurring,
            s.resume_recurring,
            s.update_recurring,
            s.run_now,
        ):
            with pytest.raises(ScheduleNotFoundError, match=f"no recurring schedule {schedule_id}"):
                await verb(schedule_id)
        with pytest.raises(ScheduleNotFoundError):
            await runtime.schedules.get(schedule_id)


async def test_schedules_are_looked_at_page_by_page(producer: Build) -> None:
    async with producer(greet).running() as runtime:
        made = [(await runtime.scheduler.recurring(greet, HOUR)).schedule_id for _ in range(3)]
        await runtime.scheduler.cancel_recurring(made[1])
        page = await runtime.schedules.query(limit=2)
        rest = await runtime.schedules.query(after=page[-1].id)
        cancelled = await runtime.schedules.query(status="cancelled", handler=greet, static=False)
        everything = [one.id async for one in runtime.schedules.all()]
        following = await runtime.schedules.upcoming(made[0], 3)

    assert [one.id for one in (*page, *rest)] == everything == sorted(made, reverse=True)
    assert [one.id for one in cancelled] == [made[1]]
    assert [later - earlier for earlier, later in itertools.pairwise(following)] == [HOUR] * 2


async def test_code_without_an_event_loop_has_the_same_verbs(producer: Build) -> None:
    def work() -> None:
        with producer(greet).sync_scheduler() as s:
            schedule_id = s.recurring(greet, HOUR, {"name": "Ann"}).schedule_id
            assert s.pause_recurring(schedule_id).status is ScheduleStatus.PAUSED
            assert s.resume_recurring(schedule_id).status is ScheduleStatus.ACTIVE
            assert s.update_recurring(schedule_id, timedelta(minutes=5)).expression == "5m"
            assert s.job(s.run_now(schedule_id).job_id).schedule_id == schedule_id
            assert s.cancel_recurring(schedule_id).status is ScheduleStatus.CANCELLED
            assert s.schedule(schedule_id).status is ScheduleStatus.CANCELLED

    await anyio.to_thread.run_sync(work)


class Watching:
    """Notes the jobs that it is told of."""

    def __init__(self) -> None:
        self.scheduled: list[NewJob] = []

    def on_scheduled(self, new: NewJob, receipt: JobReceipt) -> None:
        assert receipt.job_id == new.job.id
        self.scheduled.append(new)

    def on_started(self, job: JobContext) -> None: ...

    def on_reported(self, report: Report, stale: bool) -> None: ...

    @hookimpl
    def jobmaster_observer(self) -> JobObserver:
        return self


async def test_observers_are_told_of_jobs_that_recur(cluster: Build) -> None:
    watching = Watching()
    async with cluster(greet).use(watching).running() as runtime:
        receipt = await runtime.scheduler.recurring(greet, timedelta(minutes=1))
        now = await runtime.scheduler.run_now(receipt.schedule_id)
        await until(lambda: len(watching.scheduled) == 2)
        jobs = await runtime.jobs.query(schedule=receipt.schedule_id)

    assert {new.job.id for new in watching.scheduled} == {job.id for job in jobs}
    assert now.job_id in {job.id for job in jobs}


# Static schedules


async def test_a_profile_overrides_its_handler(cluster: Build) -> None:
    profile = StaticSchedule(
        "Nightly", greet, "every day at 03:00", lane="Night", timeout=60, overlap="queue"
    )
    async with cluster(greet).add_schedules(profile).running() as runtime:
        [schedule] = await runtime.schedules.query(static=True)

    assert (schedule.name, schedule.lane, schedule.timeout, schedule.priority) == (
        "Nightly",
        "Night",
        60.0,
        2,
    )
    assert (schedule.overlap, schedule.expression.lower()) == (Overlap.QUEUE, "every day at 03:00")


@pytest.mark.parametrize(
    ("settings", "kind", "expression"),
    [
        ({"every": "1 hour"}, "natural", "every 1 hour"),
        ({"every": "every 1 hour"}, "natural", "every 1 hour"),
        ({"every": HOUR}, "interval", "1h"),
        ({"cron": "0 3 * * *", "time_zone": "Europe/Paris"}, "cron", "0 3 * * *"),
    ],
)
async def test_a_decorator_declares_a_schedule(
    cluster: Build, settings: dict[str, Any], kind: str, expression: str
) -> None:
    @handler("Decorated", max_retries=0, **settings)
    async def decorated(job: JobContext) -> None: ...

    @handler("InAClass", **settings)
    class InAClass(JobHandler):
        async def handle(self, job: JobContext) -> None: ...

    async with cluster(decorated, InAClass).running() as runtime:
        found = await runtime.schedules.query(static=True)

    assert {schedule.name for schedule in found} == {"Decorated", "InAClass"}
    assert {(schedule.kind, schedule.expression.lower()) for schedule in found} == {(kind, expression)}


async def test_a_process_without_workers_declares_nothing(cluster: Build) -> None:
    profile = StaticSchedule("Nightly", greet, HOUR)
    async with cluster(greet).add_schedules(profile).running(workers=False) as runtime:
        assert await runtime.schedules.query() == []


async def test_a_static_schedule_is_changed_in_code_alone(cluster: Build) -> None:
    async with cluster(greet).add_schedules(StaticSchedule("Nightly", greet, HOUR)).running() as runtime:
        [schedule] = await runtime.schedules.query()
        with pytest.raises(InvalidTransitionError, match="remove its declaration from the code"):
            await runtime.scheduler.cancel_recurring(schedule.id)
        with pytest.raises(InvalidTransitionError, match="change its declaration in the code"):
            await runtime.scheduler.update_recurring(schedule.id, timedelta(minutes=5))
        paused = await runtime.scheduler.pause_recurring(schedule.id)
        resumed = await runtime.scheduler.resume_recurring(schedule.id)

    assert (paused.status, resumed.status) == (ScheduleStatus.PAUSED, ScheduleStatus.ACTIVE)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"data": {"name": "Ann"}}, "schedule 'Nightly': a static schedule carries no message data"),
        ({"name": "Ann"}, "schedule 'Nightly': 'name': a static schedule carries no message data"),
        ({"key": "k"}, "a static schedule has no setting 'key'"),
        ({"time_zone": "Mars/Olympus"}, "schedule 'Nightly': time_zone"),
        ({"overlap": "maybe"}, "schedule 'Nightly': overlap"),
        ({"starts_after": NOW, "ends_before": NOW}, "schedule 'Nightly': ends_before"),
        ({"priority": 3.5}, "schedule 'Nightly'"),
    ],
)
def test_a_wrong_profile_is_refused_when_it_is_written(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        StaticSchedule("Nightly", greet, HOUR, **settings)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"every": HOUR, "cron": "* * * * *"}, "handler 'Wrong': give every or cron, not both"),
        ({"overlap": "queue"}, "handler 'Wrong': overlap is about a recurring schedule"),
        ({"every": HOUR, "overlap": "maybe"}, "handler 'Wrong': overlap"),
        ({"every": HOUR, "tiem_zone": "UTC"}, "time_zone"),
    ],
)
def test_a_wrong_decorator_is_refused_when_it_is_written(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        handler("Wrong", **settings)
    assert says in str(refused.value)


def test_names_of_static_schedules_are_unique(producer: Build) -> None:
    twice = [StaticSchedule("Nightly", greet, HOUR) for _ in range(2)]
    with pytest.raises(ConfigurationError, match="'Nightly' is added twice"):
        producer(greet).add_schedules(*twice)
    with pytest.raises(ConfigurationError, match="takes StaticSchedule"):
        producer(greet).add_schedules("Nightly")  # type: ignore[arg-type]  # that is what is refused


async def test_a_handlers_schedule_and_a_profile_cannot_share_a_name(cluster: Build) -> None:
    @handler("Nightly", every=HOUR)
    async def nightly(job: JobContext) -> None: ...

    with pytest.raises(ConfigurationError, match="'Nightly' is declared twice"):
        async with cluster(nightly).add_schedules(StaticSchedule("Nightly", greet, HOUR)).running():
            pass


async def test_a_handler_that_needs_data_cannot_be_static(cluster: Build) -> None:
    @handler("Needy", every=HOUR)
    async def needy(job: JobContext, url: str) -> None: ...

    with pytest.raises(ConfigurationError, match=r"schedule 'Needy'.*url.*carries no message data"):
        async with cluster(needy).running():
            pass


async def test_an_expression_of_a_kind_that_nobody_brings_stops_the_start(cluster: Build) -> None:
    lunar = StaticSchedule("Lunar", greet, "every full moon", kind="lunar")

    with pytest.raises(ConfigurationError, match="there is no kind 'lunar' of recurrence"):
        async with cluster(greet).add_schedules(lunar).running():
            pass


# Values


@pytest.mark.parametrize("text", ["run_once", "skip", "run_all(7)"])
def test_a_misfire_policy_is_its_text(text: str) -> None:
    assert str(Misfire.parse(text)) == text
    assert Misfire.parse("run_all") == Misfire.run_all()


@pytest.mark.parametrize("limit", [0, 1001, True, 1.5])
def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    with pytest.raises(ValueError, match="from 1 to 1000"):
        Misfire.run_all(limit)
