"""Run in a folder that others can write to, `jobmaster` executes nothing that lies there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from jobmaster._path import is_ours

pytestmark = pytest.mark.slow

SCRIPT = Path(sys.executable).parent / "jobmaster"
OPTIONAL = {"psycopg_c", "psycopg_binary", "uvloop", "winloop", "sitecustomize", "usercustomize", "not_there"}
"""What is looked for whether or not it is installed."""

BY_PYTHON = {
    "importlib",
    "runpy",
    "pkgutil",
    "warnings",
    "types",
    "typing",
    "collections",
    "functools",
    "operator",
} | {
    *("keyword", "reprlib", "weakref", "copyreg", "re", "enum", "contextlib", "inspect", "threading"),
}
"""What Python itself may import to run a module, before any code of that."""

APP = """
from contextlib import suppress
from jobmaster import Cluster
with suppress(ImportError):
    import not_there
import wave, trio
cluster = Cluster("Folder-1", "memory://")
"""


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A folder with a module for every name that can be imported; each ends the process."""
    folder = tmp_path / "trap"
    folder.mkdir()
    names = (
        OPTIONAL
        | set(sys.stdlib_module_names)
        | {top for top in packages_distributions() if top.isidentifier()}
    )
    for name in names:
        (folder / f"{name}.py").write_text(f"import os; os.write(2, b'trapped: {name}'); os._exit(99)")
    info = folder / "trap-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trap\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[jobmaster]\ntrap = not_there\n")
    return folder


def run(
    folder: Path, *arguments: str, path: Path | None = None, program: Sequence[str] = (str(SCRIPT),)
) -> tuple[int, str]:
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JOBMASTER_"))
    }
    environ |= {"PYTHONPATH": str(path)} if path else {}
    done = subprocess.run([*program, *arguments], cwd=folder, env=environ, capture_output=True, check=False)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    "where", [["--cluster", "Folder-1", "--master", "memory://"], ["-A", "installed_app:cluster"]]
)
def test_nothing_is_imported_from_a_folder_where_no_application_is(
    trap: Path, tmp_path: Path, where: list[str]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "installed_app.py").write_text(APP)

    for command in (["status"], ["worker", "--backend", "trio", "--agent", "none"]):
        code, said = run(trap, *command, *where, path=tmp_path / "elsewhere")

        assert code in {3, 5}, said
        assert "trapped" not in said


@pytest.mark.parametrize("options", [["-P", "-m"], ["-m"]])
def test_neither_is_it_for_a_module_that_python_runs(trap: Path, options: list[str]) -> None:
    for name in BY_PYTHON if "-P" not in options else ():
        (trap / f"{name}.py").unlink()
    program = (sys.executable, *options, "jobmaster.cli")
    where = ("--cluster", "Folder-1", "--master", "memory://")

    code, said = run(trap, "worker", *where, "--backend", "trio", "--agent", "none", program=program)

    assert (code, "trapped" in said) == (3, False), said


def test_programs_of_others_keep_their_path() -> None:
    assert is_ours(["-m"], ["python", "-m", "jobmaster.cli", "status"], is_safe=False)
    assert is_ours(["-m", "status"], ["python", "-X", "dev", "-m", "jobmaster.cli", "status"], is_safe=False)

    assert not is_ours(["-m"], ["python", "-P", "-m", "jobmaster.cli"], is_safe=True)
    assert not is_ours(["-m"], ["python", "-m", "shop"], is_safe=False)
    assert not is_ours(["-m"], ["python", "-m", "shop", "jobmaster.cli"], is_safe=False)
    assert not is_ours(["/x/pytest"], ["python", "-m", "pytest"], is_safe=False)
    assert not is_ours(
        ["app.py", "-m", "jobmaster.cli"], ["python", "app.py", "-m", "jobmaster.cli"], is_safe=False
    )
    assert not is_ours([""], ["python"], is_safe=False)


def test_an_application_there_gets_what_is_installed(trap: Path) -> None:
    (trap / "not_there.py").unlink()
    (trap / "its_app.py").write_text(APP)

    code, said = run(trap, "worker", "-A", "its_app:cluster", "--backend", "trio", "--agent", "none")

    assert code == 3, said
    assert "trapped" not in said


@pytest.mark.parametrize(
    "command", [["status"], ["schedules", "preview", "--kind", "cron", "-e", "*/5 * * * *"]]
)
def test_what_a_command_imports_when_needed_is_what_is_installed(trap: Path, command: list[str]) -> None:
    (trap / "not_there.py").unlink()
    (trap / "its_app.py").write_text(APP)

    code, said = run(trap, *command, "-A", "its_app:cluster")

    assert code in {0, 5}, said
    assert "trapped" not in said
