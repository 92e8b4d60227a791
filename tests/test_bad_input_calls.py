"""What a user sees when a call is wrong: it is refused with its remedy, and nothing is stored."""

from __future__ import annotations

import functools
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from jobmaster import (
    Cluster,
    ClusterArchivedError,
    ConfigurationError,
    InvalidArgumentsError,
    InvalidDataError,
    InvalidQueryError,
    InvalidTransitionError,
    JobContext,
    JobDefinition,
    JobMasterError,
    JobNotFoundError,
    MessageData,
    MessageTooLargeError,
    MetadataFilter,
    NotRunningError,
    Operator,
    Priority,
    Runtime,
    SchedulingError,
    StoreUnavailableError,
    UnknownHandlerError,
    handler,
)
from tests.refusals import refused, run


@handler("Resize")
async def resize(_: JobContext, url: str, width: int = 640) -> None: ...


@handler("Plain")
async def plain(_: JobContext) -> None: ...


@handler("Anything")
async def anything(_: JobContext, **values: Any) -> None: ...


@handler("Delayed")
async def delayed(_: JobContext, delay: int, kind: str) -> None: ...


def undecorated(_: JobContext) -> None: ...


def cluster(url: str = "memory://", cluster_id: str = "Local-1", **options: Any) -> Cluster:
    return Cluster.standalone(cluster_id, url, **options).add_handlers(resize, plain)


# Scheduling


NAIVE = datetime(2030, 1, 1)  # noqa: DTZ001 - which is what is wrong with it

Verb = Callable[[Runtime], Awaitable[object]]


def now(*arguments: Any, **options: Any) -> Verb:
    return lambda runtime: runtime.scheduler.once_now(*arguments, **options)


def after(*arguments: Any) -> Verb:
    return lambda runtime: runtime.scheduler.once_after(plain, *arguments)


def at(*arguments: Any) -> Verb:
    return lambda runtime: runtime.scheduler.once_at(plain, *arguments)


def many(*requests: Any) -> Verb:
    return lambda runtime: runtime.scheduler.once_many(requests)


def recurring(**options: Any) -> Verb:
    return lambda runtime: runtime.scheduler.recurring(plain, "every day at 03:00", **options)


def request(**options: Any) -> Verb:
    async def make(runtime: Runtime) -> object:
        return await runtime.scheduler.once_many([plain.request(**options)])

    return make


def untyped(runtime: Runtime) -> Any:
    """Return the scheduler as code sees it that no type checker looks at."""
    return runtime.scheduler


UNLISTED: Any = plain.request()
FAR = datetime.max.replace(tzinfo=timezone(-timedelta(hours=5)))

