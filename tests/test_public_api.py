"""The public names of `jobmaster`: documented, typed, and working as the product's description shows them."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import pytest

import jobmaster
from jobmaster import errors, inspection

ROOT = Path(__file__).parent.parent

EXAMPLE = '''
"""The product's description in code, as an application would write it."""

from datetime import datetime, timedelta, timezone

import anyio

from jobmaster import Cluster, JobContext, JobStatus, MessageData, Priority, WorkerMode, handler


@handler("HelloJob", timeout=10, max_retries=3, priority=Priority.LOW,
         lane="Greetings", metadata={"category": "demo"})
async def hello(job: JobContext) -> None:
    print(f"Hello {job.data.get_str('name')}")


@handler("Resize")                       # typed arguments: checked when the job is scheduled
def resize(job: JobContext, url: str, width: int = 640) -> int:   # a plain function runs in a thread
    print(f"{url} at {width}")
    return width


cluster = Cluster.standalone("Local-1", "memory://jobs").add_worker().configure(
    default_job_timeout=timedelta(minutes=1), transient_threshold=timedelta(minutes=2),
    default_max_retries=3, time_zone="America/Sao_Paulo", max_message_bytes=128 * 1024,
    retention=timedelta(days=30))

cluster.add_worker(name="Greeter-01", lane="Greetings", mode=WorkerMode.FULL,
                   batch_size=1000, parallelism=2.0, buckets={Priority.CRITICAL: 3})


async def main() -> None:
    names = ["Bob", "Cid"]
    async with cluster.running() as runtime:          # under asyncio or trio
        s = runtime.scheduler
        first = await s.once_now(hello, {"name": "John Doe"})
        second = await s.once_now(resize, url="https://example.org", width=80)
        later = await s.once_at(hello, datetime.now(timezone.utc) + timedelta(minutes=5), {"name": "Ann"})
        last = await s.once_after(hello, timedelta(minutes=5), {"name": "Ann"}, priority=Priority.HIGH)
        many = await s.once_many([hello.request({"name": n}) for n in names])        # one round trip
        await s.once_now(hello, MessageData.of(name="Dee"))
        for receipt in (first, second, *many):
            job = await runtime.jobs.wait(receipt.job_id, 10)
            assert job.status == "succeeded" and receipt.accepted_by
        every = await s.recurring(hello, timedelta(minutes=5), {"name": "Fay"})
        await s.recurring(hello, "every day between mon and fri at 18:00", {"name": "Ann"})  # NaturalCron
        await s.recurring(hello, "*/5 * * * *", kind="cron", time_zone="Europe/Paris")
        await s.pause_recurring(every.schedule_id)
        await s.resume_recurring(every.schedule_id)
        fay = await runtime.jobs.wait((await s.run_now(every.schedule_id)).job_id, 10)
        assert fay.schedule_id == every.schedule_id
        cancelled = await s.cancel_recurring(every.schedule_id)
        assert cancelled.status == "cancelled" and cancelled.next_at is None
        job_id = later.job_id
        await s.reschedule(job_id, datetime.now(timezone.utc) + timedelta(minutes=1))
        await s.cancel(job_id)
        await s.reschedule(last.job_id, timedelta(0))
        await runtime.jobs.wait(last.job_id, 10)
        await s.retry(first.job_id)
        job = await runtime.jobs.wait(first.job_id, 10)          # status, attempts, logs; .query(...), .count(...)
        assert [attempt.outcome for attempt in job.attempts] == ["succeeded", "succeeded"]
        assert job.attempts[0].worker == "Greeter-01" and job.attempts[0].host and job.attempts[0].error is None
        assert job.attempts[0].started_at and job.attempts[0].finished_at and job.timeout == 10
        assert job.data["name"] == "John Doe" and job.metadata["category"] == "demo"
        assert await runtime.jobs.count(metadata={"category": "demo"}, status=JobStatus.CANCELLED) == 1
        assert len(await runtime.jobs.query(handler=resize, lane="default")) == 1
        print("done")


if __name__ == "__main__":
    import sys
    anyio.run(main, backend=sys.argv[1])
