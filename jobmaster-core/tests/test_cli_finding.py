"""How commands find their cluster, and what is said of an application that cannot be had."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from uuid import uuid4

import anyio
import pytest
import typer
from typer.testing import CliRunner, Result

from jobmaster import Cluster
from jobmaster._process import importing
from jobmaster.cli import ExitCode, build_app

WAYS = ("JOBMASTER_APP", "JOBMASTER_CONFIG", "JOBMASTER_CLUSTER", "JOBMASTER_MASTER")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that commands run in, without any of the ways in the environment. Its modules are forgotten."""
    for name in WAYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(importing, "_folders", [])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def module(folder: Path, *lines: str) -> str:
    """Write a module of a name of its own; return the name."""
    name = f"app_{uuid4().hex}"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(dedent("\n".join(lines)), encoding="utf-8")
    return name


def app(folder: Path, cluster_id: str) -> str:
    url = f"memory://{uuid4().hex}"
    register(cluster_id, url)
    name = module(folder, "from jobmaster import Cluster", f"cluster = Cluster({cluster_id!r}, {url!r})")
    return f"{name}:cluster"


def register(cluster_id: str, url: str) -> None:
    async def start() -> None:
        async with Cluster.standalone(cluster_id, url).running():
            pass

    anyio.run(start)


def pyproject(folder: Path, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), arguments)