REFUSALS: Mapping[type[SchedulingError], Sequence[tuple[Verb, str]]] = {
    InvalidArgumentsError: [
        (at(NAIVE), "at must be an aware datetime, not datetime.datetime(2030"),
        (at(date(2030, 1, 1)), "at: datetime.date(2030, 1, 1) is not a datetime; give an aware one"),
        (at("2030-01-01"), "at: '2030-01-01' is not a datetime; give an aware one"),
        (at(None), "at: must not be None; once_now() runs a job as soon as"),
        (at(datetime.max.replace(tzinfo=UTC)), "is too far away; a job can wait for at most a hundred"),
        (at(FAR), "is too far away; a job can wait for at most a hundred years"),
        (after(-1), "after: -1 is negative; a job can wait, but not run in the past"),
        (after(timedelta(seconds=-1)), "is negative; a job can wait, but not run in the past"),
        (after("5m"), "after: '5m' is not a duration; give seconds as a number, or a timedelta"),
        (after(None), "after: must not be None; once_now()"),
        (after(math.inf), "after: inf is too far away; a job can wait for at most a hundred years"),
        (after(math.nan), "after: nan is not a duration"),
        (many("Resize"), "once_many takes requests, as handler.request(...) makes them, in a list, not"),
        (many(plain), "once_many takes requests, as handler.request(...) makes them, in a list, not <handl"),
        (now(resize), "arguments of 'Resize': missing a required"),
        (now(resize, url="a", size=3), "got an unexpected keyword argument 'size'; it takes (url"),
        (now(resize, {"url": "a", "width": "80"}), "argument 'width' of 'Resize': str is not an"),
        (now(plain, [1]), "data must be a mapping of names to values, not list"),
        (now(plain, "x"), "data must be a mapping of names to values, not str"),
        (now(plain, metadata=["x"]), "metadata: ['x'] is not a mapping of names to values; write"),
        (now(plain, timeout=-1), "scheduling 'Plain': timeout: -1 is out of range; give positive"),
        (now(plain, timeout=math.inf), "scheduling 'Plain': timeout: inf is out of range"),
        (now(plain, max_retries=-1), "scheduling 'Plain': max_retries: -1 is out of range"),
        (now(plain, priority=3), "scheduling 'Plain': priority: 3 is not a Priority; use Priority.M"),
        (now(plain, lane="a b"), "scheduling 'Plain': lane: 'a b' is not a valid name"),
        (now(plain, key=""), "key: '' is not a valid idempotency key; use a string of 1 to 200 characters"),
        (
            now(plain, {"name": "A"}, priorty="high"),
            "priorty: there is no such option for scheduling 'Plain'; did",
        ),
        (
            now(plain, time_out=5),
            "did you mean 'timeout'? If it is data for the handler, put it in the mapping: {'time",
        ),
        (now(plain, max_retires=5), "did you mean 'max_retries'?"),
        (now(plain, lnae="x"), "did you mean 'lane'?"),
        (
            now(plain, at=FAR),
            "at: once_now() does not take at=...; call once_at(handler, datetime.datetime(9999",
        ),
        (now(plain, after=5), "after: once_now() does not take after=...; call once_after(handler, 5, ...)"),
        (lambda runtime: untyped(runtime).once_after(plain, 5, at=FAR), "at: once_after() does not take at="),
        (
            lambda runtime: untyped(runtime).once_at(plain, FAR, after=5),
            "after: once_at() does not take after=",
        ),
        (
            now(plain, countdown=60),
            "for a delay, use once_after(handler, delay) or request(after=delay).",
        ),
        (now(plain, eta=FAR), "for a moment, use once_at(handler, moment) or request(at=moment)."),
        (now(plain, expires=60), "jobs do not expire; let the handler check job.scheduled_at"),
        (now(plain, queue="mail"), "use lane=... to choose the lane of a job"),
        (now(plain, time_zone="UTC"), "it is an option of recurring(handler, expression)"),
        (now(JobDefinition("Plain"), delay=5), "delay: there is no such option for scheduling 'Plain'"),
        (now(anything, retries=5), "retries: there is no such option for scheduling 'Anything'"),
        (recurring(every="1 hour"), "for a recurring job, use recurring(handler, expression)"),
        (recurring(misfre="skip"), "there is no such option for scheduling 'Plain'; did you mean 'misfire'?"),
        (recurring(at=FAR), "at, after: the expression says when a recurring schedule fires"),
        (
            recurring(confirm="master"),
            "confirm: recurring() always waits for the master, which keeps the schedule; leave it out",
        ),
        (request(at=FAR, after=5), "at, after: scheduling 'Plain' has both a moment and a delay; give one"),
        (
            request(cluster="Other"),
            "the cluster is chosen by the call that schedules, for example once_many(",
        ),
        (
            now(resize, {"url": "a"}, url="b"),
            "url: scheduling 'Resize' has a value for it in the mapping and one as a",
        ),
        (
            now(plain, MessageData.of(name="a"), name="b"),
            "name: scheduling 'Plain' has a value for it in the mapping",
        ),
        (lambda runtime: runtime.scheduler.once_many(UNLISTED), "in a list, not JobRequest("),
        (
            now(plain, priority="hihg"),
            "'hihg' is not a Priority; use Priority.MEDIUM, for example; did you mean 'high'?",
        ),
        (now(plain, key="\0"), "key: '\\x00' contains a NUL character"),
        (
            now(plain, key="\ud800"),
            "contains half of a surrogate pair, which is not a character and cannot be stored",
        ),
        (now(plain, key="k" * 201), "k… is not a valid idempotency key; use a string of 1 to 200 characters"),
        (now(plain, key=7), "key: 7 is not a valid idempotency key; use a string of 1 to 200 characters"),
    ],
    UnknownHandlerError: [
        (now(undecorated), 'undecorated is not a handler; decorate it with @handler("SomeId"), or'),
        (now("Resize"), "'Resize' is not a handler; decorate it with @handler(\"SomeId\"), or schedule"),
        (now(functools.partial(undecorated)), "is not a handler; decorate it with @handler("),
        (now(None), "None is not a handler"),
    ],
    InvalidDataError: [
        (now(plain, {"x": object()}), "value 'x' is of type builtins.object, which a job cannot carry"),
        (now(plain, {"x": {"y": [{1}]}}), "value 'x.y[0]' is of type builtins.set, which a job cannot"),
        (now(plain, {1: 2}), "names of values must be strings, not 1"),
        (now(plain, {"x": "\ud800"}), "surrogates not allowed"),
        (now(plain, metadata={"x": {"y": 1}}), "metadata 'x' is dict: metadata cannot nest; put it in"),
        (now(plain, metadata={"x": "\0"}), "metadata 'x' contains a NUL character"),
        (now(plain, metadata={"x\0": 1}), "metadata name 'x\\x00' contains a NUL character"),
        (now(plain, metadata={"\ud800": 1}), "contains half of a surrogate pair"),
        (now(plain, metadata={"x" * 201: 1}), "is longer than 200 characters; choose another name"),
        (
            now(plain, metadata={"x": "y" * 70_000}),
            "metadata is 70008 bytes, over 65536; put long values into the",
        ),
        (
            now(plain, metadata={"x": Decimal("1E-20000")}),
            "metadata 'x' has over 10000 places, which databases cannot",
        ),
        (now(plain, {"\ud800": 1}), "surrogates not allowed"),
    ],
    MessageTooLargeError: [
        (now(plain, {"x": "y" * 200_000}), "message data of 'Plain' is 200008 bytes, over max_mess"),
    ],
    NotRunningError: [
        (now(plain, cluster="Other"), "cluster 'Other' does not run in this process (running here: "),
    ],
}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "verb", "message"), [(kind, *case) for kind, cases in REFUSALS.items() for case in cases]
)
async def test_calls_that_are_refused(kind: type[SchedulingError], verb: Verb, message: str) -> None:
    async with cluster().add_handlers(anything).running() as runtime:
        with refused(kind, message):
            await verb(runtime)
        assert await runtime.jobs.count() == 0, "what is refused is not stored"


