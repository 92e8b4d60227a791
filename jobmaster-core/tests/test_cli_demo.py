"""`jobmaster demo`."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from jobmaster.cli import ExitCode, build_app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["demo", "--jobs", "50", *arguments])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("where", [[], ["--url", "memory://"]], ids=["sqlite", "memory"])
def test_every_job_ends_as_it_should(backend: str, where: list[str]) -> None:
    result = run("--backend", backend, *where)

    assert result.exit_code == ExitCode.OK, result.output
    assert "All 63 jobs ended as they should." in result.stdout
    assert re.search(r"retried to success +succeeded +succeeded +failed x2, succeeded +ok", result.stdout)
    assert "ConnectionError: the mail server hung up" in result.stdout
    assert re.search(r"burst of 50 +succeeded +50 succeeded +one each: 50 +ok", result.stdout)
    assert len(re.findall(r"jobs/s", result.stdout)) == 2
    assert "\x1b" not in result.stdout
    assert "Kept." not in result.stdout


def test_a_temporary_file_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert run().exit_code == ExitCode.OK
    assert not list(tmp_path.iterdir())


def test_a_kept_file_can_be_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    shown = run("--keep").stdout

    (command,) = re.findall(r"^  jobmaster (jobs list .*)$", shown, re.MULTILINE)
    listed = CliRunner().invoke(build_app(), [*command.split(), "--handler", "Demo.Endless"])
    assert "cancelled" in listed.stdout


def test_a_database_that_is_used_again_does_not_mix_runs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/demo.db"

    assert [run("--url", url).exit_code for _ in range(2)] == [ExitCode.OK] * 2


def test_an_unknown_scheme_names_the_package() -> None:
    result = run("--url", "nats://localhost")

    assert result.exit_code == ExitCode.CONFIGURATION
    assert "pip install jobmaster-nats" in result.stderr
    assert result.stdout == ""


def test_in_a_terminal_it_shows_bars(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
    command = [sys.executable, "-m", "jobmaster.cli", "demo", "--url", "memory://", "--jobs", "50"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=child, stderr=child, env=environ)
    os.close(child)
    shown = read_all(parent)

    assert process.wait(30) == ExitCode.OK
    assert "━" in shown
    assert "All 63 jobs ended as they should." in shown


def read_all(descriptor: int) -> str:
    """Read a terminal until its other side is closed, which Linux reports as an error."""
    parts = []
    try:
        while part := os.read(descriptor, 65536):
            parts.append(part)
    except OSError:
        pass
    os.close(descriptor)
    return b"".join(parts).decode()


def test_its_handlers_are_not_those_of_other_commands() -> None:
    code = "import jobmaster.cli, jobmaster.handlers; print(jobmaster.handlers.registered_handlers())"

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )

    assert result.stdout == "[]\n"
