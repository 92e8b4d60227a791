"""Which of the decorated handlers of a process a cluster serves."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobmaster import (
    Cluster,
    ConfigurationError,
    DuplicateDefinitionError,
    JobContext,
    JobDefinition,
    JobHandler,
    JobStatus,
    UnknownHandlerError,
    handler,
    handlers,
)
from jobmaster_testing.probes import Seen
from jobmaster_testing.running import make_context

NAMES = ("Registry.A", "Registry.B", "Registry.C")


def cluster() -> Cluster:
    return Cluster.standalone("Test-1", "memory://").add_worker(parallelism=1)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Return what writes source into a module, and imports it, or else reloads it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(source: str) -> Any:
        (tmp_path / "jobs_of_the_test.py").write_text(f"from jobmaster import JobHandler, handler\n{source}")
        importlib.invalidate_caches()
        known = sys.modules.get("jobs_of_the_test")
        return importlib.reload(known) if known else importlib.import_module("jobs_of_the_test")

    yield load
    sys.modules.pop("jobs_of_the_test", None)


ONE = "@handler('Registry.A')\ndef one(job): return 1\n"
CLASS = "@handler('Registry.A')\nclass One(JobHandler):\n    def handle(self, job): return 1\n"
HEIR = "class Base(JobHandler):\n    def handle(self, job): return 1\n\n@handler('Registry.A')\nclass One(Base): pass\n"


def served() -> dict[str, handlers.Handler]:
    return dict(handlers.Registry(handlers.registered_handlers()))


@pytest.mark.anyio
async def test_handlers_made_in_a_loop_and_by_a_factory_are_all_served() -> None:
    runs = Seen[str]()

    def declare(name: str) -> Any:
        @handler(name)
        async def run(_: JobContext) -> None:
            runs.add(name)

        return run

    made = [declare(name) for name in NAMES]
    assert len({one.where for one in made}) == 1
    async with cluster().running() as runtime:
        for one in made:
            receipt = await runtime.scheduler.once_now(one)
            assert (await runtime.jobs.wait(receipt.job_id, 10)).status is JobStatus.SUCCEEDED
    assert sorted(runs.items) == sorted(NAMES)


@pytest.mark.anyio
async def test_one_function_serves_an_old_id_too_and_classes_in_functions_are_served() -> None:
    async def run(_: JobContext) -> None: ...

    class Run(JobHandler):
        async def handle(self, job: JobContext) -> None: ...

    made: list[Any] = [
        handler("Registry.Old")(run),
        handler("Registry.New")(run),
        handler("Registry.Class")(Run),
    ]
    async with cluster().running() as runtime:
        for one in made:
            receipt = await runtime.scheduler.once_now(one)
            assert (await runtime.jobs.wait(receipt.job_id, 10)).status is JobStatus.SUCCEEDED


@pytest.mark.anyio
async def test_schedules_on_handlers_in_functions_are_declared() -> None:
    for name in NAMES:

        @handler(name, every="day at 03:00", time_zone="UTC")
        def nightly(_: JobContext) -> None: ...

    async with cluster().running() as runtime:
        assert {schedule.name for schedule in await runtime.schedules.query()} == set(NAMES)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["factory", "places", "classes", "lambdas"])
async def test_two_handlers_of_one_id_stop_the_start_which_names_both_places(kind: str) -> None:
    def one(_: JobContext) -> None: ...
    def other(_: JobContext) -> None: ...

    def factory() -> tuple[Any, int]:
        def run(_: JobContext) -> None: ...

        return run, run.__code__.co_firstlineno

    def class_factory() -> tuple[Any, int]:
        class Run(JobHandler):
            def handle(self, job: JobContext) -> None: ...

        return Run, Run.handle.__code__.co_firstlineno

    def first_lambda() -> Any:
        return lambda _: None

    targets = {
        "factory": [factory()[0], factory()[0]],
        "places": [one, other],
        "classes": [class_factory()[0], class_factory()[0]],
        "lambdas": [lambda _: 1, first_lambda()],
    }[kind]
    made = [handler("Registry.Twice")(target) for target in targets]
    with pytest.raises(DuplicateDefinitionError) as caught:
        async with cluster().running():
            pass
    message = str(caught.value)
    assert message.count(f"{Path(__file__).name}:") == 2
    assert "give one of them another id" in message
    assert "Cluster.add_handlers(" in message
    async with cluster().add_handlers(made[0]).running():
        pass


@pytest.mark.parametrize("source", [ONE, CLASS, HEIR])
def test_a_module_that_is_reloaded_replaces_its_handlers(module: Callable[[str], Any], source: str) -> None:
    module(source)
    before = served()["Registry.A"]
    loaded = module("\n# something new\n\n" + source.replace("return 1", "return 2"))
    after = served()["Registry.A"]
    assert after is not before
    assert after is handlers.handler_of(vars(loaded)["one" if source is ONE else "One"])


def test_a_cell_that_runs_again_replaces_its_handlers() -> None:
    names: dict[str, Any] = {"__name__": "__main__", "handler": handler}
    for result in (1, 2):
        exec(compile(ONE.replace("1", str(result)), f"<cell {result}>", "exec"), names)  # noqa: S102 - as notebooks do
    assert served()["Registry.A"](make_context(JobDefinition("A"))) == 2


def test_two_functions_of_one_name_in_one_file_are_a_conflict(module: Callable[[str], Any]) -> None:
    module(ONE + "\n" + ONE)
    with pytest.raises(DuplicateDefinitionError, match=r"one \(.*:2\) and .*one \(.*:5\)"):
        served()


@pytest.mark.anyio
async def test_only_the_handlers_that_are_given_count() -> None:
    @handler("Registry.A")
    def one(_: JobContext) -> None: ...

    @handler("Registry.A")
    def other(_: JobContext) -> None: ...

    async with cluster().add_handlers(one).running():
        pass
    async with cluster().add_handlers().running() as runtime:
        receipt = await runtime.scheduler.once_now(one)
        assert not (await runtime.jobs.get(receipt.job_id)).status.is_terminal
    with pytest.raises(DuplicateDefinitionError):
        async with cluster().add_handlers(one, other).running():
            pass


def test_a_class_that_derives_from_a_handler_is_none_by_itself() -> None:
    @handler("Registry.A")
    class One(JobHandler):
        def handle(self, job: JobContext) -> None: ...

    class Other(One): ...

    assert handlers.handler_of(One).target is One
    with pytest.raises(UnknownHandlerError, match="Other is not a handler"):
        handlers.handler_of(Other)


@pytest.mark.anyio
async def test_an_annotation_is_checked_at_the_start_of_who_serves_the_handler() -> None:
    @handler("Registry.A")
    def one(_: JobContext, size: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(
        ConfigurationError, match="the annotation of 'size' cannot be resolved: name 'Missing'"
    ):
        async with cluster().add_worker().running():
            pass
    with pytest.raises(ConfigurationError, match="Missing"):
        async with cluster().add_handlers(one).running(workers=False):
            pass


@pytest.mark.anyio
async def test_a_process_without_workers_is_not_held_up_by_handlers_that_happen_to_be_there() -> None:
    @handler("Registry.A", cron="0 0 * * *")
    def one(_: JobContext, size: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    @handler("Registry.A")
    def other(_: JobContext) -> None: ...

    async with cluster().running(workers=False) as runtime:
        await runtime.scheduler.once_now(other)
        with pytest.raises(ConfigurationError, match="Missing"):
            await runtime.scheduler.once_now(one, size=3)
