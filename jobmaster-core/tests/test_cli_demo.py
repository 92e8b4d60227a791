"""`jobmaster demo`."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from attrs import evolve
from rich.console import Console
from typer.testing import CliRunner, Result

from jobmaster import AttemptOutcome, Cluster, JobRecord, JobStatus
from jobmaster.cli import ExitCode, build_app
from jobmaster.cli.demo import handlers
from jobmaster.cli.demo.cases import Case
from jobmaster.cli.demo.run import Audited, Burst, conclude

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


def test_an_unknown_scheme_is_refused() -> None:
    result = run("--url", "redis://localhost")

    assert result.exit_code == ExitCode.CONFIGURATION
    assert "no provider for it" in result.stderr
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


class TestWhatDiffers:
    """A demo that finds something wrong says so, and fails."""

    @pytest.fixture
    def job(self) -> JobRecord:
        """Return the flaky job of the demo as it ends when all is well."""

        async def work() -> JobRecord:
            cluster = (
                Cluster("Differs-1", f"memory://{uuid4().hex}").add_worker().add_handlers(handlers.flaky)
            )
            async with cluster.running() as runtime:
                receipt = await runtime.scheduler.once_now(handlers.flaky)
                return await runtime.jobs.wait(receipt.job_id, timeout=20)

        return anyio.run(work)

    @pytest.fixture
    def case(self, job: JobRecord) -> Case:
        outcomes = [AttemptOutcome.FAILED, AttemptOutcome.FAILED, AttemptOutcome.SUCCEEDED]
        return Case("retried", job.id, JobStatus.SUCCEEDED, outcomes)

    def test_nothing_does_when_all_is_well(self, case: Case, job: JobRecord) -> None:
        assert case.difference(job) is None

    def test_the_status(self, case: Case, job: JobRecord) -> None:
        assert evolve(case, status=JobStatus.FAILED).difference(job) == "is succeeded, not failed"

    def test_the_attempts(self, case: Case, job: JobRecord) -> None:
        once = evolve(case, outcomes=[AttemptOutcome.SUCCEEDED])

        assert once.difference(job) == "attempts: failed x2, succeeded, not succeeded"

    def test_what_was_seen_when_it_was_scheduled(self, case: Case, job: JobRecord) -> None:
        assert evolve(case, problem="odd").difference(job) == "odd"

    def test_the_burst(self, job: JobRecord) -> None:
        burst = Burst(2)
        assert burst.difference == "found none, not 2 succeeded"
        burst.add(evolve(job, attempt=1))
        assert burst.difference == "found 1 succeeded, not 2 succeeded"
        burst.add(job)
        assert burst.difference == "1 took more than one attempt"

    def test_the_verdict_lists_all(self, case: Case, job: JobRecord) -> None:
        out = StringIO()
        audit = [Audited(evolve(case, status=JobStatus.FAILED), job)]
        cluster = Cluster("Differs-1", "memory://")

        fine = conclude(Console(file=out, width=100), audit, Burst(1), cluster, finished=False, kept=False)

        assert not fine
        assert out.getvalue().partition("Not every job ended as it should:\n")[2].splitlines() == [
            "  retried: is succeeded, not failed",
            "  burst: found none, not 1 succeeded",
            "  not all jobs had ended after 60.02 s",
        ]


def test_its_handlers_are_not_those_of_other_commands() -> None:
    code = "import jobmaster.cli, jobmaster.handlers; print(jobmaster.handlers.registered_handlers())"

    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )

    assert result.stdout == "[]\n"