@pytest.mark.anyio
async def test_what_looks_like_an_option_is_data_where_it_is_said_to_be() -> None:
    async with cluster().running() as runtime:
        once_now: Any = runtime.scheduler.once_now  # type checkers would refuse some of this
        receipts = [
            await once_now(delayed, delay=5, kind="x"),
            await once_now(JobDefinition("Delayed"), {"delay": 5, "kind": "x"}),
        ]
        for receipt in receipts:
            assert dict((await runtime.jobs.get(receipt.job_id)).data) == {"delay": 5, "kind": "x"}
        assert (await once_now(plain, {"priorty": 1}, line=2, name="x")).created


@pytest.mark.anyio
async def test_priorities_may_be_given_by_name() -> None:
    named: Any = {"very_low": 0, "HIGH": 2}
    spelt: Any = "Critical"
    by_name = handler("ByName", priority="low")(undecorated)
    made = cluster().add_handlers(by_name).add_worker(buckets=named)
    async with made.running(workers=False) as runtime:
        receipts = [
            await runtime.scheduler.once_now(by_name),
            await runtime.scheduler.once_now(by_name, priority=spelt),
        ]
        jobs = [await runtime.jobs.get(receipt.job_id) for receipt in receipts]
        assert [job.priority for job in jobs] == [Priority.LOW, Priority.CRITICAL]
        assert [job.id for job in await runtime.jobs.query(priority="low")] == [jobs[0].id]
    assert [made.workers[0].bucket_count(priority) for priority in Priority] == [0, 1, 1, 2, 1]


@pytest.mark.anyio
async def test_a_message_over_the_limit_says_the_limit_and_the_way_out() -> None:
    async with cluster().configure(max_message_bytes=256).running() as runtime:
        with refused(
            MessageTooLargeError, "over max_message_bytes=256; store the payload elsewhere and pass a refer"
        ):
            await runtime.scheduler.once_now(plain, {"x": "y" * 300})


@pytest.mark.anyio
async def test_one_bad_request_among_many_stores_none() -> None:
    async with cluster().running() as runtime:
        with refused(InvalidDataError, "value 'x'"):
            await runtime.scheduler.once_many([plain.request(), plain.request({"x": object()})])
        assert await runtime.jobs.count() == 0


