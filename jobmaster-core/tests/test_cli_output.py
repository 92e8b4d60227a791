"""What commands print: in any encoding, in any width, and to readers that leave."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner, Result

from jobmaster import Cluster, JobContext, handler
from jobmaster._text.printable import in_ascii
from jobmaster.cli import ExitCode, build_app
from jobmaster.cli.grid import Table
from jobmaster.cli.logs import JsonFormatter
from jobmaster.cli.output import print_json
from jobmaster.cli.streams import ESCAPE, shown, write_anything
from jobmaster.cli.terminal import console

ENCODINGS = ["ascii", "latin-1", "cp1252", "cp437", "koi8-r", "shift_jis", "utf-8", "utf-16"]
LETTERS = "Zoë → … ─ “нет” 👋 \N{RIGHT-TO-LEFT OVERRIDE} 日本 \ud800 ✓"


@handler("Output.Greet", max_retries=0)
async def greet(job: JobContext, name: str) -> None:
    job.logger.info("bonjour %s", name, extra={"où": name})
    raise ValueError(f"нет такой → {name}")


@pytest.fixture
def printed() -> list[str]:
    """Return the options that name a cluster with a job that failed in many letters, and the job's id."""
    url = f"memory://{uuid4().hex}"
    cluster = Cluster("Output-1", url).add_worker(name="w1").add_handlers(greet)

    async def start() -> str:
        async with cluster.running() as runtime:
            receipt = await runtime.scheduler.once_now(
                greet, {"name": "Zoë 👋 → …"}, metadata={"tenant": "Zoë"}
            )
            await runtime.jobs.wait(receipt.job_id, timeout=10)
            return str(receipt.job_id)

    job_id = anyio.run(start)
    return [job_id, "--cluster", "Output-1", "--master", url]


def run(encoding: str, *arguments: str) -> Result:
    return CliRunner(charset=encoding).invoke(build_app(), arguments)


# Encodings


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-16"])
def test_every_command_prints_in_any_encoding(encoding: str, printed: Sequence[str]) -> None:
    job_id, *where = printed
    for command in (
        ["jobs", "show", job_id],
        ["jobs", "list"],
        ["status"],
        ["workers", "list", "--all"],
        ["buckets", "list"],
        ["lane", "list"],
        ["cluster", "show"],
        ["schedules", "list"],
    ):
        plain, as_json = run(encoding, *command, *where), run(encoding, *command, *where, "--json")

        assert (plain.exit_code, as_json.exit_code) == (0, 0), (command, plain.exception, as_json.exception)
        assert json.loads(as_json.stdout_bytes.decode(encoding))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    "command", [["--help"], ["jobs", "list", "--help"], ["status", "--app", "füß:клас"], ["füß"]]
)
def test_so_do_helps_and_errors(encoding: str, command: Sequence[str]) -> None:
    result = run(encoding, *command)

    assert result.exit_code in {ExitCode.OK, ExitCode.USAGE, ExitCode.CONFIGURATION}
    assert isinstance(result.exception, SystemExit | None)


def test_json_is_the_same_everywhere(printed: Sequence[str]) -> None:
    job_id, *where = printed
    shown = {run(encoding, "jobs", "show", job_id, *where, "--json").stdout for encoding in ENCODINGS}

    [text] = shown
    assert text.isascii()
    assert "Zo\N{LATIN SMALL LETTER E WITH DIAERESIS} 👋" in json.loads(text)["logs"][0]["message"]


def test_signs_become_plain_ones_and_letters_escapes() -> None:
    assert "… → ─│╭ “x” 5\N{MULTIPLICATION SIGN}3".encode("ascii", ESCAPE) == b'... -> -|+ "x" 5x3'
    assert "Zoë 👋 \udcff".encode("ascii", ESCAPE) == b"Zo\\xeb \\U0001f44b \\udcff"
    assert "Zoë → 👋".encode("cp1252", ESCAPE).decode("cp1252") == "Zoë -> \\U0001f44b"


