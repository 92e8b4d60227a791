"""The command line as such: errors and exit codes, finding the cluster, plug-ins."""

from __future__ import annotations

import logging
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

import anyio
import pytest
import typer
from typer.testing import CliRunner, Result

from jobmaster import Cluster, ConfigurationError, hookimpl
from jobmaster.cli import ExitCode, build_app
from jobmaster.cli.commands import OURS, Commands
from jobmaster.cli.logs import JsonFormatter, TextFormatter
from jobmaster.cli.serving import SIGNALS
from jobmaster.cli.worker import apply_options
from jobmaster.states import WorkerMode

SOURCES = ("JOBMASTER_APP", "JOBMASTER_CONFIG", "JOBMASTER_CLUSTER", "JOBMASTER_MASTER")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SOURCES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory of a user, whose modules are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    """Undo what `worker` does for the rest of its process, which here goes on with other tests."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def store() -> str:
    """URL of a memory store in which cluster Known-1 is registered."""
    url = f"memory://{uuid4().hex}"
    register("Known-1", url)
    return url


def register(cluster_id: str, url: str) -> None:
    async def start() -> None:
        async with Cluster.standalone(cluster_id, url).running():
            pass

    anyio.run(start)


def run(*arguments: str, plugins: tuple[Any, ...] = ()) -> Result:
    return CliRunner().invoke(build_app(plugins), arguments)


def usage_problem(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == ExitCode.USAGE
    [line] = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def write_app(project: Path, body: str) -> str:
    """Write a module with a name of its own; return the name."""
    name = f"app_{uuid4().hex}"
    head = "from jobmaster import Cluster, ConfigurationError\n"
    (project / f"{name}.py").write_text(head + dedent(body))
    return name


class TestErrors:
    def test_an_error_is_one_line_and_a_code(self) -> None:
        result = run("status", "--cluster", "A", "--master", "nonsense://x")

        assert result.exit_code == ExitCode.CONFIGURATION
        assert result.stdout == ""
        assert result.stderr.startswith("error: master: no installed provider serves nonsense:// URLs")
        assert result.stderr.count("\n") == 1

    def test_debug_shows_the_traceback(self) -> None:
        result = run("--debug", "status", "--cluster", "A", "--master", "nonsense://x")

        assert result.exit_code == ExitCode.CONFIGURATION
        assert "Traceback (most recent call last)" in result.stderr

    def test_an_unknown_cluster_is_not_found(self, store: str) -> None:
        result = run("status", "--cluster", "Unknown-1", "--master", store)

        assert result.exit_code == ExitCode.NOT_FOUND
        assert "no cluster 'Unknown-1'" in result.stderr

    def test_an_unexpected_error_is_said_to_be_one(self) -> None:
        class Broken:
            @hookimpl
            def jobmaster_commands(self, app: typer.Typer) -> None:
                @app.command("break")
                def breaks() -> None:
                    raise RuntimeError("oh no")

        result = run("break", plugins=(Broken(),))

        assert result.exit_code == ExitCode.FAILED
        assert result.stderr == "error: unexpected RuntimeError: oh no (repeat with --debug to see where)\n"

    def test_ctrl_c_has_its_code(self, project: Path) -> None:
        name = write_app(project, "def cluster(): raise KeyboardInterrupt")

        assert run("status", "-A", f"{name}:cluster").exit_code == ExitCode.INTERRUPTED

    def test_a_wrong_command_is_wrong_usage(self) -> None:
        assert usage_problem("statsu").startswith("no such command 'statsu'")

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (
                ["cluster", "mode", "nonsense"],
                "invalid value for 'mode': 'nonsense' is not one of 'active', 'passive', 'archived', 'migrating'",
            ),
            (["cluster", "mode"], "missing argument 'mode'"),
            (["status", "--nosuch"], "no such option: --nosuch; see `jobmaster status --help`"),
            (["--nosuch"], "no such option: --nosuch; see `jobmaster --help`"),
            (
                ["jobs", "list", "--status", "done"],
                "invalid value for '--status': 'done' is not one of 'save_pending',",
            ),
            (["jobs", "list", "--limit", "0"], "invalid value for '--limit': "),
            (["jobs", "lits"], "no such command 'lits'"),
        ],
    )
    def test_a_wrong_command_line_is_one_line(self, arguments: Sequence[str], problem: str) -> None:
        assert usage_problem(*arguments).startswith(problem)

    @pytest.mark.parametrize("group", [(), ("jobs",), ("cluster",)])
    def test_a_group_without_a_command_shows_its_help(self, group: Sequence[str]) -> None:
        shown = run(*group)

        assert "Usage: " in shown.stdout + shown.stderr
        assert "error:" not in shown.stderr

    def test_the_version_is_shown(self) -> None:
        result = run("--version")

        assert (result.exit_code, result.stdout) == (0, "jobmaster 0.1.0\n")

    def test_help_names_the_exit_codes(self) -> None:
        assert "Exit codes: 0 done" in run("--help").stdout

    def test_a_pipe_that_closes_early_is_no_error(self, tmp_path: Path) -> None:
        command = f"{sys.executable} -m jobmaster.cli --help | head -1"

        result = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30
        )

        assert "Traceback" not in result.stderr


class TestFindingTheCluster:
    def test_by_id_and_master(self, store: str) -> None:
        assert run("status", "--cluster", "Known-1", "--master", store).exit_code == 0

    def test_by_app(self, project: Path, store: str) -> None:
        name = write_app(project, f"cluster = Cluster('Known-1', '{store}')")

        assert run("status", "--app", f"{name}:cluster").exit_code == 0

    def test_by_a_function_of_an_app(self, project: Path, store: str) -> None:
        name = write_app(project, f"def make(): return Cluster('Known-1', '{store}')")

        assert run("status", "-A", f"{name}:make").exit_code == 0

    def test_by_a_dotted_attribute(self, project: Path, store: str) -> None:
        name = write_app(project, f"class app:\n    cluster = Cluster('Known-1', '{store}')")

        assert run("status", "-A", f"{name}:app.cluster").exit_code == 0

    def test_by_config(self, project: Path, store: str) -> None:
        (project / "jobs.toml").write_text(f"cluster = 'Known-1'\nmaster = '{store}'\n")

        assert run("status", "--config", "jobs.toml").exit_code == 0

    def test_options_override_the_config(self, project: Path, store: str) -> None:
        (project / "jobs.toml").write_text("cluster = 'Other-1'\nmaster = 'memory://other'\n")

        result = run("status", "--config", "jobs.toml", "--cluster", "Known-1", "--master", store)

        assert result.exit_code == 0

    def test_what_a_config_imports_may_lie_in_the_working_directory(self, project: Path, store: str) -> None:
        name = write_app(project, "")
        config = f"cluster = 'Known-1'\nmaster = '{store}'\nimports = ['{name}']\n"
        (project / "jobs.toml").write_text(config)

        result = run("status", "--config", "jobs.toml")

        assert result.exit_code == 0, result.stderr

    @pytest.mark.parametrize("way", ["app", "config", "ids"])
    def test_by_the_environment(
        self, project: Path, store: str, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (project / "jobs.toml").write_text(f"cluster = 'Known-1'\nmaster = '{store}'\n")
        name = write_app(project, f"cluster = Cluster('Known-1', '{store}')")
        variables = {
            "app": {"JOBMASTER_APP": f"{name}:cluster"},
            "config": {"JOBMASTER_CONFIG": "jobs.toml"},
            "ids": {"JOBMASTER_CLUSTER": "Known-1", "JOBMASTER_MASTER": store},
        }
        for variable, value in variables[way].items():
            monkeypatch.setenv(variable, value)

        assert run("status").exit_code == 0

    def test_the_command_line_comes_before_the_environment(
        self, store: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("JOBMASTER_APP", "nowhere:cluster")
        monkeypatch.setenv("JOBMASTER_CLUSTER", "Other-1")
        monkeypatch.setenv("JOBMASTER_CONFIG", "nowhere.toml")

        assert run("status", "--cluster", "Known-1", "--master", store).exit_code == 0

    def test_nothing_is_wrong_usage(self) -> None:
        found = usage_problem("status")

        assert "which cluster? Name it with --app MODULE:ATTRIBUTE (-A), JOBMASTER_APP, or app below" in found

    def test_half_is_wrong_usage(self) -> None:
        found = usage_problem("status", "--cluster", "A")

        assert "--master is missing (or JOBMASTER_MASTER)" in found

    def test_an_app_describes_itself(self) -> None:
        assert "leave out --config" in usage_problem("status", "-A", "x:y", "--cluster", "A")


class TestBadApps:
    def problem(self, app: str) -> str:
        result = run("status", "-A", app)
        assert result.exit_code == ExitCode.CONFIGURATION
        return result.stderr.removeprefix(f"error: app {app!r}").strip().removeprefix(": ")

    @pytest.mark.parametrize("app", ["shop", "shop:", ":cluster"])
    def test_the_form_is_explained(self, app: str) -> None:
        assert self.problem(app).startswith("write it as module:attribute, for example ")

    def test_a_missing_module_is_guessed(self, project: Path) -> None:
        (project / "shopping.py").touch()

        found = self.problem("shoping:cluster")

        assert (
            found
            == f"there is no module 'shoping' in {project} or on the Python path of {sys.prefix}; did you mean 'shopping'?"
        )

    def test_a_missing_submodule_is_guessed(self, project: Path) -> None:
        package = project / "shop_package"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "workers.py").touch()

        found = self.problem("shop_package.worker:cluster")

        assert found == "there is no module 'worker' in package 'shop_package'; did you mean 'workers'?"

    def test_a_missing_attribute_is_guessed(self, project: Path) -> None:
        name = write_app(project, "cluster = Cluster('A', 'memory://')")

        assert self.problem(f"{name}:clustre").endswith("has no attribute 'clustre'; did you mean 'cluster'?")

    def test_the_clusters_of_a_module_are_offered(self, project: Path) -> None:
        name = write_app(project, "one = Cluster('A', 'memory://')\ntwo = Cluster('B', 'memory://')")

        assert self.problem(f"{name}:payroll").endswith(
            "has no attribute 'payroll'; its clusters are: one, two"
        )

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ("x = 5", "is of type int; name a Cluster, or a function that returns one"),
            ("class x: ...", "is of type type; name a Cluster, or a function that returns one"),
            ("def x(): return 5", "returned int; let it return a Cluster"),
            ("async def x(): ...", "is an async function; make it a plain one that returns a Cluster"),
            (
                "def x(a): ...",
                "cannot be called without arguments (missing a required argument: 'a'); name one that can",
            ),
        ],
    )
    def test_another_kind_of_thing_is_refused(self, project: Path, body: str, expected: str) -> None:
        name = write_app(project, body)

        assert self.problem(f"{name}:x") == expected

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ("import nowhere_at_all", "failed: ModuleNotFoundError: No module named 'nowhere_at_all'"),
            ("raise ConfigurationError('too bad')", "failed: too bad"),
            ("1 / 0", "failed: ZeroDivisionError: division by zero"),
            ("def (", "failed: SyntaxError: "),
        ],
    )
    def test_a_module_that_cannot_be_imported_says_why(self, project: Path, body: str, expected: str) -> None:
        name = write_app(project, body)

        found = self.problem(f"{name}:cluster")

        assert found.startswith(f"importing {name!r} {expected}")
        assert f"{name}.py, line 2)" in found


class Greeter:
    def __init__(self, name: str) -> None:
        self.name = name

    @hookimpl
    def jobmaster_commands(self, app: typer.Typer) -> None:
        @app.command(self.name)
        def greet() -> None:
            typer.echo("hello from a plug-in")


class TestPlugins:
    def test_they_add_commands(self) -> None:
        result = run("greet", plugins=(Greeter("greet"),))

        assert (result.exit_code, result.stdout) == (0, "hello from a plug-in\n")

    @pytest.mark.parametrize("name", ["status", "jobs"])
    def test_a_command_is_not_replaced(self, name: str) -> None:
        with pytest.raises(ConfigurationError, match=f"adds the command '{name}', which exists already"):
            build_app([Greeter(name)])


class TestCommands:
    def test_ours_come_first_and_in_order(self) -> None:
        added = typer.main.get_command(build_app([Greeter("about")]))

        assert list(added.commands) == [*OURS, "about"]  # type: ignore[attr-defined]
        assert len(added.commands) == len(OURS) + 1  # type: ignore[attr-defined]

    def test_whatever_is_looked_for_plug_ins_are_asked(self) -> None:
        def broken() -> dict[str, Any]:
            raise ConfigurationError("a plug-in is broken")

        with pytest.raises(ConfigurationError, match="a plug-in is broken"):
            Commands(broken)["status"]

    def test_another_one_is_not_there(self) -> None:
        assert Commands(dict).get("statis") is None
        assert "statis" not in Commands(dict)

    def test_the_library_may_add_its_own(self) -> None:
        commands = Commands(dict)
        commands["extra"] = "made elsewhere"

        assert commands["extra"] == "made elsewhere"
        assert list(commands) == [*OURS, "extra"]
        del commands["extra"]
        assert list(commands) == list(OURS)


class TestWorkerOptions:
    def test_a_cluster_without_workers_gets_one(self) -> None:
        cluster = Cluster("A", "memory://")

        apply_options(cluster, {"lane": "Payroll"})

        assert [worker.lane for worker in cluster.workers] == ["Payroll"]

    def test_options_override(self) -> None:
        cluster = Cluster("A", "memory://").add_worker(name="a", parallelism=2.0).add_worker(name="b")

        apply_options(cluster, {"mode": WorkerMode.EXECUTION, "parallelism": 5.0})

        assert [worker.name for worker in cluster.workers] == ["a", "b"]
        assert {(worker.mode, worker.parallelism) for worker in cluster.workers} == {
            (WorkerMode.EXECUTION, 5.0)
        }

    def test_concurrency_takes_the_place_of_parallelism(self) -> None:
        cluster = Cluster("A", "memory://").add_worker(parallelism=2.0).add_worker(concurrency=7)

        apply_options(cluster, {"concurrency": 50})
        assert [worker.parallelism for worker in cluster.workers] == [10.0, 10.0]
        apply_options(cluster, {"parallelism": 3.0})
        assert [(worker.parallelism, worker.concurrency) for worker in cluster.workers] == [(3.0, None)] * 2
        with pytest.raises(ConfigurationError, match="parallelism, concurrency: both say how many"):
            apply_options(cluster, {"parallelism": 3.0, "concurrency": 50})

    def test_one_file_does_for_workers_on_each_agent(self) -> None:
        cluster = Cluster("A", "memory://").add_agent("North", "memory://n").add_agent("South", "memory://s")

        apply_options(cluster, {"agent": "South"})

        assert [worker.agent for worker in cluster.workers] == ["South"]

    @pytest.mark.usefixtures("signals_as_before")
    def test_an_agent_that_there_is_not(self, tmp_path: Path) -> None:
        result = run(
            "worker", "--agent", "South", "--cluster", "A", "--master", f"sqlite:///{tmp_path}/jobs.db"
        )

        assert result.exit_code == ExitCode.CONFIGURATION
        assert "there is no agent 'South'" in result.stderr

    def test_one_name_cannot_be_given_to_two(self) -> None:
        cluster = Cluster("A", "memory://").add_worker(name="a").add_worker(name="b")

        with pytest.raises(ConfigurationError, match="the cluster has 2 workers, and names are unique"):
            apply_options(cluster, {"name": "c"})

    def test_a_value_out_of_range_is_refused(self) -> None:
        with pytest.raises(ConfigurationError, match="parallelism: -1"):
            apply_options(Cluster("A", "memory://"), {"parallelism": -1.0})


class TestLogLines:
    @pytest.fixture
    def record(self) -> logging.LogRecord:
        record = logging.makeLogRecord(
            {
                "name": "jobmaster.job",
                "levelname": "INFO",
                "msg": "hello %s",
                "args": ("Ann",),
                "job_id": "j1",
            }
        )
        record.created = 0.5
        return record

    def test_text(self, record: logging.LogRecord) -> None:
        assert TextFormatter().format(record) == "1970-01-01T00:00:00.500Z INFO    jobmaster.job: hello Ann"

    def test_json(self, record: logging.LogRecord) -> None:
        assert JsonFormatter().format(record) == (
            '{"time": "1970-01-01T00:00:00.500Z", "level": "info", "logger": "jobmaster.job", '
            '"message": "hello Ann", "job_id": "j1"}'
        )

    def test_json_with_an_exception(self, record: logging.LogRecord) -> None:
        try:
            _ = 1 // 0
        except ZeroDivisionError:
            record.exc_info = sys.exc_info()

        assert "ZeroDivisionError" in JsonFormatter().format(record)


class TestReference:
    PAGE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"

    def commands(self) -> dict[str, Any]:
        """Return all commands by the heading they have on the page."""
        root: Any = typer.main.get_command(build_app())
        groups = {"": root, "jobs ": root.commands["jobs"]}
        found = {start + name: one for start, group in groups.items() for name, one in group.commands.items()}
        return {name: one for name, one in found.items() if name != "jobs"}

    def sections(self) -> dict[str, str]:
        parts = re.split(r"^## (.+)$", self.PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2], strict=True))

    def test_every_option_is_described(self) -> None:
        sections = self.sections()
        common = {"--app", "-A", "--config", "--cluster", "--master", "--json", "--help", "-h"}

        missing = {
            (name, option)
            for name, command in self.commands().items()
            for parameter in command.params
            for option in parameter.opts
            if option.startswith("-") and option not in common and f"{option}" not in sections[name]
        }

        assert missing == set()

    def test_every_exit_code_is_described(self) -> None:
        described = set(
            re.findall(
                r"\d+", ",".join(re.findall(r"^\| ([\d, ]+) \|", self.sections()["Exit codes"], re.MULTILINE))
            )
        )

        assert described == {str(int(code)) for code in ExitCode}