@pytest.mark.anyio
async def test_scheduling_on_an_archived_cluster() -> None:
    url = f"memory://{uuid4().hex}"
    async with cluster(url, mode="archived").running() as runtime:
        message = (
            "cluster 'Local-1' is archived and read only; schedule on an active cluster, or set its mode back"
        )
        with refused(ClusterArchivedError, message):
            await runtime.scheduler.once_now(plain)
        with refused(ClusterArchivedError, message):
            await runtime.scheduler.once_many([plain.request()])
        await runtime.set_mode("active")
        assert (await runtime.scheduler.once_now(plain)).created


@pytest.mark.anyio
async def test_a_worker_on_an_archived_cluster() -> None:
    made = cluster(mode="archived").add_worker()
    with refused(
        ConfigurationError, "cluster 'Local-1' is archived and cannot have workers; remove add_worker("
    ):
        await run(made)


@pytest.mark.anyio
async def test_scheduling_after_the_stop() -> None:
    async with cluster().running() as runtime:
        pass
    with refused(
        NotRunningError, "cluster 'Local-1' is not running any more; schedule inside `async with cluster.run"
    ):
        await runtime.scheduler.once_now(plain)


@pytest.mark.anyio
async def test_a_mode_that_there_is_not() -> None:
    async with cluster().running() as runtime:
        with refused(
            ConfigurationError, "mode: 'x' is not a cluster mode; use one of active, passive, archived"
        ):
            await runtime.set_mode("x")  # type: ignore[arg-type]


# Changing and looking


@pytest.mark.anyio
@pytest.mark.parametrize("job_id", [UUID(int=1), str(UUID(int=1)), "nope", 5, None])
async def test_a_job_that_is_not_there(job_id: Any) -> None:
    async with cluster().running() as runtime:
        scheduler = runtime.scheduler
        for verb in (
            scheduler.cancel,
            scheduler.retry,
            lambda i: scheduler.reschedule(i, 5),
            runtime.jobs.get,
        ):
            with refused(
                JobNotFoundError, f"cluster 'Local-1' has no job {job_id}; it may have outlived the retention"
            ):
                await verb(job_id)


@pytest.mark.anyio
async def test_a_job_of_another_cluster() -> None:
    url = f"memory://{uuid4().hex}"
    async with cluster(url).running() as runtime, cluster(url, "Local-2").running() as other:
        receipt = await runtime.scheduler.once_now(plain)
        with refused(JobNotFoundError, f"cluster 'Local-2' has no job {receipt.job_id}"):
            await other.scheduler.cancel(receipt.job_id)


@pytest.mark.anyio
async def test_retrying_a_job_that_has_not_finished() -> None:
    async with cluster().running() as runtime:
        job_id = (await runtime.scheduler.once_now(plain)).job_id
        message = f"job {job_id} is held_on_master; only a finished job can be retried; wait for its end, or cancel it"
        with refused(InvalidTransitionError, message):
            await runtime.scheduler.retry(job_id)


@pytest.mark.anyio
async def test_rescheduling_a_job_that_has_finished() -> None:
    async with cluster().running() as runtime:
        job_id = (await runtime.scheduler.once_now(plain)).job_id
        await runtime.scheduler.cancel(job_id)
        message = f"job {job_id} is cancelled; only a job that still waits can be rescheduled; retry() runs a finished"
        with refused(InvalidTransitionError, message):
            await runtime.scheduler.reschedule(job_id, 60)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("moment", "message"),
    [
        (-5, "after: -5 is negative; a job can wait, but not run in the past"),
        ("soon", "after: 'soon' is not a duration; give seconds as a number, or a timedelta"),
        (NAIVE, "at must be an aware datetime, not datetime.datetime(2030"),
    ],
)
async def test_rescheduling_to_a_moment_that_is_none(moment: Any, message: str) -> None:
    async with cluster().running() as runtime:
        receipt = await runtime.scheduler.once_after(plain, 60)
        with refused(InvalidArgumentsError, message):
            await runtime.scheduler.reschedule(receipt.job_id, moment)