@given(text=st.text(st.characters(codec=None)), encoding=st.sampled_from(ENCODINGS))
def test_any_text_can_be_written(text: str, encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    stream.write(shown(text + LETTERS, stream))
    stream.flush()

    print_to = json.loads(in_ascii(json.dumps(text, ensure_ascii=False)))
    assert print_to == text


def test_streams_that_cannot_be_told_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.TextIOWrapper(io.BytesIO())
    closed.close()
    for stream in (None, io.StringIO(), closed):
        monkeypatch.setattr(sys, "stdout", stream)
        write_anything()


def test_without_a_stdout_nothing_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    print_json({"a": 1})
    console().print("a")


def test_log_lines_are_json_in_any_encoding() -> None:
    record = logging.makeLogRecord({"msg": "bonjour %s", "args": (LETTERS,), "où": "là"})

    line = JsonFormatter().format(record)

    assert line.isascii()
    assert (json.loads(line)["message"], json.loads(line)["où"]) == (f"bonjour {LETTERS}", "là")


# Widths


def rendered(table: Table, width: int) -> list[str]:
    file = io.StringIO()
    made = Console(width=width, file=file, markup=False, highlight=False)
    made.print(table, soft_wrap=True)
    return file.getvalue().splitlines()


CELLS = st.text("abc dé日", max_size=30).map(lambda text: " ".join(text.split()))


@given(
    rows=st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=4),
    width=st.integers(10, 120),
    name=st.text("xyz-", min_size=1, max_size=253),
)
def test_a_table_of_any_width_keeps_every_cell_whole(rows: list[list[str]], width: int, name: str) -> None:
    rows = [[name, *row] for row in rows]
    lines = rendered(Table("", ("Name", "Status", ">Count", "When", "Note"), rows), width)

    text = "\n".join(lines)
    for row in rows:
        assert all(cell in text for cell in row)
    for line in lines:  # what is longer than the terminal is one cell, which nobody breaks
        assert cell_len(line) <= width or "  " not in line.strip()


def test_what_fits_is_a_table() -> None:
    table = Table("Title", ("ID", ">Count"), [("a", 1), ("bcd", 100)])

    assert rendered(table, 80) == ["Title", "ID   Count", "a        1", "bcd    100"]


def test_what_does_not_fit_stands_below_with_its_name() -> None:
    table = Table(
        "",
        ("ID", "Status", "Handler", "Note"),
        [("a" * 36, "failed", "x" * 50, ""), ("b" * 36, "ok", "y", "z")],
    )

    assert rendered(table, 80) == [
        f"ID{' ' * 36}Status",
        f"{'a' * 36}  failed",
        f"    Handler: {'x' * 50}",
        f"{'b' * 36}  ok",
        "    Handler: y  Note: z",
    ]


def test_a_cell_is_one_line() -> None:
    assert rendered(Table("", ("A",), [("one\ntwo\r\nthree",)]), 80) == ["A", "one two three"]


def test_what_is_piped_is_one_line_a_row(printed: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    job_id, *where = printed

    lines = run("utf-8", "jobs", "list", *where).stdout.splitlines()

    assert len(lines) == 2
    assert lines[1].split()[0] == job_id


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_in_a_terminal_of_any_width_everything_is_there(
    printed: Sequence[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    monkeypatch.setenv("COLUMNS", str(columns))
    job_id, *where = printed

    jobs = run("utf-8", "jobs", "list", *where).stdout
    shown = re.sub(r"\x1b\[[0-9;]*m", "", jobs)
    workers = run("utf-8", "workers", "list", "--all", *where).stdout

    assert jobs != shown
    assert all(len(line) <= columns for line in shown.splitlines())
    assert all(one in shown for one in (job_id, "failed", "Output.Greet", "medium", "default"))
    assert all(one in workers for one in ("w1", "stopped", "standalone", "full", str(os.getpid())))


# Readers that leave


def piped(folder: Path, command: str, *, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    script = f"set -o pipefail; {sys.executable} -m jobmaster.cli {command}"
    environ = {**os.environ, "PYTHONIOENCODING": encoding}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.slow
def test_a_pipe_that_closes_early_ends_a_command_quietly(tmp_path: Path) -> None:
    done = piped(tmp_path, "schedules preview -e 'every minute' --count 1000 --zone UTC --json | head -1")

    assert (done.stdout, done.stderr, done.returncode) == ("{\n", "", ExitCode.CLOSED)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["schedules preview -e 'every minute' --zone UTC", "--help"])
def test_so_does_one_that_was_closed_from_the_start(tmp_path: Path, command: str) -> None:
    done = piped(tmp_path, f"{command} | true")

    assert (done.stderr, done.returncode) == ("", ExitCode.CLOSED)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_output_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    done = piped(tmp_path, "schedules preview -e 'every minute' --zone UTC > /dev/full")

    assert done.returncode == ExitCode.FAILED
    assert done.stderr.startswith("error: unexpected OSError: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_strict_stream_is_written_to(tmp_path: Path) -> None:
    done = piped(tmp_path, "schedules preview -e 'every minute' --zone Füß", encoding="ascii:strict")

    assert done.returncode == ExitCode.CONFIGURATION
    assert "F\\xfc\\xdf" in done.stderr


# Durations


def test_settings_and_limits_are_shown_as_people_write_them(printed: Sequence[str]) -> None:
    job_id, *where = printed

    settings = run("utf-8", "cluster", "show", *where).stdout
    job = run("utf-8", "jobs", "show", job_id, *where).stdout

    assert "retention            30 days" in settings
    assert "default_job_timeout  1 min" in settings
    assert "timeout     1 min" in job
