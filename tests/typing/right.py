"""Calls that type checkers must let pass. `tests/typing/check.py` has mypy and pyright read them; nothing runs them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeVar, Unpack, assert_type
from uuid import UUID

from jobmaster import (
    Cluster,
    Cron,
    FixedBackoff,
    Handler,
    HandlerOptions,
    HandlerWithOptions,
    Interval,
    JobContext,
    JobDefinition,
    JobHandler,
    JobReceipt,
    JobRecord,
    JobRequest,
    JobStatus,
    MetadataFilter,
    Misfire,
    NaturalCron,
    Operator,
    Overlap,
    Priority,
    RetryPolicy,
    Runtime,
    ScheduleOptions,
    Scheduler,
    ScheduleReceipt,
    StaticSchedule,
    SyncScheduler,
    WorkerMode,
    handler,
)

P = ParamSpec("P")
R = TypeVar("R")
SOON = datetime(2030, 1, 1, tzinfo=UTC)


@dataclass
class Address:
    street: str


# Handlers: settings are keywords, and the function keeps its signature


@handler("Hello", timeout=10, max_retries=3, priority=Priority.LOW, lane="greetings", metadata={"n": 1})
async def hello(job: JobContext) -> None: ...


@handler("Resize", retry=FixedBackoff(5))
def resize(job: JobContext, url: str, width: int = 640) -> int:
    return width


@handler("Ship", retry=timedelta(seconds=5), timeout=timedelta(minutes=1))
async def ship(job: JobContext, to: Address, *, fast: bool = False) -> str:
    return to.street


@handler("Named", priority="very_low", timeout=None, retry=RetryPolicy())
async def named(job: JobContext, key: str, timeout: int, cluster: str = "") -> bytes:
    return b""


@handler("Report", every="1 hour", overlap="queue", misfire=Misfire.skip(), time_zone="Europe/Paris")
async def report(job: JobContext, customer: str = "all") -> None: ...


@handler("Nightly", cron="0 3 * * *", starts_after=SOON, ends_before=None)
def nightly(job: JobContext) -> None: ...


@handler("Anything")
async def anything(job: JobContext, **values: object) -> None: ...


@handler("Invoice", timeout=20)
class Invoice(JobHandler):
    def __init__(self, sender: str) -> None:
        self.sender = sender

    async def handle(self, job: JobContext, to: str, copies: int = 1) -> float:
        return 1.0


@handler("Sweep")
class Sweep(JobHandler):
    def handle(self, context: JobContext) -> int:
        return 1


WELCOME = JobDefinition("Welcome", timeout=30, max_retries=5, priority="high", metadata={"team": "mail"})


async def called(job: JobContext) -> None:
    assert_type(resize(job, "cat.png", width=80), int)
    assert_type(await ship(job, Address("Rue X"), fast=True), str)
    assert_type(await hello(job), None)
    assert_type(await Invoice("me").handle(job, "ann"), float)


# The verbs: arguments as in a call of the function


async def arguments(s: Scheduler) -> None:
    assert_type(await s.once_now(resize, url="cat.png", width=80), JobReceipt[int])
    assert_type(await s.once_now(resize, "cat.png", 80), JobReceipt[int])
    assert_type(await s.once_now(resize, "cat.png"), JobReceipt[int])
    assert_type(await s.once_now(ship, Address("Rue X"), fast=True), JobReceipt[str])
    assert_type(await s.once_now(hello), JobReceipt[None])
    assert_type(await s.once_at(resize, SOON, url="cat.png"), JobReceipt[int])
    assert_type(await s.once_after(resize, timedelta(minutes=5), url="cat.png"), JobReceipt[int])
    assert_type(await s.once_after(ship, 2.5, to=Address("Rue X")), JobReceipt[str])
    assert_type(await s.recurring(report, "every day at 18:00", customer="Bob"), ScheduleReceipt)
    await s.once_now(named, key="k", timeout=5, cluster="c")
    await s.once_now(anything, one=1, two="x")
    assert_type(await s.once_now(Invoice, to="ann", copies=2), JobReceipt[float])
    assert_type(await s.once_now(Invoice, "ann"), JobReceipt[float])
    assert_type(await s.once_now(Sweep), JobReceipt[int])
    assert_type(await s.once_at(Invoice, SOON, to="ann"), JobReceipt[float])
    assert_type(await s.recurring(Invoice, timedelta(hours=1), to="ann"), ScheduleReceipt)


# Values in a mapping, and options


async def mappings(s: Scheduler, data: Mapping[str, object], maybe: dict[str, str] | None) -> None:
    assert_type(await s.once_now(hello, {"name": "Ann"}, priority=Priority.HIGH), JobReceipt[None])
    assert_type(await s.once_now(resize, {"url": "cat.png"}, key="k", timeout=5), JobReceipt[int])
    assert_type(await s.once_now(hello, data, metadata={"tenant": "acme", "at": SOON}), JobReceipt[None])
    await s.once_now(hello, maybe, lane="mail", max_retries=0, timeout=None, confirm="master", cluster="B")
    await s.once_now(hello, priority="critical")
    await s.once_now(report, priority="low")
    await s.once_at(hello, SOON, {"name": "Ann"}, timeout=timedelta(seconds=20))
    await s.once_after(hello, timedelta(minutes=5), {"name": "Ann"}, priority=Priority.HIGH)
    await s.once_now(Invoice, {"to": "ann"}, key="k")
    await s.once_now(Sweep, priority="high")
    await s.once_now(WELCOME)
    await s.once_now(WELCOME, {"email": "ann@example.com"}, max_retries=1)
    await s.once_after(WELCOME, 60, {"email": "ann@example.com"})
    options: ScheduleOptions = {"priority": Priority.HIGH, "key": "k"}
    await s.once_now(hello, {"name": "Ann"}, **options)


# Arguments with options


async def with_options(s: Scheduler) -> None:
    urgent = resize.with_options(priority=Priority.HIGH, key="k", metadata={"tenant": "acme"})
    assert_type(await s.once_now(urgent, url="cat.png"), JobReceipt[int])
    assert_type(await s.once_at(urgent, SOON, "cat.png", 80), JobReceipt[int])
    assert_type(await s.once_now(urgent, {"url": "cat.png"}, lane="images"), JobReceipt[int])
    assert_type(urgent.request(url="cat.png"), JobRequest[int])
    assert_type(resize.with_options(after=60).request("cat.png"), JobRequest[int])
    assert_type(await s.once_now(urgent.with_options(timeout=None), url="cat.png"), JobReceipt[int])
    await s.once_now(named.with_options(key="k", timeout=5), key="mine", timeout=1)
    await s.recurring(report.with_options(kind="cron", overlap=Overlap.QUEUE), "*/5 * * * *", customer="Bob")
    assert_type(await s.once_now(Invoice.with_options(priority="high"), to="ann"), JobReceipt[float])
    assert_type(await s.once_now(Sweep.with_options(key="k")), JobReceipt[int])


# Requests


async def many(s: Scheduler, names: Iterable[str]) -> None:
    receipts = await s.once_many([resize.request(url=name) for name in names])
    assert_type(receipts, Sequence[JobReceipt[int]])
    mixed = [hello.request({"name": "Ann"}, key="k"), resize.request({"url": "cat.png"}, at=SOON)]
    await s.once_many([*mixed, ship.request(Address("Rue X")), Sweep.request(), WELCOME.request({"a": 1})])
    await s.once_many([hello.request(after=60), report.request(after=timedelta(hours=1))], cluster="B")
    assert_type(Invoice.request(to="ann"), JobRequest[float])
    assert_type(Sweep.request(), JobRequest[int])
    Invoice.request({"to": "ann"}, after=5)


# Recurring schedules


async def recurring(s: Scheduler, schedule: UUID) -> None:
    await s.recurring(hello, timedelta(minutes=5))
    await s.recurring(hello, "every day between mon and fri at 18:00", {"name": "Ann"})
    await s.recurring(hello, "*/5 * * * *", kind="cron", time_zone="Europe/Paris")
    await s.recurring(hello, Cron("*/5 * * * *"), {"name": "Ann"}, overlap="skip", misfire="run_all(5)")
    await s.recurring(report, Interval(minutes=5), starts_after=SOON, ends_before=SOON, key="k")
    await s.recurring(WELCOME, NaturalCron("every day at 18:00"), priority=Priority.LOW)
    await s.update_recurring(schedule, timedelta(hours=2), {"name": "Eve"}, overlap="queue", lane="mail")
    await s.update_recurring(schedule, time_zone="Europe/Paris")
    assert_type(await s.run_now(schedule), JobReceipt)


STATIC = [
    StaticSchedule("Daily", report, "every day at 03:00", time_zone="Europe/Paris", priority=Priority.LOW),
    StaticSchedule("Often", Sweep, timedelta(minutes=5)),
    StaticSchedule("Welcome", WELCOME, Cron("0 3 * * *"), misfire="skip"),
]


# Without an event loop


def blocking(s: SyncScheduler, names: Iterable[str]) -> None:
    assert_type(s.once_now(resize, url="cat.png", width=80), JobReceipt[int])
    assert_type(s.once_now(resize.with_options(key="k"), "cat.png"), JobReceipt[int])
    assert_type(s.once_at(ship, SOON, Address("Rue X")), JobReceipt[str])
    assert_type(s.once_after(hello, 5, {"name": "Ann"}, priority="high"), JobReceipt[None])
    assert_type(s.once_now(Invoice, to="ann"), JobReceipt[float])
    assert_type(s.once_many([resize.request(url=name) for name in names]), Sequence[JobReceipt[int]])
    s.recurring(report, "every day at 18:00", customer="Bob")
    s.recurring(hello, "0 3 * * *", kind="cron")


# Wrappers of the application's own


async def enqueue(s: Scheduler, job: Handler[P, R], *args: P.args, **kwargs: P.kwargs) -> JobReceipt[R]:
    return await s.once_now(job, *args, **kwargs)


async def enqueue_named(s: Scheduler, job: Handler, **options: Unpack[ScheduleOptions]) -> JobReceipt:
    return await s.once_now(job, {}, **options)


def prepared(job: Handler[P, R], **options: Unpack[HandlerOptions]) -> HandlerWithOptions[P, R]:
    return job.with_options(**options)


async def wrapped(s: Scheduler, maker: Any) -> None:
    assert_type(await enqueue(s, resize, "cat.png", width=80), JobReceipt[int])
    receipt: JobReceipt[object] = await s.once_now(resize, "cat.png")
    await s.cancel(receipt.job_id)
    await s.once_now(maker, anything_goes=1)


# Clusters, and what to ask them


def configured() -> Cluster:
    return (
        Cluster("Cluster-1", master="postgresql://db", mode="passive")
        .configure(default_job_timeout=timedelta(minutes=1), retention=None, heartbeat=5, retry=RetryPolicy())
        .add_agent("A", "postgresql://a", weight=2.0, repoint=True)
        .add_worker(agent="A", name="W-1", mode=WorkerMode.FULL, parallelism=2.0, buckets={Priority.LOW: 0})
        .add_worker(agent="A", lane="mail", mode="execution", concurrency=50, buckets={"high": 2})
        .add_handlers(hello, resize, Invoice)
        .add_schedules(*STATIC)
        .move_to("postgresql://new", mode="active", history=True)
    )


async def looking(runtime: Runtime) -> None:
    assert_type(await runtime.jobs.query(handler=hello, status="succeeded", limit=50), Sequence[JobRecord])
    await runtime.jobs.query(status=[JobStatus.FAILED, "cancelled"], metadata={"tenant": "acme"})
    await runtime.jobs.count(handler=Invoice, metadata=[MetadataFilter("n", Operator.GT, 5)])
    await runtime.jobs.count_by_status(handler="Hello", lane="mail", priority="high", scheduled_from=SOON)
    assert_type(await runtime.jobs.waiting_by_lane(), Mapping[str, int])
    async for job in runtime.jobs.all(parked=True):
        assert_type(job, JobRecord)
    await runtime.schedules.query(handler=report, status="active", static=True)
    await runtime.configure(retention=timedelta(days=7), time_zone="Europe/Paris")
    await runtime.set_mode("passive")