LIKE: Any = "like"
QUESTIONS: Sequence[tuple[dict[str, Any], str]] = [
    ({"status": "done"}, "status: 'done' is not a status; use one or more of save_pending, held_on_master,"),
    ({"status": ["failed", "done"]}, "status: 'done' is not a status; use one or more of"),
    ({"status": 5}, "status: 5 is not a status; use one or more of"),
    ({"priority": "hihg"}, "priority: 'hihg' is not a Priority; use Priority.MEDIUM, for example"),
    ({"priority": 9}, "priority: 9 is not a Priority"),
    ({"lane": 5}, "lane: 5 does not fit; give the name of a lane"),
    ({"parked": "yes"}, "parked: 'yes' does not fit; give True, False or None"),
    ({"scheduled_from": NAIVE}, "scheduled_from must be an aware datetime"),
    ({"scheduled_to": "now"}, "scheduled_to: 'now' does not fit; give an aware datetime"),
    ({"schedule": "nightly"}, "schedule: 'nightly' is not a schedule id"),
    ({"schedule": 5}, "schedule: 5 is not a schedule id"),
    ({"priority": True}, "priority: True is not a Priority"),
    ({"lane": "a\0"}, "lane: 'a\\x00' is not a valid name"),
    ({"handler": "\ud800"}, "handler: '\\ud800' is not a valid name"),
    ({"metadata": {"a\0": 1}}, "metadata name 'a\\x00' contains a NUL character"),
    ({"metadata": {"a": "\ud800"}}, "contains half of a surrogate pair"),
    ({"metadata": {"a": [1]}}, "metadata 'a' is list: metadata cannot nest"),
    (
        {"metadata": MetadataFilter("a", Operator.IN, "abc")},
        "metadata 'a': in takes a list of values, not 'abc'",
    ),
    (
        {"metadata": [MetadataFilter("a", Operator.GT, True)]},
        "metadata 'a': True has no order, so gt cannot compare it",
    ),
    (
        {"metadata": [MetadataFilter("a", Operator.CONTAINS, 5)]},
        "metadata 'a': contains takes a string, not 5",
    ),
    (
        {"metadata": [MetadataFilter("a", LIKE, 5)]},
        "metadata 'a': 'like' is not an operator; use one of eq, ne",
    ),
    ({"scheduled_from": FAR}, "scheduled_from: 9999-12-31 23:59:59.999999-05:00 is not a moment in UTC"),
    ({"metadata": 5}, "metadata: 5 does not fit; give a mapping of names to values, or MetadataFilter"),
    ({"metadata": ["team"]}, "metadata: ['team'] does not fit; give a mapping of names to values"),
    ({"definition": "Plain"}, "there is no condition 'definition' (available: handler, lane, metadata,"),
    ({"stauts": "failed"}, "there is no condition 'stauts'; did you mean 'status'?"),
]
PAGES: Sequence[tuple[dict[str, Any], str]] = [
    ({"limit": 0}, "limit: 0 is out of range; it must be a whole number from 1 to 1000"),
    ({"limit": 1001}, "limit: 1001 is out of range"),
    ({"limit": "all"}, "limit: 'all' is out of range"),
    ({"after": "x"}, "after: 'x' does not fit; give the id of the last one of the page before"),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("question", "message"), [*QUESTIONS, *PAGES])
async def test_questions_that_make_no_sense(question: dict[str, Any], message: str) -> None:
    async with cluster().running() as runtime:
        with refused(InvalidQueryError, message):
            await runtime.jobs.query(**question)


@pytest.mark.anyio
@pytest.mark.parametrize(("question", "message"), QUESTIONS)
async def test_counts_that_make_no_sense(question: dict[str, Any], message: str) -> None:
    async with cluster().running() as runtime:
        with refused(InvalidQueryError, message):
            await runtime.jobs.count(**question)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("question", "message"),
    [
        *PAGES,
        ({"status": "done"}, "status: 'done' is not a status; use one or more of"),
        ({"static": "no"}, "static: 'no' does not fit; give True, False or None"),
        ({"handler": "a\0"}, "handler: 'a\\x00' is not a valid name"),
    ],
)
async def test_questions_about_schedules_that_make_no_sense(question: dict[str, Any], message: str) -> None:
    async with cluster().running() as runtime:
        with refused(InvalidQueryError, message):
            await runtime.schedules.query(**question)


# However large it is

