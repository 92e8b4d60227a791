"""Calls that type checkers must report: each line that ends with `# wrong`, and no other. Nothing runs them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from jobmaster import (
    Cluster,
    JobContext,
    JobDefinition,
    JobHandler,
    JobReceipt,
    Runtime,
    Scheduler,
    StaticSchedule,
    SyncScheduler,
    handler,
)

SOON = datetime(2030, 1, 1, tzinfo=UTC)


@handler("Hello")
async def hello(job: JobContext) -> None: ...


@handler("Resize")
def resize(job: JobContext, url: str, width: int = 640) -> int:
    return width


@handler("Report")
async def report(job: JobContext, customer: str = "all") -> None: ...


@handler("Invoice")
class Invoice(JobHandler):
    async def handle(self, job: JobContext, to: str) -> float:
        return 1.0


WELCOME = JobDefinition("Welcome")


# Handlers


def settings() -> None:
    handler("A", timeot=10)  # wrong
    handler("B", timeout="10")  # wrong
    handler("C", max_retries="3")  # wrong
    handler("D", priority="urgent")  # wrong
    handler("E", every=5)  # wrong
    handler("F", overlap="never")  # wrong
    handler("G", metadata={"tags": ["a"]})  # wrong
    handler("H", retry="5 s")  # wrong
    handler("I")(no_context)  # wrong
    JobDefinition("J", priority=3)  # wrong
    JobDefinition("K", key="k")  # wrong


def no_context() -> None: ...


async def called(job: JobContext) -> None:
    resize(job, 5)  # wrong
    resize("cat.png")  # wrong
    resize(job, url="cat.png", size=5)  # wrong


# Arguments


async def arguments(s: Scheduler) -> None:
    await s.once_now(resize)  # wrong
    await s.once_now(resize, ulr="cat.png")  # wrong
    await s.once_now(resize, url=5)  # wrong
    await s.once_now(resize, 5)  # wrong
    await s.once_now(resize, "cat.png", 80, "more")  # wrong
    await s.once_now(resize, url="cat.png", width="80")  # wrong
    await s.once_now(resize, url="cat.png", priority="high")  # wrong
    await s.once_now(hello, name="Ann")  # wrong
    await s.once_at(resize, SOON)  # wrong
    await s.once_at(resize, "tomorrow", url="cat.png")  # wrong
    await s.once_after(resize, SOON, url="cat.png")  # wrong
    await s.once_after(resize, timedelta(minutes=5), url=5)  # wrong
    await s.once_now(Invoice)  # wrong
    await s.once_now(Invoice, to=5)  # wrong
    await s.once_now("Hello", {"name": "Ann"})  # wrong
    await s.once_now(no_context)  # wrong
    receipt: JobReceipt[str] = await s.once_now(resize, url="cat.png")  # wrong
    receipt.id  # wrong


# Mappings and options


async def mappings(s: Scheduler) -> None:
    await s.once_now(hello, ["Ann"])  # wrong
    await s.once_now(hello, {"name": "Ann"}, priorty="high")  # wrong
    await s.once_now(hello, {"name": "Ann"}, priority="hihg")  # wrong
    await s.once_now(hello, {"name": "Ann"}, priority=3)  # wrong
    await s.once_now(hello, {"name": "Ann"}, timeout="10 s")  # wrong
    await s.once_now(hello, {"name": "Ann"}, metadata=["acme"])  # wrong
    await s.once_now(hello, {"name": "Ann"}, confirm="nobody")  # wrong
    await s.once_now(hello, {"name": "Ann"}, at=SOON)  # wrong
    await s.once_now(hello, {"name": "Ann"}, countdown=5)  # wrong
    await s.once_now(hello, {1: "Ann"})  # wrong
    await s.once_now(Invoice, {"to": "ann"}, prio="high")  # wrong
    await s.once_now(WELCOME, {"email": "ann"}, retries=5)  # wrong
    await s.once_now(WELCOME, email="ann")  # wrong
    await s.once_after(hello, "5 m", {"name": "Ann"})  # wrong


# with_options and requests


async def with_options(s: Scheduler) -> None:
    resize.with_options(prio="high")  # wrong
    resize.with_options(priority=3)  # wrong
    await s.once_now(resize.with_options(key="k"))  # wrong
    await s.once_now(resize.with_options(key="k"), url=5)  # wrong
    resize.request()  # wrong
    resize.request(url=5)  # wrong
    resize.with_options(after=5).request(size=5)  # wrong
    hello.request({"name": "Ann"}, cluster="B")  # wrong
    hello.request(at="tomorrow")  # wrong
    Invoice.request(to=5)  # wrong
    Invoice.with_options(prio="high")  # wrong
    await s.once_now(Invoice.with_options(key="k"), to=5)  # wrong
    WELCOME.request({"email": "ann"}, prio="high")  # wrong
    await s.once_many([resize])  # wrong
    await s.once_many(resize.request(url="cat.png"))  # wrong


# Recurring schedules


async def recurring(s: Scheduler) -> None:
    await s.recurring(hello)  # wrong
    await s.recurring(hello, 5)  # wrong
    await s.recurring(hello, "every day", overlp="skip")  # wrong
    await s.recurring(hello, "every day", overlap="never")  # wrong
    await s.recurring(report, "every day", customer=5)  # wrong
    await s.recurring(hello, "every day", at=SOON)  # wrong
    StaticSchedule("A", report, "every day", key="k")  # wrong
    StaticSchedule("B", resize, "every day")  # wrong


# Without an event loop


def blocking(s: SyncScheduler) -> None:
    s.once_now(resize)  # wrong
    s.once_now(resize, url=5)  # wrong
    s.once_now(hello, {"name": "Ann"}, priorty="high")  # wrong
    s.once_at(resize, "tomorrow", url="cat.png")  # wrong
    s.recurring(hello, 5)  # wrong
    count: int = s.once_now(hello)  # wrong


# Clusters, and what to ask them


def configured() -> None:
    Cluster("C", "memory://", mode="asleep")  # wrong
    Cluster.standalone("C", "memory://", mod="passive")  # wrong
    cluster = Cluster.standalone("C", "memory://")
    cluster.configure(leese=5)  # wrong
    cluster.configure(lease="5 s")  # wrong
    cluster.add_agent("A", "memory://", wieght=2.0)  # wrong
    cluster.add_worker(parallelsm=2)  # wrong
    cluster.add_worker(concurrency="many")  # wrong
    cluster.add_worker(mode="lazy")  # wrong
    cluster.add_worker(buckets={"urgent": 2})  # wrong
    cluster.add_handlers(no_context)  # wrong
    cluster.move_to("memory://", histroy=True)  # wrong


async def looking(runtime: Runtime) -> None:
    await runtime.jobs.query(stauts="failed")  # wrong
    await runtime.jobs.query(status="broken")  # wrong
    await runtime.jobs.count(handler=5)  # wrong
    await runtime.jobs.count_by_status(scheduled_from="yesterday")  # wrong
    await runtime.schedules.query(status="failed")  # wrong
    await runtime.configure(heartbeat=5)  # wrong
    await runtime.set_mode("asleep")  # wrong