def found(*arguments: str) -> str:
    """Return the id of the cluster that a command is about."""
    result = run("status", *arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout.split()[1].removesuffix(":")


# The ways, and which comes first


def test_options_come_before_the_environment_and_that_before_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyproject(project, f"[tool.jobmaster]\napp = '{app(project, 'Project')}'")
    assert found() == "Project"

    register("Ids", url := f"memory://{uuid4().hex}")
    (project / "cluster.toml").write_text(f"cluster = 'Ids'\nmaster = '{url}'")
    monkeypatch.setenv("JOBMASTER_CONFIG", "cluster.toml")
    assert found() == "Ids"

    monkeypatch.setenv("JOBMASTER_APP", app(project, "Environment"))
    assert found() == "Environment"
    assert found("--app", app(project, "Option")) == "Option"
    assert found("--config", "cluster.toml") == "Ids"
    assert found("--cluster", "Ids", "--master", url) == "Ids"


def test_ids_in_the_environment_come_before_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyproject(project, f"[tool.jobmaster]\napp = '{app(project, 'Project')}'")
    register("Ids", url := f"memory://{uuid4().hex}")
    monkeypatch.setenv("JOBMASTER_MASTER", url)
    assert found() == "Project"  # half a name is none

    monkeypatch.setenv("JOBMASTER_CLUSTER", "Ids")
    assert found() == "Ids"


def test_every_command_takes_the_same_options() -> None:
    def walk(command: object, path: str = "") -> Iterator[tuple[str, set[str]]]:
        for name, one in getattr(command, "commands", {}).items():
            yield from walk(one, f"{path} {name}".strip())
        if not getattr(command, "commands", None):
            yield path, {option for one in command.params for option in one.opts}  # type: ignore[attr-defined]

    commands = dict(walk(typer.main.get_command(build_app())))
    del commands["demo"]

    lacking = {
        path: {"--app", "-A", "--config", "--cluster", "--master"} - options
        for path, options in commands.items()
    }

    assert {path: options for path, options in lacking.items() if options} == {}


@pytest.mark.parametrize("way", [("-A",), ("--app",), ()])
def test_a_worker_is_told_its_cluster_in_every_way(
    project: Path, way: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = module(project, "raise RuntimeError('this one')")

    assert "this one" in run("worker", *way, f"{name}:cluster").stderr
    monkeypatch.setenv("JOBMASTER_APP", f"{name}:cluster")
    assert "this one" in run("worker").stderr


@pytest.mark.usefixtures("project")
def test_a_worker_that_is_told_two_clusters_is_refused() -> None:
    result = run("worker", "a:b", "-A", "c:d")

    assert result.exit_code == ExitCode.USAGE
    assert "the argument says 'a:b', the option 'c:d'; name one cluster" in result.stderr


def test_an_option_before_the_command_is_told_where_it_stands() -> None:
    result = run("-A", "shop:cluster", "status")

    assert result.stderr == "error: -A stands after the command, as in `jobmaster status -A ...`\n"


def test_an_option_behind_the_command_too() -> None:
    result = run("jobs", "list", "--debug")

    assert result.stderr == "error: --debug stands before the command, as in `jobmaster --debug status`\n"


def test_a_preview_goes_by_the_project(project: Path) -> None:
    name = module(
        project,
        "from jobmaster import Cluster",
        "cluster = Cluster('A', 'memory://').configure(time_zone='Asia/Tokyo')",
    )
    pyproject(project, f"[tool.jobmaster]\napp = '{name}:cluster'")

    assert "Asia/Tokyo" in run("schedules", "preview", "-e", "every day at 12:00").stdout


# Where modules are imported from

INSTALLED = "colorsys"
"""A module that nothing here imports."""


def not_installed(folder: Path, text: str = "raise RuntimeError('trapped')") -> str:
    """Write a module that only a folder has; return its name."""
    return module(folder, text)


def loads(project: Path, *lines: str, folder: Path | None = None) -> Result:
    """Run a command for an application of these lines."""
    url = f"memory://{uuid4().hex}"
    register("Loaded", url)
    name = module(
        folder or project, *lines, "from jobmaster import Cluster", f"cluster = Cluster('Loaded', {url!r})"
    )
    return run("status", "-A", f"{name}:cluster")


def test_what_is_installed_comes_before_an_applications_folder(project: Path) -> None:
    (project / f"{INSTALLED}.py").write_text("raise RuntimeError('trapped')")
    beside = not_installed(project, "here = 1")

    result = loads(project, f"import {INSTALLED}, {beside}")

    assert result.exit_code == ExitCode.OK, result.stderr
    assert sys.path[-1] == str(project)


def test_nothing_is_imported_from_where_no_application_is(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("installed")
    sys.path.insert(0, str(elsewhere))
    trap = not_installed(project)

    for arguments in (["--cluster", "Ids", "--master", f"memory://{uuid4().hex}"], ["-A", "json:cluster"]):
        assert run("status", *arguments).exit_code in {ExitCode.NOT_FOUND, ExitCode.CONFIGURATION}
    lines = f"try: import {trap}\nexcept ImportError: pass"
    assert loads(project, lines, folder=elsewhere).exit_code == ExitCode.OK
    assert str(project) not in sys.path


def test_a_file_has_modules_beside_it_imported_if_it_names_any(project: Path) -> None:
    register("Ids", url := f"memory://{uuid4().hex}")
    (project / "deep").mkdir()
    file, name = project / "deep" / "cluster.toml", not_installed(project / "deep", "here = 1")
    file.write_text(f"cluster = 'Ids'\nmaster = '{url}'")
    assert found("--config", str(file)) == "Ids"
    assert not {str(project), str(file.parent)} & set(sys.path)

    file.write_text(f"imports = ['{name}']\ncluster = 'Ids'\nmaster = '{url}'")
    assert found("--config", str(file)) == "Ids"
    assert sys.path[-2:] == [str(project), str(file.parent)]


def test_a_module_that_is_passed_over_is_told_of(project: Path) -> None:
    (project / f"{INSTALLED}.py").write_text("cluster = 1")

    said = run("status", "-A", f"{INSTALLED}:cluster").stderr

    assert f"{INSTALLED}.py, not {project}/{INSTALLED}.py; set PYTHONPATH=. to import that one" in said


def test_a_plugin_that_lies_in_an_applications_folder_is_none(project: Path) -> None:
    trap = not_installed(project)
    info = project / "trap-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trap\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[jobmaster]\ntrap = {trap}\n")

    result = loads(project, "")

    assert result.exit_code == ExitCode.OK, result.stderr
    assert str(project) in sys.path


def test_an_event_loop_is_not_looked_for_in_an_applications_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trio", None)  # as where it is not installed

    said = run("worker", "-A", app(project, "Root"), "--backend", "trio").stderr

    assert "backend trio: it is not installed" in said
    assert str(project) not in sys.path


@pytest.mark.parametrize("by_link", [False, True])
def test_the_project_of_another_user_says_nothing(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, by_link: bool
) -> None:
    folder = tmp_path_factory.mktemp("ours") if by_link else project
    pyproject(folder, f"[tool.jobmaster]\napp = '{app(project, 'Root')}'")
    if by_link:
        (project / "pyproject.toml").symlink_to(folder / "pyproject.toml")
    if os.geteuid() == 0:
        os.chown(project / "pyproject.toml", 12345, -1, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)

    result = run("status")

    assert result.exit_code == ExitCode.CONFIGURATION
    assert "pyproject.toml: it belongs to another user" in result.stderr
    assert str(project) not in sys.path


# The project's file


def test_the_nearest_file_with_the_table_counts_and_its_folder_is_imported_from(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pyproject(project, f"[tool.jobmaster]\napp = '{app(project, 'Root')}'")
    pyproject(project / "part", "[project]\nname = 'part'")
    (project / "part" / "deep").mkdir()
    monkeypatch.chdir(project / "part" / "deep")
    assert found() == "Root"

    pyproject(project / "part", f"[tool.jobmaster]\napp = '{app(project / 'part', 'Part')}'")
    assert found() == "Part"


def test_a_project_can_name_a_file_beside_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register("Ids", url := f"memory://{uuid4().hex}")
    (project / "cluster.toml").write_text(f"cluster = 'Ids'\nmaster = '{url}'")
    pyproject(project, "[tool.jobmaster]\nconfig = 'cluster.toml'")
    (project / "deep").mkdir()
    monkeypatch.chdir(project / "deep")

    assert found() == "Ids"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[tool.jobmaster]\nap = 'a:b'", "tool.jobmaster: there is no key 'ap'; did you mean 'app'?"),
        ("[tool.jobmaster]", 'tool.jobmaster: give one of app = "module:attribute" and config = "FILE"'),
        ("[tool.jobmaster]\napp = 'a:b'\nconfig = 'c.toml'", "give one of app"),
        ("[tool.jobmaster]\napp = 5", "tool.jobmaster: app: 5 is not a string"),
        ("[tool]\njobmaster = 5", "it is not a table; write [tool.jobmaster]"),
        ("[tool", "it cannot be read: "),
    ],
)
def test_a_file_that_says_something_else_is_refused(project: Path, text: str, says: str) -> None:
    pyproject(project, text)

    result = run("status")

    assert result.exit_code == ExitCode.CONFIGURATION
    assert result.stderr.startswith(f"error: {project}/pyproject.toml: ")
    assert says in result.stderr


# What named it


def test_errors_say_what_named_the_cluster_unless_it_was_typed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = module(project, "from jobmaster import Cluster", "cluster = Cluster('A', 'memory://none')")
    pyproject(project, f"[tool.jobmaster]\napp = '{name}:cluster'")
    by_project = run("status").stderr
    monkeypatch.setenv("JOBMASTER_APP", f"{name}:cluster")
    by_environment = run("status").stderr
    monkeypatch.delenv("JOBMASTER_APP")
    monkeypatch.setenv("JOBMASTER_CLUSTER", "B")
    by_ids = run("status", "--master", "memory://none").stderr

    assert f"(the cluster: app '{name}:cluster', named by {project}/pyproject.toml)" in by_project
    assert f"(the cluster: app '{name}:cluster', named by JOBMASTER_APP)" in by_environment
    assert "(the cluster: JOBMASTER_CLUSTER)" in by_ids
    assert "(the cluster" not in run("status", "-A", f"{name}:cluster").stderr
    assert "(the cluster" not in run("schedules", "preview", "-e", "blue moon").stderr


def test_what_an_application_prints_is_no_part_of_the_output(project: Path) -> None:
    register("A", url := f"memory://{uuid4().hex}")
    name = module(
        project, "from jobmaster import Cluster", "print('hello')", f"cluster = Cluster('A', {url!r})"
    )

    result = run("cluster", "show", "--json", "-A", f"{name}:cluster")

    assert (json.loads(result.stdout)["id"], result.stderr) == ("A", "hello\n")


# Applications that cannot be had


def problem(project: Path, *lines: str, attribute: str = "cluster") -> str:
    name = module(project, *lines)
    result = run("status", "-A", f"{name}:{attribute}")
    assert result.exit_code == ExitCode.CONFIGURATION, result.stderr
    return result.stderr.replace(f"{project}/", "").replace(name, "shop").rstrip()


def test_what_an_application_raises_points_at_its_own_line(project: Path) -> None:
    other = module(project, "import json", "", "json.loads('nonsense')")

    found = problem(project, "import os", f"import {other}").replace(other, "parts")

    assert found.startswith("error: app 'shop:cluster': importing 'shop' failed: JSONDecodeError: ")
    assert found.endswith("(parts.py, line 3; imported by shop.py, line 2)")


def test_what_we_raise_points_at_the_applications_line(project: Path) -> None:
    found = problem(
        project, "from jobmaster import Cluster", "cluster = Cluster('A', 'memory://').add_worker(lane='a b')"
    )

    assert found.endswith("(shop.py, line 2)")
    assert found.count(".py") == 1


def test_a_wrong_handler_is_told_once(project: Path) -> None:
    found = problem(
        project, "from jobmaster import handler", "@handler('A', cron='61 * * * *')", "def a(job): ..."
    )

    first, *picture = found.splitlines()
    assert first.startswith(
        "error: app 'shop:cluster': importing 'shop' failed: handler 'A': cron expression '61 * * * *'"
    )
    assert first.endswith("(a, shop.py:2)")
    assert picture[0] == "    61 * * * *"


def test_a_module_that_is_missing_is_told_from_one_that_misses_another(project: Path) -> None:
    missing = run("status", "-A", "nowhere_at_all:cluster").stderr

    assert "there is no module 'nowhere_at_all' in" in missing
    assert problem(project, "", "import nowhere_at_all") == (
        "error: app 'shop:cluster': importing 'shop' failed: ModuleNotFoundError: No module named 'nowhere_at_all'; "
        f"install it for the Python that runs this ({sys.executable}) (shop.py, line 2)"
    )


def test_a_syntax_error_is_shown_with_its_line(project: Path) -> None:
    found = problem(project, "import os", "    cluster = (")

    assert found.splitlines() == [
        "error: app 'shop:cluster': importing 'shop' failed: IndentationError: unexpected indent (shop.py, line 2)",
        "    cluster = (",
        *found.splitlines()[2:],
    ]


def test_a_module_that_ends_the_process_is_told(project: Path) -> None:
    found = problem(project, "import sys", "sys.exit('set DATABASE_URL')")

    assert "ended the process: SystemExit: set DATABASE_URL (shop.py, line 2)" in found
    assert 'below `if __name__ == "__main__":`' in found


def test_a_function_that_fails_points_at_its_line(project: Path) -> None:
    found = problem(project, "def make():", "    return {}['cluster']", attribute="make")

    assert found == "error: app 'shop:make': calling it failed: KeyError: 'cluster' (shop.py, line 2)"


@pytest.mark.parametrize(
    ("app", "meant"), [("shop.py:cluster", "shop:cluster"), ("./src/shop.py", "src.shop:cluster")]
)
@pytest.mark.usefixtures("project")
def test_a_file_is_no_module(app: str, meant: str) -> None:
    assert run("status", "-A", app).stderr == f"error: app {app!r}: name the module, not its file: {meant}\n"


def test_the_clusters_of_a_module_are_named_where_something_else_was(project: Path) -> None:
    found = problem(
        project, "from jobmaster import Cluster", "shop = Cluster('A', 'memory://')", "cluster = 5"
    )

    assert found.endswith("name a Cluster, or a function that returns one; its clusters are: shop")


def test_the_file_of_a_module_is_named_which_is_another_than_was_meant(project: Path) -> None:
    (project / "queue.py").write_text("cluster = 1")

    assert "module 'queue' (" in run("status", "-A", "queue:cluster").stderr