MONSTERS: Sequence[Any] = ["x" * 5_000_000, 10**5000, [["x" * 1000] * 1000], b"x" * 5_000_000]
ASKING: Sequence[Callable[[Runtime, Any], Awaitable[Any]]] = [
    lambda runtime, it: runtime.jobs.query(limit=it),
    lambda runtime, it: runtime.jobs.query(after=it),
    lambda runtime, it: runtime.jobs.query(status=it),
    lambda runtime, it: (
        runtime.jobs.query(handler=it) if isinstance(it, str) else runtime.jobs.query(lane=it)
    ),
    lambda runtime, it: runtime.jobs.query(priority=it),
    lambda runtime, it: runtime.jobs.query(schedule=it),
    lambda runtime, it: runtime.jobs.query(scheduled_from=it),
    lambda runtime, it: runtime.jobs.query(parked=it),
    lambda runtime, it: runtime.jobs.query(metadata=it),
    lambda runtime, it: runtime.jobs.query(metadata={"v": it}),
    lambda runtime, it: runtime.jobs.query(metadata=[MetadataFilter("v", it, 1)]),
    lambda runtime, it: runtime.jobs.query(metadata=[MetadataFilter(it, Operator.EQ, 1)]),
    lambda runtime, it: runtime.jobs.get(it),
    lambda runtime, it: runtime.jobs.logs("job", it, limit=it),
    lambda runtime, it: runtime.schedules.get(it),
    lambda runtime, it: runtime.stop_worker(it),
    lambda runtime, it: runtime.pause_lane(it),
    lambda runtime, it: runtime.set_mode(it),
    lambda runtime, it: runtime.configure(max_message_bytes=it),
    lambda runtime, it: runtime.scheduler.cancel(it),
    lambda runtime, it: runtime.scheduler.once_now(it),
    lambda runtime, it: runtime.scheduler.once_now(plain, priority=it),
    lambda runtime, it: runtime.scheduler.once_now(plain, lane=it),
    lambda runtime, it: runtime.scheduler.once_now(plain, key=it),
    lambda runtime, it: runtime.scheduler.once_now(plain, max_retries=it),
    lambda runtime, it: runtime.scheduler.once_now(plain, timeout=it),
    lambda runtime, it: runtime.scheduler.once_now(plain, metadata=it),
    lambda runtime, it: runtime.scheduler.once_now(plain, metadata={"v": it}),
    lambda runtime, it: runtime.scheduler.once_now(plain, metadata={it if isinstance(it, str) else "n": it}),
    lambda runtime, it: runtime.scheduler.once_now(plain, confirm=it),
    lambda runtime, it: runtime.scheduler.once_now(plain, {it if isinstance(it, str) else "n": it}),
    lambda runtime, it: runtime.scheduler.once_at(plain, it),
    lambda runtime, it: runtime.scheduler.once_after(plain, it),
    lambda runtime, it: runtime.scheduler.once_many([it]),
    lambda runtime, it: runtime.scheduler.recurring(plain, it),
    lambda runtime, it: runtime.scheduler.recurring(plain, timedelta(hours=1), time_zone=it),
    lambda runtime, it: runtime.scheduler.recurring(plain, timedelta(hours=1), kind=it),
    lambda runtime, it: runtime.scheduler.recurring(plain, timedelta(hours=1), misfire=it),
    lambda runtime, it: runtime.scheduler.recurring(plain, timedelta(hours=1), overlap=it),
    lambda runtime, it: runtime.scheduler.recurring(plain, timedelta(hours=1), key=it),
    lambda runtime, it: runtime.scheduler.recurring(plain, timedelta(hours=1), metadata={"v": it}),
    lambda runtime, it: runtime.scheduler.recurring(plain, timedelta(hours=1), {"v": it} if it else None),
]


@pytest.mark.anyio
async def test_whatever_is_refused_its_error_is_short_and_ours() -> None:
    async with cluster().running() as runtime:
        for place, ask in enumerate(ASKING):
            for it in MONSTERS:
                text = await _told(ask, runtime, it)
                assert len(text) < 3000, (place, type(it))


async def _told(ask: Callable[[Runtime, Any], Awaitable[Any]], runtime: Runtime, it: Any) -> str:
    """Return what is said where it is refused; nothing for what is accepted."""
    try:
        await ask(runtime, it)
    except JobMasterError as error:
        return str(error)
    return ""


# All of them


def test_every_error_is_one_of_ours() -> None:
    """A caller can catch all of it by one name; what a scheduling call refuses is a `SchedulingError`."""
    others = (ConfigurationError, JobNotFoundError, InvalidTransitionError, StoreUnavailableError)
    assert all(issubclass(kind, JobMasterError) for kind in (SchedulingError, *others))
    assert all(issubclass(kind, SchedulingError) for kind in REFUSALS)