'''


SAID = {
    "Hello John Doe": 2,
    "Hello Bob": 1,
    "Hello Cid": 1,
    "Hello Dee": 1,
    "Hello Ann": 1,
    "Hello Fay": 1,
    "https://example.org at 80": 1,
    "done": 1,
}
"""What the example prints, and how often."""


def public_names(package: ModuleType = jobmaster) -> list[str]:
    """Return the names that a package exports on purpose: `from … import X as X`, as type checkers see them."""
    tree = ast.parse(inspect.getsource(package))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [alias.asname for node in imports for alias in node.names if alias.asname == alias.name]


NAMES = public_names()
CLASSES = [name for name in NAMES if inspect.isclass(getattr(jobmaster, name))]


def test_only_names_that_are_exported_on_purpose_are_there() -> None:
    there = {
        name
        for name in dir(jobmaster)
        if not isinstance(getattr(jobmaster, name), ModuleType)
        and (not name.startswith("_") or name == "__version__")
    }
    assert there - _TOOLS == set(NAMES) == set(jobmaster.__all__)  # type: ignore[attr-defined]
    assert len(NAMES) == len(set(NAMES)) > 50


_TOOLS = {"import_module", "TYPE_CHECKING", "Any", "Final"}
"""What the package's own code is made with."""


def test_a_name_is_what_type_checkers_take_it_for() -> None:
    imports = [
        node for node in ast.walk(ast.parse(inspect.getsource(jobmaster))) if isinstance(node, ast.ImportFrom)
    ]
    defined = {alias.name: str(node.module) for node in imports for alias in node.names if alias.asname}

    assert {name: getattr(import_module(module), name) for name, module in defined.items()} == {
        name: getattr(jobmaster, name) for name in NAMES
    }


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="'jobmaster' has no attribute 'Custer'"):
        _ = jobmaster.Custer  # type: ignore[attr-defined]


def test_the_package_says_that_it_is_typed() -> None:
    assert files("jobmaster").joinpath("py.typed").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_documented(name: str) -> None:
    value = getattr(jobmaster, name)
    if not (inspect.isclass(value) or inspect.isfunction(value)):
        assert name in {"__version__", "hookimpl"}, "a value has no docstring of its own"
        return
    assert _own_docstring(value), f"jobmaster.{name} has no docstring"


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_member_is_documented(name: str) -> None:
    kind = getattr(jobmaster, name)
    bare = [member for member, function in _members(kind) if not (inspect.getdoc(function) or "").strip()]
    assert not bare, f"jobmaster.{name} has undocumented members: {bare}"


@pytest.mark.parametrize("name", NAMES)
def test_every_public_function_is_typed(name: str) -> None:
    value = getattr(jobmaster, name)
    functions = list(_members(value)) if inspect.isclass(value) else [(name, value)]
    for member, function in functions:
        if inspect.isfunction(function):
            _check_typed(f"{name}.{member}", function)


def _check_typed(where: str, function: Callable[..., Any]) -> None:
    parameters = list(inspect.signature(function).parameters.values())
    named = [p for p in parameters if p.name not in {"self", "cls"}]
    untyped = [p.name for p in named if p.annotation is inspect.Parameter.empty]
    assert not untyped, f"jobmaster.{where}: {untyped} have no type"
    assert "return" in function.__annotations__, f"jobmaster.{where} has no return type"
    if where != "SyncScheduler.__exit__":
        get_type_hints(function, vars(sys.modules[function.__module__]) | _CIRCULAR)


INSPECTED = public_names(inspection)


def test_inspection_exports_only_what_it_means_to() -> None:
    there = {name for name, value in vars(inspection).items() if not isinstance(value, ModuleType)}

    assert {name for name in there if not name.startswith("_")} == set(INSPECTED)


@pytest.mark.parametrize("name", INSPECTED)
def test_every_name_of_inspection_is_documented_and_typed(name: str) -> None:
    value = getattr(inspection, name)
    functions = list(_members(value)) if inspect.isclass(value) else [(name, value)]

    assert _own_docstring(value), f"jobmaster.inspection.{name} has no docstring"
    assert [member for member, function in functions if not (inspect.getdoc(function) or "").strip()] == []
    for member, function in functions:
        _check_typed(f"inspection.{name}.{member}", function)


_CIRCULAR = {"SyncScheduler": jobmaster.SyncScheduler, "TypedDict": dict}
"""Names that modules import for type checkers only, as they would import one another in a circle."""


def _members(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the public methods and properties that a class of ours defines."""
    if issubclass(kind, Enum | BaseException):
        return
    for name, raw in vars(kind).items():
        function = raw.__func__ if isinstance(raw, staticmethod | classmethod) else raw
        function = function.fget if isinstance(function, property) else function
        if not name.startswith("_") and inspect.isfunction(function):
            yield name, function


def _own_docstring(value: Any) -> str:
    """Return a docstring that is not inherited (attrs and enum give none of their own)."""
    return (vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__) or ""


@pytest.mark.parametrize("name", [name for name in CLASSES if name.endswith("Error")])
def test_every_error_is_in_the_tree_of_the_errors_docstring(name: str) -> None:
    from jobmaster import errors

    assert issubclass(getattr(jobmaster, name), jobmaster.JobMasterError)
    assert f"─ {name} " in (errors.__doc__ or "") or name == "JobMasterError"


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("example") / "application.py"
    path.write_text(EXAMPLE)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_example_works_as_it_is_written(example: Path, backend: str) -> None:
    command = [sys.executable, "-W", "error", str(example), backend]

    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)

    assert done.returncode == 0, done.stderr
    # A thread prints too, so that line ends may be anywhere: count what was said.
    said = {text: done.stdout.count(text) for text in SAID}
    assert said == SAID


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_the_example_passes_a_strict_type_checker(example: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path), str(example)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=140, check=False, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_error_that_users_can_catch_is_a_public_name() -> None:
    raised = {
        name
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and issubclass(cls, Exception) and cls.__module__ == errors.__name__
    }

    assert raised - set(NAMES) == set()


def test_packages_that_are_named_to_install_exist() -> None:
    members = {path.parent.name for path in ROOT.glob("*/pyproject.toml")}
    installed = re.findall(
        r"pip install ([^\n`\"#]+)",
        "\n".join(
            page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        ),
    )
    ours = {
        name for names in installed for name in names.split() if name.startswith(("jobmaster", "naturalcron"))
    }

    assert set(errors.PACKAGES.values()) - members == set()
    assert ours - members == set()


def test_a_scheme_is_served_by_the_package_that_is_named_for_it() -> None:
    served = {
        scheme: f"jobmaster-{point.dist.name.removeprefix('jobmaster-')}"
        for point in entry_points(group="jobmaster")
        if point.dist is not None
        for scheme in getattr(point.load(), "jobmaster_schemes", dict)()
    }

    assert {scheme: served.get(scheme) for scheme in errors.PACKAGES} == dict(errors.PACKAGES)
