"""How a call is parted into the handler's values and the call's options."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobmaster import (
    Cluster,
    ConfigurationError,
    InvalidArgumentsError,
    JobContext,
    JobDefinition,
    JobHandler,
    JobStatus,
    Overlap,
    Priority,
    StaticSchedule,
    UnknownHandlerError,
    handler,
)
from jobmaster.definitions import NO_OPTIONS, UNSET
from jobmaster.handlers import handler_of, target_of
from jobmaster_testing.probes import Seen

SOON = datetime(2030, 1, 1, tzinfo=UTC)


@handler("Calls.Resize")
def resize(_: JobContext, url: str, width: int = 640, *, crop: bool = False) -> int:
    return width + crop + len(url)


@handler("Calls.Hello")
async def hello(_: JobContext) -> None: ...


@handler("Calls.Named")
def named(
    _: JobContext, key: str, timeout: int = 0, cluster: str = "", kind: str = "", at: str = ""
) -> None: ...


@handler("Calls.Takes")
def takes(_: JobContext, payload: dict[str, Any], note: str | None = "none") -> None: ...


@handler("Calls.Maybe")
def maybe(_: JobContext, width: int | None = 5, height: int | None = None) -> None: ...


@handler("Calls.Height")
def only_height(_: JobContext, height: int | None = None) -> None: ...


@handler("Calls.Class")
class Invoice(JobHandler):
    def handle(self, job: JobContext, to: str, key: str = "") -> None: ...


def values_of(request: Any) -> dict[str, Any]:
    return dict(request.values)


def refused(call: Any, *parts: str) -> None:
    with pytest.raises(InvalidArgumentsError) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)


# Values


@pytest.mark.parametrize(
    ("made", "values"),
    [
        (resize.request("cat.png"), {"url": "cat.png"}),
        (resize.request("cat.png", 80), {"url": "cat.png", "width": 80}),
        (resize.request("cat.png", 80, crop=True), {"url": "cat.png", "width": 80, "crop": True}),
        (resize.request(url="cat.png"), {"url": "cat.png"}),
        (resize.request({"url": "cat.png"}), {"url": "cat.png"}),
        (hello.request({"name": "Ann"}), {"name": "Ann"}),
        (hello.request(None), {}),
        (takes.request({"payload": {"a": 1}}), {"payload": {"a": 1}}),
        (takes.request({"a": 1}, "x"), {"payload": {"a": 1}, "note": "x"}),
        (takes.request(payload={"a": 1}), {"payload": {"a": 1}}),
        (only_height.request(None), {}),
        (Invoice.request("ann"), {"to": "ann"}),
        (Invoice.request(to="ann", key="k"), {"to": "ann", "key": "k"}),
        (JobDefinition("X").request({"url": 1}), {"url": 1}),
    ],
)
def test_values_come_by_name_by_position_or_in_a_mapping(made: Any, values: Mapping[str, Any]) -> None:
    assert values_of(made) == values
    assert made.options is NO_OPTIONS


def test_a_mapping_and_keywords_may_be_mixed_at_run_time() -> None:
    mixed: Any = resize
    made = mixed.request({"url": "cat.png"}, width=80, priority="high", after=5)
    assert values_of(made) == {"url": "cat.png", "width": 80}
    assert (made.options.priority, made.options.after) == (Priority.HIGH, 5)
    made = mixed.request("cat.png", priority="high")
    assert (values_of(made), made.options.priority) == ({"url": "cat.png"}, Priority.HIGH)


def test_values_that_do_not_fit_a_call_are_refused() -> None:
    wrong: Any = resize
    refused(lambda: wrong.request("a", 1, True), "'Calls.Resize' takes 2 by position (url, width), not 3")
    refused(
        lambda: wrong.request("a", url="b"), "url: scheduling 'Calls.Resize' has a value for it by position"
    )
    refused(
        lambda: wrong.request({"url": "a"}, url="b"), "has a value for it in the mapping and one as a keyword"
    )
    plain: Any = hello
    refused(lambda: plain.request("a"), "data must be a mapping of names to values, not str")
    refused(
        lambda: plain.request({}, {}), "data must be a mapping of names to values, not 2 values by position"
    )


def test_a_single_mapping_holds_values_by_name_and_the_error_says_so() -> None:
    refused(
        lambda: takes.check({"a": 1}),
        "arguments of 'Calls.Takes'",
        "a single mapping holds values by name, so write payload=... to pass one to 'payload'",
    )
    with pytest.raises(InvalidArgumentsError) as caught:
        resize.check({"size": 1})
    assert "a single mapping" not in str(caught.value)


def test_none_alone_is_refused_where_it_may_be_a_value() -> None:
    refused(
        lambda: maybe.request(None),
        "width: None may be its value, or say that there are none; write width=None",
    )
    assert values_of(maybe.request(width=None)) == {"width": None}
    assert values_of(maybe.request(None, 3)) == {"width": None, "height": 3}


# Names of parameters


def test_a_parameter_may_bear_the_name_of_an_option() -> None:
    made = named.request(key="mine", timeout=5, cluster="c", kind="k", at="noon")
    assert values_of(made) == {"key": "mine", "timeout": 5, "cluster": "c", "kind": "k", "at": "noon"}
    assert made.options is NO_OPTIONS

    made = named.with_options(key="k-1", timeout=9, at=SOON).request(key="mine", timeout=5)
    assert values_of(made) == {"key": "mine", "timeout": 5}
    assert (made.options.key, made.options.timeout, made.options.at) == ("k-1", 9, SOON)


def test_the_name_of_the_context_is_no_name_of_a_value() -> None:
    @handler("Calls.Rest")
    def rest(job: JobContext, **values: object) -> None: ...

    refused(lambda: rest.check({"job": 1}), "job: 'Calls.Rest' has its JobContext under this name")
    rest.check({"jobs": 1})


def test_beside_a_mapping_such_a_keyword_is_ambiguous() -> None:
    refused(
        lambda: named.request({"key": "mine"}, key="k-1"),
        "key: beside a mapping it may be the option of request(), or an argument of 'Calls.Named'",
        "give the option with handler.with_options(key=...)",
    )
    made = named.with_options(key="k-1").request({"key": "mine"}, priority="high")
    assert (values_of(made), made.options.key, made.options.priority) == (
        {"key": "mine"},
        "k-1",
        Priority.HIGH,
    )


@pytest.mark.anyio
async def test_jobs_of_such_parameters_run_and_verbs_take_them() -> None:
    seen = Seen[dict[str, Any]]()

    @handler("Calls.Any")
    async def run(_: JobContext, self: str, verb: str, cluster: str, key: str, handler: str = "") -> None:
        seen.add({"self": self, "verb": verb, "cluster": cluster, "key": key, "handler": handler})

    cluster = Cluster.standalone("Calls", "memory://").add_handlers(run).add_worker(concurrency=1)
    async with cluster.running() as runtime:
        s = runtime.scheduler
        receipts = [
            await s.once_now(run.with_options(key="k", cluster="Calls"), "a", "b", "c", "d", handler="e"),
            await s.once_now(run.with_options(key="k"), self="1", verb="2", cluster="3", key="4"),
            await s.once_after(run, 0, self="1", verb="2", cluster="3", key="4"),
        ]
        for receipt in receipts:
            assert (await runtime.jobs.wait(receipt.job_id, 10)).status is JobStatus.SUCCEEDED
    assert receipts[0].job_id == receipts[1].job_id
    assert seen.items == [
        {"self": "a", "verb": "b", "cluster": "c", "key": "d", "handler": "e"},
        {"self": "1", "verb": "2", "cluster": "3", "key": "4", "handler": ""},
    ]


# with_options


def test_options_are_given_beforehand_and_later_ones_count() -> None:
    urgent = resize.with_options(priority="high", key="k", timeout=None, metadata={"a": 1, "b": 1})
    made = urgent.request("cat.png")
    assert (made.options.priority, made.options.key, made.options.timeout) == (Priority.HIGH, "k", None)
    assert made.target is resize

    made = urgent.with_options(priority="low", metadata={"b": 2}).request({"url": "a"}, key="other", lane="l")
    assert (made.options.priority, made.options.key, made.options.lane) == (Priority.LOW, "other", "l")
    assert (made.options.timeout, made.options.metadata) == (None, {"a": 1, "b": 2})
    assert urgent.request("cat.png").options is urgent.request("dog.png").options, "prepared once"
    assert (urgent.request("a").options.max_retries, urgent.options["key"]) == (UNSET, "k")


def test_an_option_that_there_is_not_is_refused_with_a_guess() -> None:
    wrong: Any = resize
    refused(
        lambda: wrong.with_options(priorty="high"),
        "priorty: there is no such option for scheduling 'Calls.Resize'; did you mean 'priority'?",
    )
    refused(lambda: wrong.with_options(countdown=5), "for a delay, use once_after(handler, delay)")
    refused(
        lambda: wrong.with_options(url="x"), "url: there is no such option", "there are: after, at, cluster"
    )
    refused(lambda: wrong.with_options(timeout=-1), "scheduling 'Calls.Resize': timeout: -1 is out of range")
    refused(lambda: wrong.with_options(priority=3), "priority: 3 is not a Priority")
    refused(lambda: wrong.with_options(at=SOON, after=5), "has both a moment and a delay")


def test_an_option_of_another_verb_is_refused() -> None:
    refused(
        lambda: resize.with_options(cluster="B").request("a"),
        "the cluster is chosen by the call that schedules",
    )
    refused(
        lambda: resize.with_options(kind="cron").request("a"),
        "it is an option of recurring(handler, expression)",
    )
    refused(
        lambda: resize.with_options(cluster="B").request("a"),
        "no such option for a request of 'Calls.Resize'",
    )


@pytest.mark.anyio
async def test_verbs_refuse_options_of_others_and_take_their_own() -> None:
    async with Cluster.standalone("Calls", "memory://").add_handlers(resize, hello).running() as runtime:
        s = runtime.scheduler
        with pytest.raises(
            InvalidArgumentsError, match=r"at: once_now\(\) does not take at=\.\.\.; call once_at"
        ):
            await s.once_now(resize.with_options(at=SOON), "cat.png")
        with pytest.raises(InvalidArgumentsError, match=r"at, after: the expression says when"):
            await s.recurring(resize.with_options(after=5), "every day", "cat.png")
        with pytest.raises(InvalidArgumentsError, match=r"kind: there is no such option for once_now\(\)"):
            await s.once_now(hello.with_options(kind="cron"))

        daily = hello.with_options(kind="cron", overlap="queue", priority="low", time_zone="Europe/Paris")
        receipt = await s.recurring(daily, "0 3 * * *")
        record = await runtime.schedules.get(receipt.schedule_id)
        assert (record.kind, record.overlap, record.job.priority) == ("cron", Overlap.QUEUE, Priority.LOW)
        later = await s.once_at(resize.with_options(key="k", lane="images"), SOON, "cat.png", 80)
        job = await runtime.jobs.get(later.job_id)
        assert (job.key, job.lane, dict(job.data)) == ("k", "images", {"url": "cat.png", "width": 80})


def test_a_static_schedule_takes_options_and_refuses_those_of_calls() -> None:
    made = StaticSchedule("Calls.Static", hello.with_options(lane="l"), timedelta(hours=1), priority="low")
    assert (made.request.options.lane, made.request.options.priority) == ("l", Priority.LOW)
    made = StaticSchedule("Calls.Named", only_named, timedelta(hours=1), timeout=5)
    assert (dict(made.request.values), made.request.options.timeout) == ({}, 5)
    with pytest.raises(ConfigurationError, match="a static schedule has no setting 'key'"):
        StaticSchedule("Calls.Static", hello.with_options(key="k"), timedelta(hours=1))


@handler("Calls.OnlyNamed")
def only_named(_: JobContext, timeout: int = 1) -> None: ...


def test_a_handler_with_options_is_something_to_schedule_and_no_handler() -> None:
    urgent = hello.with_options(priority="high")
    assert target_of(urgent) is urgent
    with pytest.raises(
        UnknownHandlerError, match="is a handler with options of a call; give the handler itself"
    ):
        handler_of(urgent)
    assert repr(urgent) == f"{hello!r}.with_options(priority='high')"
